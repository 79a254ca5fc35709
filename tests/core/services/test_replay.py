"""Replay: stored candles lived through by the live loop, the same way each time, with every refusal accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import Candidate, FollowKind
from core.engine.strategy import propose
from core.engine.tracker import Tracker
from core.ports import Prediction
from core.services import replay as replay_module
from core.services.loop import TradingLoop
from core.services.replay import Replay, replay
from tests.ledgers import books, facts_of, market, settings
from tests.markets import M15, START, walk

FIRST, LAST = 400, 900
LINK, ETH, BTC = (Pair.parse(n) for n in ("LINK", "ETH", "BTC"))


class Coin:
    model_id = "coin"

    async def predict(self, features: Mapping[str, float], *asked: object) -> Prediction | str:
        return Prediction("coin", 0.5, ())


async def replayed(
    folder: Path,
    candles: Mapping[Pair, Candles],
    config: Settings | None = None,
    first: int = FIRST,
    last: int = LAST,
    **more: Any,
) -> tuple[Replay, dict[str, Any]]:
    start, end = START + first * M15.ms, START + last * M15.ms
    async with books(folder) as kept:
        clock = ReplayClock(to_datetime(start))
        result = await replay(candles, config or settings(), kept.ledger, clock, start, end, **more)
        return result, await facts_of(kept)


async def test_every_signal_is_a_trade_or_a_refusal_with_its_rule(tmp_path: Path) -> None:
    result, facts = await replayed(tmp_path, market(LAST), settings(portfolio={"max_positions": 1}))

    signals = [row for row in facts["decisions"] if row[5]]
    assert len(signals) == len(result.trades) + result.open + result.refused
    assert sum(result.refusals.values()) == result.refused > 0
    assert list(result.refusals.values()) == sorted(result.refusals.values(), reverse=True)
    assert set(result.refusals) <= {"portfolio: positions", "portfolio: one_per_pair", "portfolio: correlated"}
    assert result.equity == pytest.approx(10_000 + sum(r.follow.pnl for r in result.rows) + open_value(result))


class ByTheWindow(TradingLoop):
    """The loop that asks the pure reference: all indicators of the whole window, at every candle."""

    asked = 0

    def _candidate(self, pair: Pair, tracker: Tracker) -> Candidate | None:
        window, strategy = self.memory.windows[pair], self._settings.strategy
        last, early = self.memory.book.last_signals.get(pair), self.memory.early.get(pair, 0)
        if early > (last or 0) and int((window.time > early).sum()) < strategy.cooldown_bars:
            last = early
        type(self).asked += 1
        candidate = propose(window, last, strategy, self._settings.candles.max_gap)
        first, stop = window.stretches(self._settings.candles.max_gap)[-1]
        if candidate is None or stop - first >= self._settings.candles.min_history:
            return candidate
        if candidate.is_signal:
            self.memory.early[pair] = candidate.open_time
        return None

    def _recall(self, pair: Pair) -> None:
        return


def told(result: Replay) -> list[dict[str, Any]]:
    """Every candidate, with its values, verdicts and fills."""
    return [asdict(row) for row in result.rows]


def assert_alike(ours: Any, theirs: Any) -> None:
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_alike(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_alike(one, other)
    elif isinstance(ours, float):
        assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-9, nan_ok=True)
    else:
        assert ours == theirs


@pytest.mark.parametrize(("seed", "layers"), [(1, True), (2, False)])
async def test_the_tracker_gives_the_candidates_signals_and_fills_of_the_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, layers: bool
) -> None:
    gaps = {300: 3, 560: 50, 900: 8}
    candles = {p: replace(walk(1000, 10 * seed + n, gaps=gaps), pair=p) for n, p in enumerate(market(1))}
    ours, _ = await replayed(tmp_path / "ours", candles, first=100, last=1070, layers=layers)
    monkeypatch.setattr(replay_module, "TradingLoop", ByTheWindow)
    theirs, _ = await replayed(tmp_path / "theirs", candles, first=100, last=1070, layers=layers)

    assert ByTheWindow.asked > 2000
    assert len(ours.rows) > 20
    assert len(ours.trades) > 2
    assert_alike(told(ours), told(theirs))


def open_value(result: Replay) -> float:
    open_now = [r.follow for r in result.rows if r.follow.kind is FollowKind.TRADE and not r.follow.follow.closed]
    return sum(
        f.follow.levels.direction.sign * (f.mark - f.entry_fill) * f.quantity * f.follow.remaining for f in open_now
    )


async def test_the_same_candles_give_the_same_ledger(tmp_path: Path) -> None:
    _, one = await replayed(tmp_path / "one", market(LAST))
    _, other = await replayed(tmp_path / "other", dict(reversed(market(LAST).items())))

    assert one["decisions"]
    assert one == other


async def test_what_lies_before_the_start_only_warms_up(tmp_path: Path) -> None:
    result, facts = await replayed(tmp_path, market(LAST))

    assert min(row[3] for row in facts["decisions"]) >= START + FIRST * M15.ms
    assert facts["equity"][0][0] == START + (FIRST + 1) * M15.ms
    assert len(facts["equity"]) == LAST - FIRST
    assert all(r.decision.open_time >= START + FIRST * M15.ms for r in result.rows)


async def test_the_bare_strategy_takes_every_signal(tmp_path: Path) -> None:
    result, facts = await replayed(tmp_path, market(LAST), layers=False)

    assert result.refused == 0
    assert len(result.trades) + result.open == sum(row[5] for row in facts["decisions"]) > 0


async def test_without_btc_candles_the_check_says_that_it_cannot_tell(tmp_path: Path) -> None:
    candles = {pair: c for pair, c in market(LAST).items() if pair != BTC}
    _, facts = await replayed(tmp_path, candles)

    assert {v[4] for v in facts["verdicts"] if v[3] == "btc"} == {"unknown"}


async def test_a_pair_without_candles_is_left_out_and_one_that_ends_early_ends_alone(tmp_path: Path) -> None:
    candles = market(LAST)
    del candles[ETH]
    candles[LINK] = candles[LINK].rows(0, 600)
    result, facts = await replayed(tmp_path, candles)

    assert {row[1] for row in facts["decisions"]} == {"LINK/USDT", "SOL/USDT"}
    assert max(r.decision.open_time for r in result.rows if r.decision.pair == LINK) < START + 600 * M15.ms
    assert len(facts["equity"]) == LAST - FIRST


async def test_the_reference_pair_may_be_traded_too(tmp_path: Path) -> None:
    config = settings(pairs=[{"symbol": "BTC/USDT"}, {"symbol": "LINK/USDT"}])
    result, _ = await replayed(tmp_path, market(LAST, ("LINK/USDT", "BTC/USDT")), config)
    assert {r.decision.pair for r in result.rows} == {BTC, LINK}


async def test_a_predictor_is_asked_and_changes_nothing_without_a_weight(tmp_path: Path) -> None:
    with_model, _ = await replayed(tmp_path / "with", market(LAST), predictor=Coin())
    without, _ = await replayed(tmp_path / "without", market(LAST))

    assert {r.decision.ml_probability for r in with_model.rows} == {0.5}
    assert [r.follow for r in with_model.rows] == [r.follow for r in without.rows]


async def test_progress_counts_the_candles_of_the_range(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    await replayed(tmp_path, market(LAST), last=450, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(n, 50) for n in range(1, 51)]


async def test_a_hole_in_all_pairs_is_no_candle_and_no_trade(tmp_path: Path) -> None:
    candles = {
        pair: replace(c, time=c.time + M15.ms * 20 * (c.time >= START + 600 * M15.ms))
        for pair, c in market(LAST).items()
    }
    result, facts = await replayed(tmp_path, candles, last=LAST + 20)

    ended = [r for r in result.rows if r.follow.follow.exit_reason == "GAP"]
    assert ended
    assert {r.follow.follow.exit_time for r in ended} == {START + 599 * M15.ms}
    assert len(facts["equity"]) == LAST - FIRST
