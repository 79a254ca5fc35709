"""Candles replayed with real champions: what is stored with each decision, and what ``/why`` makes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.adapters.model_files import ModelFiles
from core.config import Ml
from core.domain.ledger import DecisionRecord
from core.domain.messages import SignalDecided
from core.domain.trading import Direction, FollowKind, GeminiOpinion, Ruling, Verdict
from core.errors import UsageError
from core.ml.dataset import from_table
from core.ml.features import FEATURES_V2, MORE_V2
from core.ml.training import Kind
from core.ml.words import base_of, lines, probability_of
from core.ports import Prediction
from core.services.explain import Explainer, WhyView, view_of
from core.services.predict import predict_with
from core.services.train import train_from_table
from tests.core.ml.planted import table
from tests.core.services.test_loop import Says, opinion
from tests.ledgers import Books, Stage, books, market, settings

FIRST, LAST = 400, 600
KINDS: tuple[Kind, ...] = ("xgb", "forest", "logistic")


def learned() -> pd.DataFrame:
    """Signals before, during and after the replay, with every feature of v2."""
    rows, rng = table(150, effect=1.5), np.random.default_rng(5)
    return rows.assign(**{name: rng.normal(0.3, 0.5, len(rows)) for name in MORE_V2})


@dataclass
class Champion(Says):
    """A trained champion, asked in this process, and an advisor who has something to say."""

    models: ModelFiles

    def __post_init__(self) -> None:
        super().__init__(opinion(True))

    async def predict(self, features: Mapping[str, float], *asked: object) -> Prediction | str:
        found = predict_with(self.models, features, *asked)  # type: ignore[arg-type]
        assert found is not None
        return found


@pytest.fixture(scope="module", params=KINDS)
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ledger in which a champion of this kind was asked at every crossover."""
    folder = tmp_path_factory.mktemp("explained")
    models = ModelFiles(folder / "models")
    train_from_table(learned(), Ml(model=request.param), models, datetime(2026, 1, 1, tzinfo=UTC))
    asyncio.run(play(folder, models))
    return folder


async def play(folder: Path, models: ModelFiles) -> None:
    async with books(folder) as kept:
        says = Champion(models)
        stage = await Stage.begin(kept, FIRST, settings(), advisor=says, predictor=says)
        candles = market(LAST)
        for one in candles.values():
            stage.loop.warm(one.rows(0, FIRST))
        await stage.play(candles, FIRST, LAST)


@asynccontextmanager
async def told(folder: Path) -> AsyncIterator[tuple[Explainer, Books]]:
    async with books(folder) as kept:
        yield Explainer(kept.ledger), kept


async def decisions(folder: Path) -> list[DecisionRecord]:
    async with books(folder) as kept:
        return await kept.ledger.decisions()


async def test_base_and_shares_are_the_log_odds_of_the_stored_probability(replayed: Path) -> None:
    found = await decisions(replayed)

    assert len(found) > 15
    assert {d.status for d in found} >= {"candidate", "taken"}
    for decision in found:
        p, base = decision.ml_probability, base_of(decision.reasons)
        assert p is not None
        assert base is not None
        assert {name for name, _, _ in decision.reasons} == {*FEATURES_V2, "base"}
        assert base + sum(line.share for line in lines(decision.reasons)) == pytest.approx(
            math.log(p / (1 - p)), abs=1e-6
        )
    assert len({d.ml_probability for d in found}) > 3, "a champion that always says the same proves nothing"


async def test_stored_reasons_are_those_of_what_the_model_saw(replayed: Path) -> None:
    for decision in await decisions(replayed):
        for name, value, _ in decision.reasons[:-1]:
            seen = decision.features[name]
            assert value == seen or (value is None and math.isnan(seen))


async def test_stored_neighbours_had_ended_before_the_decision(replayed: Path) -> None:
    rows = from_table(learned())
    ended = dict(zip(rows.time.tolist(), rows.end_time.tolist(), strict=True))
    found = await decisions(replayed)

    for decision in found:
        close = decision.open_time + 900_000
        known = int(((rows.end_time <= close) & (rows.direction == decision.direction.value)).sum())
        assert len(decision.neighbours) == min(5, known)
        assert all(ended[n.decided_at] <= close for n in decision.neighbours)
        assert {n.direction for n in decision.neighbours} <= {decision.direction}
    assert {d.direction for d in found if d.neighbours} == set(Direction)


