"""The loop: the same candles give the same ledger, whatever happens between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.ledger import Controls, Effect, Switch
from core.domain.messages import Notice
from core.domain.trading import Candidate, FollowKind, GeminiOpinion
from core.engine.history import history_start
from core.ports import Prediction
from core.services import asking
from core.services.loop import TradingLoop
from tests.ledgers import Books, Stage, books, facts_of, market, settings
from tests.markets import M15, START, walk

FIRST, LAST = 400, 900
LINK = Pair.parse("LINK/USDT")


class Says:
    """An advisor and a model with fixed answers; the advisor may take its time."""

    def __init__(self, gemini: GeminiOpinion | str = "silent", probability: float = 0.4, seconds: float = 0.0) -> None:
        self.gemini, self.probability, self.seconds = gemini, probability, seconds
        self.asked = 0
        self.model_id = "test-model"

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        self.asked += 1
        assert int(recent.time[-1]) == candidate.open_time
        await asyncio.sleep(self.seconds)
        return self.gemini

    async def predict(self, features: Mapping[str, float], *asked: object) -> Prediction | str:
        return Prediction(self.model_id, self.probability, ())


def opinion(approve: bool, confidence: float = 0.8) -> GeminiOpinion:
    return GeminiOpinion(approve, confidence, "because", (), "test")


async def started(books: Books, row: int = FIRST, says: Says | None = None) -> Stage:
    stage = await Stage.begin(books, row, settings(portfolio={"max_positions": 1}), advisor=says, predictor=says)
    for candles in market(LAST).values():
        stage.loop.warm(candles.rows(0, row))
    return stage


async def run_whole(path: Path, last: int = LAST) -> dict[str, list[tuple[object, ...]]]:
    async with books(path) as kept:
        stage = await started(kept)
        await stage.play(market(LAST), FIRST, last)
        return await facts_of(kept)


async def test_a_run_gives_trades_shadows_and_a_verdict_from_each_layer(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept, says=Says(opinion(True)))
        await stage.play(market(LAST), FIRST, LAST)
        rows = await kept.ledger.trade_rows()
        decisions = await kept.ledger.decisions(signals_only=True)

    kinds = {row.follow.kind for row in rows}
    assert kinds == set(FollowKind)
    assert {d.status for d in decisions} >= {"taken", "refused"}
    for decision in decisions:
        assert {v.layer for v in decision.verdicts} >= {"signal", "rules", "gemini", "model", "combined", "portfolio"}
        assert decision.status != "refused" or decision.reason
        assert decision.ml_probability == 0.4


async def test_handling_the_same_candles_twice_changes_nothing(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        await stage.play(market(LAST), FIRST, 700)
        before = await facts_of(kept)
        await stage.play(market(LAST), 600, 700)
        after = await facts_of(kept)

    assert before == after


@pytest.mark.parametrize("stops", [(401,), (450, 451, 452), (500, 640, 800), (899,)])
async def test_restarts_anywhere_leave_the_ledger_of_an_unbroken_run(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = await run_whole(tmp_path / "whole")
    row = FIRST
    for stop in (*stops, LAST):
        async with books(tmp_path / "broken") as kept:
            stage = await started(kept, row)
            await stage.play(market(LAST), row, stop)
        row = stop
    async with books(tmp_path / "broken") as kept:
        assert await facts_of(kept) == whole


async def test_a_restart_knows_the_last_close_that_was_handled(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        assert stage.loop.last_close is None
        await stage.play(market(LAST), FIRST, 600)
        known = stage.loop.last_close
        assert known is not None
        assert (await started(kept, 600)).loop.last_close == known


async def test_a_memory_that_is_behind_its_store_is_read_anew_and_keeps_its_candles(tmp_path: Path) -> None:
    whole = await run_whole(tmp_path / "whole")
    async with books(tmp_path / "behind") as kept:
        stage = await started(kept)
        await stage.play(market(LAST), FIRST, 600)
        for times in stage.loop.memory.cursors.values():
            times.clear()
        await stage.play(market(LAST), 599, LAST)
        assert await facts_of(kept) == whole


LOOSE = {"adx_min": 0.0, "volume_ratio_min": 0.0, "rsi_long_max": 100.0, "rsi_short_min": 0.0}


def broken_market() -> dict[Pair, Candles]:
    """Gaps short and long: each stretch behind a long one begins with signals that are seen but not trusted."""
    gaps = {450: 5, 700: 60, 1020: 9, 1250: 8}
    return {p: replace(walk(1450, seed + 11, gaps=gaps), pair=p) for seed, p in enumerate(market(1))}


async def lived(path: Path, stops: tuple[int, ...]) -> dict[str, list[tuple[object, ...]]]:
    """A run that is broken off at these rows; each start knows no more than live loads from the candle files."""
    candles, conf = broken_market(), settings(strategy=LOOSE | {"cooldown_bars": 60})
    row = FIRST
    for stop in (*stops, 1450):
        async with books(path) as kept:
            time = int(candles[LINK].time[row])
            clock = ReplayClock(to_datetime(time))
            loop = TradingLoop(conf, clock, kept.ledger)
            await loop.start()
            for pair, known in candles.items():
                start = history_start(pair, M15, int(known.time[row - 1]), conf.candles.history)
                loop.warm(known.rows(0, row).between(start, None))
            for now in range(row, stop):
                clock.advance(to_datetime(int(candles[LINK].time[now]) + M15.ms))
                await loop.handle({pair: c.rows(now, now + 1) for pair, c in candles.items()})
            row = stop
    async with books(path) as kept:
        return await facts_of(kept)


async def test_restarts_on_broken_candles_leave_the_ledger_of_an_unbroken_run(tmp_path: Path) -> None:
    """To the last bit, days on: the indicators are begun at fixed times, and early signals are remembered."""
    whole = await lived(tmp_path / "whole", ())
    signals = [d for d in whole["decisions"] if d[5]]

    assert len(signals) > 5
    for number, seed in enumerate((1, 2)):
        stops = sorted(random.Random(seed).sample(range(FIRST + 1, 1450), 12))
        assert await lived(tmp_path / str(number), tuple(stops)) == whole


async def test_an_early_signal_is_remembered_by_a_start_behind_it(tmp_path: Path) -> None:
    candles = walk(1450, seed=2, gaps={450: 5, 700: 60})
    conf = settings(strategy=LOOSE)
    found: dict[int, int] = {}
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 700, conf)
        stage.loop.warm(candles.rows(0, 700))
        for row in range(700, 900):
            await stage.loop.handle({LINK: candles.rows(row, row + 1)})
            found[row + 1] = stage.loop.memory.early.get(LINK, 0)
        for row in (760, 830, 900):
            again = await Stage.begin(kept, row, conf)
            again.loop.warm(candles.rows(0, row))
            assert again.loop.memory.early.get(LINK, 0) == found[row]

    assert len(set(found.values())) > 2


class DiesAt:
    """A ledger that fails at the n-th commit, as a process killed there would leave it."""

    def __init__(self, inner: object, at: int) -> None:
        self._inner, self._left = inner, at

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def commit(self, effect: Effect) -> bool:
        self._left -= 1
        if self._left == 0:
            raise ConnectionAbortedError("the plug is pulled")
        return bool(await self._inner.commit(effect))  # type: ignore[attr-defined]


@pytest.mark.parametrize("at", [1, 2, 77, 78, 301])
async def test_a_crash_between_exits_and_entries_is_worked_through_at_the_start(tmp_path: Path, at: int) -> None:
    whole = await run_whole(tmp_path / "whole", 700)
    async with books(tmp_path / "broken") as kept:
        stage = await started(kept)
        stage.loop._ledger = DiesAt(kept.ledger, at)  # type: ignore[assignment]
        with pytest.raises(ConnectionAbortedError):
            await stage.play(market(LAST), FIRST, 700)
    async with books(tmp_path / "broken") as kept:
        row = FIRST + (at - 1) // 2
        stage = await started(kept, row)
        done = {p: stage.loop.handled(p) for p in stage.loop._order}
        assert all(t is None or t < START + row * M15.ms for t in done.values())
        await stage.play(market(LAST), row, 700)
        assert await facts_of(kept) == whole


async def test_changing_the_future_changes_no_past_decision(tmp_path: Path) -> None:
    whole = await run_whole(tmp_path / "one")
    changed = {
        pair: replace(c, close=c.close.copy(), high=c.high.copy(), low=c.low.copy()) for pair, c in market(LAST).items()
    }
    for candles in changed.values():
        candles.close[800:] *= 1.2
        candles.high[800:] *= 1.3
    async with books(tmp_path / "two") as kept:
        stage = await started(kept)
        await stage.play(changed, FIRST, LAST)
        other = await facts_of(kept)

    cut = START + 800 * M15.ms
    assert [d for d in whole["decisions"] if d[3] < cut] == [d for d in other["decisions"] if d[3] < cut]  # type: ignore[operator]
    assert whole["decisions"] != other["decisions"]


async def test_gemini_refuses_and_the_shadow_is_followed(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept, says=Says(opinion(False)))
        await stage.play(market(LAST), FIRST, LAST)
        decisions = await kept.ledger.decisions(signals_only=True)
        rows = await kept.ledger.trade_rows()

    assert decisions
    assert {d.status for d in decisions} == {"refused"}
    assert all(d.reason == "Gemini refuses at 0.80" for d in decisions if d.gemini_approve is False)
    assert any(r.follow.follow.closed for r in rows if r.follow.kind is FollowKind.SHADOW_SIGNAL)


async def test_a_silent_gemini_is_no_opinion_and_refuses_by_default(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept, says=Says("no answer within 20 s"))
        await stage.play(market(LAST), FIRST, LAST)
        reasons = {d.reason for d in await kept.ledger.decisions(signals_only=True)}

    assert "Gemini has no opinion: no answer within 20 s" in reasons


async def test_a_signal_that_waits_for_gemini_is_told_at_once_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GEMINI_SOON", 0.01)
    async with books(tmp_path) as kept:
        stage = await started(kept, says=Says(opinion(True), seconds=0.05))
        row = FIRST
        while not (decided := await kept.ledger.decisions(signals_only=True)):
            await stage.play(market(LAST), row, row + 1)
            row += 1
        told = [item.event for item in await kept.chat.pending(100)]

    first = decided[0]
    waiting = [e for e in told if e.key == f"waiting:{first.pair}:{first.open_time}"]
    assert len(waiting) == 1
    assert isinstance(waiting[0], Notice)
    assert waiting[0].title.endswith("waiting for Gemini")
    assert first.gemini_approve


async def test_a_switched_off_pair_is_followed_but_neither_traded_nor_asked_about_nor_told(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        says = Says(opinion(True))
        stage = await started(kept, says=says)
        for pair in stage.loop._order:
            stage.loop.memory.switches[pair] = Switch(False, "switched off by Ann")
        await stage.play(market(LAST), FIRST, LAST)
        decisions = await kept.ledger.decisions(signals_only=True)
        waiting = await kept.chat.pending(1000)

    assert decisions
    assert {d.status for d in decisions} == {"refused"}
    assert says.asked == 0
    assert not waiting


async def test_a_pause_refuses_entries_and_lets_exits_go_on(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        row = FIRST
        while not stage.loop.account.positions:
            await stage.play(market(LAST), row, row + 1)
            row += 1
        closed_before = len(await kept.ledger.closed_trades())
        stage.loop.memory.controls = Controls(paused="by Ann")
        await stage.play(market(LAST), row, LAST)
        later = await kept.ledger.decisions(START + row * M15.ms, signals_only=True)
        closed = await kept.ledger.closed_trades()

    assert later
    assert all(d.status == "refused" for d in later)
    assert not stage.loop.account.positions
    assert len(closed) == closed_before + 1


async def many() -> int:
    return 500


async def test_a_weight_counts_for_the_model_it_was_granted_to_and_no_other(tmp_path: Path) -> None:
    for granted, weight in (("test-model", 0.25), ("another", 0.0)):
        async with books(tmp_path / granted) as kept:
            stage = await started(kept, says=Says(opinion(True)))
            stage.loop.memory.controls = Controls(approved_weight=0.25, approved_model=granted)
            kept.ledger.outcome_count = many  # type: ignore[method-assign]
            await stage.play(market(LAST), FIRST, LAST)
            decisions = await kept.ledger.decisions(signals_only=True)

        assert decisions
        assert {d.influence_weight for d in decisions} <= {weight, 0.0}
        assert decisions[0].influence_weight == weight


async def test_a_pair_taken_out_of_the_settings_is_followed_to_its_end(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        row = FIRST
        while not stage.loop.account.positions:
            await stage.play(market(LAST), row, row + 1)
            row += 1
        gone = stage.loop.account.positions[0].pair
        rest = [{"symbol": str(p)} for p in stage.loop._order if p != gone]
        again = await Stage.begin(kept, row, settings(pairs=rest))
        for candles in market(LAST).values():
            again.loop.warm(candles.rows(0, row))
        assert gone in again.loop.followed()
        await again.play(market(LAST), row, LAST)
        decisions = await kept.ledger.decisions(START + row * M15.ms, gone)

    assert gone not in {p.pair for p in again.loop.account.positions}
    assert decisions == []


async def test_a_signal_found_more_than_a_candle_late_is_missed_not_taken(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        stage.clock.advance(to_datetime(START + (LAST + 5) * M15.ms))
        await stage.loop.handle({pair: c.rows(FIRST, LAST) for pair, c in market(LAST).items()})
        decisions = await kept.ledger.decisions(signals_only=True)

    assert decisions
    assert {d.status for d in decisions} == {"missed"}
    assert not stage.loop.account.positions


async def test_a_long_gap_ends_what_was_open_and_it_is_no_outcome(tmp_path: Path) -> None:
    candles = market(LAST)
    async with books(tmp_path) as kept:
        stage = await started(kept)
        await stage.play(candles, FIRST, 600)
        outcomes, open_before = await kept.ledger.outcome_count(), len(stage.loop.memory.book.follows)
        stage.clock.advance(to_datetime(START + 701 * M15.ms))
        await stage.loop.handle({pair: c.rows(700, 701) for pair, c in candles.items()})
        rows = await kept.ledger.trade_rows()
        ended = [r for r in rows if r.follow.follow.exit_reason == "GAP"]

        assert open_before > 0
        assert len(ended) == open_before
        assert await kept.ledger.outcome_count() == outcomes
        assert all(r.follow.follow.exit_time == START + 599 * M15.ms for r in ended)


async def test_cash_and_open_value_equal_the_start_and_every_profit(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await started(kept)
        await stage.play(market(LAST), FIRST, LAST)
        closed = sum(t.pnl for t in await kept.ledger.closed_trades())
        state = await kept.ledger.load()

    account = stage.loop.account
    realised = closed + sum(p.pnl for p in account.positions)
    assert account.cash == pytest.approx(10_000 + realised, rel=1e-12)
    assert state.account is not None
    assert state.account.cash == account.cash
    assert state.account.equity == account.equity


async def test_two_pairs_late_and_early_end_where_all_together_do(tmp_path: Path) -> None:
    """A pair whose candles come later is handled by itself; nothing of the others is done again."""
    candles = market(LAST)
    async with books(tmp_path) as kept:
        stage = await started(kept)
        for row in range(FIRST, 600):
            stage.clock.advance(to_datetime(START + (row + 1) * M15.ms))
            early = {p: c.rows(row, row + 1) for p, c in candles.items() if p != LINK}
            await stage.loop.handle(early)
            await stage.loop.handle({LINK: candles[LINK].rows(row, row + 1)})
        rows = await kept.ledger.trade_rows()
        times = [r.decision.open_time for r in rows if r.decision.pair == LINK]
    whole = await run_whole(tmp_path / "whole", 600)

    assert times == [d[3] for d in whole["decisions"] if d[1] == "LINK/USDT"]
