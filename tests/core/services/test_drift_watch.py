"""Looks for drift: at their counts, once, on all rows since; two running take the weight away, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.model_files import ModelFiles
from core.domain.ledger import DecisionRecord, Effect, Seen
from core.domain.messages import Notice
from core.errors import DataError, ModelError, UsageError
from core.ml.drift import DriftLook
from core.services import drift_watch
from core.services.approvals import Question
from core.services.champion import ChampionInfo
from core.services.changes import changed
from core.services.drift_watch import PROBABILITY, DriftWatch, drift_job, look_count, looks_up_to
from core.services.gatekeeper import Gatekeeper
from core.services.samples import stored_samples
from tests.core.services.test_gatekeeper import LINK, outcome_effect
from tests.ledgers import Books, market, settings
from tests.markets import M15, START
from tests.thrones import OLE, Throne, saved, throne

CHAMPION = ChampionInfo("first", {}, 400, trained_at=START - 10)


@dataclass
class Eyes:
    """Compares as it is told to, and keeps what it was given."""

    answers: list[bool] = field(default_factory=list)
    given: list[Sequence[Seen]] = field(default_factory=list)
    trouble: Exception | None = None

    async def compare(self, model_id: str, seen: Sequence[Seen]) -> DriftLook:
        if self.trouble is not None:
            raise self.trouble
        self.given.append(seen)
        beyond = self.answers[len(self.given) - 1] if len(self.given) <= len(self.answers) else False
        return DriftLook(len(seen), "entry_adx", 0.4, 0.2, beyond, f"entry_adx on {len(seen)} rows")


def crossover(number: int, **changes: object) -> DecisionRecord:
    decision = outcome_effect(number, 0.4, won=True, trade=False).decisions[0]
    found = replace(
        decision,
        is_signal=False,
        status="candidate",
        model_id="first",
        open_time=START + number * M15.ms,
        features={"entry_adx": float(number)},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


async def happen(kept: Books, first: int, last: int, **changes: object) -> None:
    """Crossovers ``[first, last)``, all in one step."""
    decisions = tuple(crossover(n, **changes) for n in range(first, last))
    effect = Effect(step="entries", cursors={LINK: START + last * M15.ms}, decisions=decisions)
    assert await kept.ledger.commit(effect)


@asynccontextmanager
async def watched(path: Path, eyes: Eyes) -> AsyncIterator[tuple[Throne, DriftWatch, list[int]]]:
    async with throne(path) as at:
        newest = [0]
        yield at, DriftWatch(at.stage.clock, at.kept.ledger, at.kept.chat, lambda: newest[0], eyes.compare), newest


def test_looks_are_due_at_200_and_every_further_100() -> None:
    assert [look_count(k) for k in range(3)] == [200, 300, 400]
    assert [looks_up_to(n) for n in (0, 199, 200, 299, 300, 1000)] == [0, 0, 1, 1, 2, 9]


async def test_each_look_is_taken_once_on_all_rows_up_to_its_count(tmp_path: Path) -> None:
    eyes = Eyes()
    async with watched(tmp_path, eyes) as (at, watch, newest):
        await happen(at.kept, 0, 199)
        await watch.review("main", CHAMPION)
        assert eyes.given == []
        assert await watch.sentence("main", CHAMPION) == "no look yet, next look at 200 crossovers, 199 so far"
        await happen(at.kept, 199, 350)
        newest[0] = 350
        for _ in range(3):
            await watch.review("main", CHAMPION)
        again = DriftWatch(at.stage.clock, at.kept.ledger, at.kept.chat, lambda: 1, eyes.compare)
        await again.review("main", CHAMPION)

    assert [[s.features["entry_adx"] for s in seen][:: len(seen) - 1] for seen in eyes.given] == [[0, 199], [0, 299]]


async def test_signals_other_models_and_rows_without_what_was_seen_do_not_count(tmp_path: Path) -> None:
    eyes = Eyes()
    async with watched(tmp_path, eyes) as (at, watch, _):
        await happen(at.kept, 0, 150)
        await happen(at.kept, 150, 200, is_signal=True)
        await happen(at.kept, 200, 250, model_id="other")
        await happen(at.kept, 250, 300, features={})
        await happen(at.kept, 300, 350, ml_probability=None)
        await watch.review("main", CHAMPION)
        assert (await watch.sentence("main", CHAMPION)).endswith("200 crossovers, 150 so far")

    assert eyes.given == []


async def test_what_cannot_be_compared_now_is_tried_again_at_the_next_crossover(tmp_path: Path) -> None:
    eyes = Eyes(trouble=DataError("no candles"))
    async with watched(tmp_path, eyes) as (at, watch, newest):
        await happen(at.kept, 0, 210)
        await watch.review("main", CHAMPION)
        assert await watch.looks("main", "first") == []
        eyes.trouble, newest[0] = None, 1
        await watch.review("main", CHAMPION)
        assert len(await watch.looks("main", "first")) == 1


async def test_confirmed_drift_takes_the_weight_once_and_none_is_given_until_a_new_champion(tmp_path: Path) -> None:
    eyes = Eyes(answers=[True, False, True, True])
    async with watched(tmp_path, eyes) as (at, watch, newest):
        keeper = Gatekeeper(
            settings(),
            at.stage.clock,
            at.kept.ledger,
            at.kept.chat,
            at.stage.loop,
            at.takeovers._bell,
            lambda: replace(CHAMPION, model_id=at.files.champion_id()),
            at.approvals,
            drift=watch,
        )
        await at.give_weight(0.25)
        weights = []
        for last in (200, 300, 400, 500):
            await happen(at.kept, 0 if last == 200 else last - 100, last)
            newest[0] = last
            await keeper.review()
            await keeper.review()
            weights.append((await at.weights())[0])
        alerts = [e for e in await at.told() if isinstance(e, Notice)]
        answer = await keeper.ask(0.25, OLE)
        standing = await keeper.standing()
        at.files.promote(saved(at.files, "second"))
        after = await keeper.ask(0.25, OLE)

    assert weights == [0.25, 0.25, 0.25, 0]
    assert len(alerts) == 1
    assert "The market is no longer what first learned: entry_adx on 500 rows" in alerts[0].detail
    assert "/retrain" in answer.missing[0]
    assert standing[0] == "Trained 0 days ago"
    assert standing[1] == "Drift: entry_adx on 500 rows; next look at 600 crossovers, 500 so far"
    assert "the first look is at 50 outcomes" in after.missing


async def test_a_card_that_waits_when_drift_is_found_grants_nothing(tmp_path: Path) -> None:
    eyes = Eyes(answers=[True, True])
    async with watched(tmp_path, eyes) as (at, watch, _):
        keeper = Gatekeeper(
            settings(),
            at.stage.clock,
            at.kept.ledger,
            at.kept.chat,
            at.stage.loop,
            at.takeovers._bell,
            lambda: CHAMPION,
            at.approvals,
            drift=watch,
        )
        stored = await at.approvals.ask("weight", Question("May it?", (), weight=0.25, model_id="first"), "Ole")
        await happen(at.kept, 0, 300)
        await keeper.review()
        with pytest.raises(UsageError, match="no longer what first learned"):
            await at.approvals.answer(stored, True, replace(OLE, role="approver"))

        assert await at.weights() == (0, 0)


# -- the comparison itself ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> CandleFiles:
    files = CandleFiles(tmp_path_factory.mktemp("drift") / "candles")
    for each in market(9000).values():
        files.save(each)
    return files


def lately(candles: CandleFiles, rows: int = 200) -> list[Seen]:
    """Crossovers of the newest candles as a v1 model would have seen them."""
    own = settings(ml={"features": "v1"})
    found = stored_samples(candles, own.traded, own.frame, own, START + 4500 * M15.ms, None, candidates=True)
    found = found.take(~found.is_signal)
    picked = found.take(np.arange(len(found))[-rows:])
    return [
        Seen(int(t), dict(zip(found.features, row, strict=True)), 0.4)
        for t, row in zip(picked.time, picked.X, strict=True)
    ]


def model(path: Path) -> ModelFiles:
    files = ModelFiles(path / "models")
    saved(files, "first", day=45)
    return files


def test_the_same_kind_of_market_is_no_drift(candles: CandleFiles, tmp_path: Path) -> None:
    seen = [replace(s, probability=_said(tmp_path, s)) for s in lately(candles)]
    look = drift_job(candles, model(tmp_path), settings(), "first", seen)

    assert look.n == len(seen) == 200
    assert not look.beyond
    assert look.psi is not None


def _said(path: Path, seen: Seen) -> float:
    return model(path).load("first").probability(seen.features)


@pytest.mark.parametrize("moved", ["entry_atr_percent", PROBABILITY])
def test_a_market_that_has_moved_is_found_and_named(candles: CandleFiles, tmp_path: Path, moved: str) -> None:
    seen = [replace(s, probability=_said(tmp_path, s)) for s in lately(candles)]
    if moved == PROBABILITY:
        seen = [replace(s, probability=s.probability + 0.3) for s in seen]
    else:
        seen = [replace(s, features={**s.features, moved: s.features[moved] * 6}) for s in seen]
    look = drift_job(candles, model(tmp_path), settings(), "first", seen)

    assert look.beyond
    assert look.feature == moved


def test_without_the_history_it_learned_from_nothing_can_be_said(tmp_path: Path) -> None:
    empty = CandleFiles(tmp_path / "candles")
    with pytest.raises((DataError, ModelError)):
        drift_job(empty, model(tmp_path), settings(), "first", [])


async def test_each_look_compares_under_the_rules_in_force_then(
    candles: CandleFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    class Recorder:
        async def __aenter__(self) -> Recorder:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def run(self, *arguments: object) -> object:
            given.append(arguments[3])
            return None

    monkeypatch.setattr(drift_watch, "Worker", Recorder)
    rules = [settings()]
    compare = drift_watch.in_a_worker(candles, ModelFiles(tmp_path), lambda: rules[-1])
    await compare("m", [])
    rules.append(changed(rules[0], {"strategy.adx_min": 5.0}))
    await compare("m", [])

    assert given == rules