async def test_why_tells_of_every_decision_what_was_stored_and_what_became_of_it(replayed: Path) -> None:
    async with told(replayed) as (_, kept):
        rows = await kept.ledger.trade_rows()
        for row in rows:
            decision, record = row.decision, row.follow
            view = view_of(row)
            assert view.verdicts == decision.verdicts
            assert view.neighbours == decision.neighbours
            assert view.model is not None
            assert view.model.probability == decision.ml_probability
            assert view.model.start == probability_of(base_of(decision.reasons) or 0.0)
            assert view.became.closed == record.follow.closed
            assert (view.trade_id is not None) == (decision.status == "taken")
            assert (view.gemini is not None) == decision.is_signal
            if record.follow.closed:
                assert (view.became.r, view.became.r_net) == (record.follow.realized_r, record.r_net)
        assert {r.follow.follow.closed for r in rows} == {True, False}


async def test_an_open_trade_counts_what_it_would_bring_at_the_last_close(replayed: Path) -> None:
    async with told(replayed) as (_, kept):
        rows = [r for r in await kept.ledger.trade_rows() if not r.follow.follow.closed]
        window = market(LAST)
        for row in rows:
            follow, close = row.follow.follow, float(window[row.decision.pair].close[-1])
            move = follow.levels.direction.sign * (close - follow.levels.entry) / follow.levels.risk
            assert view_of(row).became.r == pytest.approx(follow.realized_r + follow.remaining * move)
    assert rows


async def test_the_picture_comes_with_the_reasons(replayed: Path) -> None:
    async with told(replayed) as (explainer, _):
        view = await explainer.why(None)

    assert view.picture is not None
    assert view.picture.startswith(b"\x89PNG")
    assert view.status != "candidate", "the newest signal, not the newest crossover"


@pytest.mark.parametrize("replayed", ["logistic"], indirect=True)
async def test_a_signal_is_found_by_its_number_and_by_that_of_its_trade(replayed: Path) -> None:
    async with told(replayed) as (explainer, kept):
        rows = await kept.ledger.trade_rows()
        trade = next(r.follow for r in rows if r.follow.kind is FollowKind.TRADE)
        shadow = next(r.follow for r in rows if r.follow.kind is FollowKind.SHADOW_CANDIDATE)
        newest = max(r.decision.decision_id for r in rows if r.decision.is_signal)

        assert (await explainer.why(trade.follow_id, is_trade=True)).trade_id == trade.follow_id
        assert (await explainer.why(shadow.decision_id)).status == "candidate"
        assert (await explainer.why(None)).decision_id == newest
        with pytest.raises(UsageError, match=f"there is no trade {shadow.follow_id}; the newest signal is {newest}"):
            await explainer.why(shadow.follow_id, is_trade=True)
        with pytest.raises(UsageError, match=f"there is no signal or trade 99999; the newest signal is {newest}"):
            await explainer.why(99999)


@pytest.mark.parametrize("replayed", ["logistic"], indirect=True)
async def test_an_alert_has_the_reasons_that_are_stored(replayed: Path) -> None:
    async with told(replayed) as (_, kept):
        stored = {d.decision_id: d for d in await kept.ledger.decisions(signals_only=True)}
        events = [i.event for i in await kept.chat.pending(1000) if isinstance(i.event, SignalDecided)]

    assert {e.decision_id for e in events} == set(stored)
    for event in events:
        assert (event.ml_reasons, event.neighbours) == (
            stored[event.decision_id].reasons,
            stored[event.decision_id].neighbours,
        )


async def test_a_ledger_without_signals_says_so(tmp_path: Path) -> None:
    async with told(tmp_path) as (explainer, _):
        for number in (None, 3):
            with pytest.raises(UsageError, match="no signal has been decided yet"):
                await explainer.why(number)


async def test_without_a_model_there_is_neither_opinion_nor_picture_and_what_variants_said_is_left_out(
    tmp_path: Path,
) -> None:
    variants = {"looser": {"adx_min": 5.0}}
    async with told(tmp_path) as (explainer, kept):
        says = Says(GeminiOpinion(False, 0.2, "no <news>", (), "test"))
        stage = await Stage.begin(kept, FIRST, settings(variants=variants), advisor=says)
        candles = market(560)
        for one in candles.values():
            stage.loop.warm(one.rows(0, FIRST))
        await stage.play(candles, FIRST, 560)
        view: WhyView = await explainer.why(None)
        record = (await kept.ledger.decisions(signals_only=True))[-1]

    assert view.model is None
    assert view.picture is None
    assert view.gemini is not None
    assert (view.gemini.approve, view.gemini.reasoning) == (False, "no <news>")
    assert "variant" in {v.layer for v in record.verdicts}
    assert "variant" not in {v.layer for v in view.verdicts}
    assert any(isinstance(v, Verdict) and v.ruling is Ruling.REFUSE for v in view.verdicts)
