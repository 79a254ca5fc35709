"""What if: nothing changed is what was done, and a change is what the live loop itself makes of that setting."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.candles import Candles, Pair, to_ms
from core.domain.trading import Candidate, Direction, ExitReason, GeminiOpinion
from core.engine.what_if import NOTHING, Change, Run
from core.errors import UsageError
from core.ports import Prediction, TradeRow
from core.services import what_if
from core.services.reading import Stores
from core.services.what_if import Lived, Question, WhatIfView, both_ways, what_if_job
from tests.ledgers import Stage, books, market, settings, stores_in
from tests.offices import LAST, office

FIRST, ROWS = 400, 1300
SOL = Pair.parse("SOL")
BASE = settings(strategy={"adx_min": 20.0, "volume_ratio_min": 0.5})


class Gemini:
    """Its answer hangs on the candle alone, so that two lives hear the same."""

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        mood = (candidate.open_time // 900_000 * 7 + ord(candidate.pair.base[0])) % 97
        return GeminiOpinion(mood % 4 != 0, 0.6 + 0.4 * mood / 97, "because", (), "test")


class Model:
    model_id = "m1"

    async def predict(
        self, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
    ) -> Prediction | str:
        return Prediction("m1", ((at or 0) // 900_000 * 11) % 89 / 89, (), size_rank=0.5)


@dataclass(frozen=True)
class Life:
    """A ledger that was lived through with these settings, on candles that are stored beside it."""

    settings: Settings
    store: CandleFiles
    stores: Stores
    rows: tuple[TradeRow, ...]

    def both(self, change: Change, last: int = 1000) -> tuple[Run, Run]:
        return both_ways(self.lived(change, last), self.candles(change, last), self.settings, change)

    def lived(self, change: Change, last: int) -> Lived:
        async def look() -> Lived:
            async with self.stores() as (ledger, _):
                return await what_if._lived(ledger, Question(change, last))

        return asyncio.run(look())

    def candles(self, change: Change, last: int) -> dict[Pair, Candles]:
        return what_if._candles(self.store, self.lived(change, last).past, self.settings)

    def ask(self, question: Question) -> WhatIfView:
        return what_if_job(lambda words, done: None, self.store, self.stores, self.settings, question)

    @property
    def taken(self) -> dict[tuple[Pair, int], TradeRow]:
        return {(r.decision.pair, r.decision.open_time): r for r in self.rows if r.decision.status == "taken"}


def life(conf: Settings = BASE, advised: bool = True) -> Life:
    """Lived through once for all tests: nothing changes it."""
    return _life(conf.model_dump_json(), advised)


@cache
def _life(text: str, advised: bool) -> Life:
    conf = Settings.model_validate_json(text)
    kept_until_the_end = TemporaryDirectory(prefix="what-if-")
    atexit.register(kept_until_the_end.cleanup)
    folder = Path(kept_until_the_end.name)
    candles, store = market(ROWS), CandleFiles(folder / "candles")
    for each in candles.values():
        store.save(each)

    async def live() -> tuple[TradeRow, ...]:
        parts: dict[str, Any] = {"advisor": Gemini(), "predictor": Model()} if advised else {}
        async with books(folder) as kept:
            stage = await Stage.begin(kept, FIRST, conf, **parts)
            for each in candles.values():
                stage.loop.warm(each.rows(0, FIRST))
            await stage.play(candles, FIRST, ROWS)
            return tuple(await kept.ledger.trade_rows())

    return Life(conf, store, stores_in(folder), asyncio.run(live()))


def assert_as_done(run: Run) -> None:
    """The same taken, each with the same R and, closed, the same money, to the last bit."""
    for entry in run.entries:
        record = entry.past.record
        assert entry.taken == (entry.past.decision.status == "taken"), entry.reason
        assert entry.r_net == record.r_net
        assert entry.follow == record.follow
        assert not entry.unknown
        if entry.taken:
            assert (entry.pnl, entry.risk) == (record.pnl if record.follow.closed else None, record.risk_amount)


@asynccontextmanager
async def asked_office(path: Path) -> AsyncIterator[Any]:
    for candles in market(LAST).values():
        CandleFiles(path).save(candles)
    async with office(path) as at:
        yield await at.played()


async def test_nothing_changed_is_what_was_done_at_a_desk(tmp_path: Path) -> None:
    async with asked_office(tmp_path) as at:
        found = await at.desk.topics.research.what_if(Question(NOTHING), lambda words, done: None)
        trades = await at.desk.trades(1000)

    assert (found.flips_total, found.moved, found.not_reproduced, found.apart) == (0, 0, 0, 0)
    assert found.before == found.after
    assert found.after.closed == trades.total > 3
    assert found.after.pnl == pytest.approx(trades.pnl, rel=1e-12)


@pytest.mark.parametrize("advised", [True, False])
@pytest.mark.parametrize("last", [1, 7, 20, 1000])
def test_nothing_changed_is_what_was_done_from_wherever_it_begins(advised: bool, last: int) -> None:
    """The account in the middle of the ledger is put together from what is stored: with open trades, peak, day."""
    before, after = life(advised=advised).both(NOTHING, last)

    assert_as_done(before)
    assert_as_done(after)
    assert len(after.entries) == min(last, sum(r.decision.is_signal for r in life(advised=advised).rows))


NO_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "stop_atr": st.just(BASE.strategy.stop_atr),
        "max_bars": st.just(BASE.strategy.max_bars),
        "breakeven": st.just(False),
        "weight": st.just(0.0),  # nobody has granted one
        "pairs": st.dictionaries(st.sampled_from(BASE.traded), st.just(True)),
        "max_positions": st.just(BASE.portfolio.max_positions),
        "strategy": st.sampled_from(
            [
                {},
                {"adx_min": 20.0},
                {"volume_ratio_min": 0.5, "cooldown_bars": 8},
                {"rsi_long_max": 70.0, "rsi_short_min": 30.0},
            ]
        ),
    },
)


@given(NO_CHANGES, st.integers(1, 60), st.booleans())
@rules(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_change_to_what_is_already_so_changes_nothing(change: dict[str, Any], last: int, advised: bool) -> None:
    _, after = life(advised=advised).both(Change(**change), last)

    assert_as_done(after)


def strategy(**changes: object) -> Settings:
    return BASE.model_copy(update={"strategy": BASE.strategy.model_copy(update=changes)})


def section(name: str, **changes: object) -> Settings:
    return BASE.model_copy(update={name: getattr(BASE, name).model_copy(update=changes)})


SOL_OFF = BASE.model_copy(
    update={"pairs": tuple(p.model_copy(update={"enabled": p.symbol != "SOL/USDT"}) for p in BASE.pairs)}
)

REAL_CHANGES: dict[str, tuple[Change, Settings]] = {
    "one position": (Change(max_positions=1), section("portfolio", max_positions=1)),
    "a wide stop": (Change(stop_atr=3.0), strategy(stop_atr=3.0)),
    "a narrow stop": (Change(stop_atr=1.0), strategy(stop_atr=1.0)),
    "a short life": (Change(max_bars=20), strategy(max_bars=20)),
    "breakeven": (Change(breakeven=True), strategy(breakeven_after_tp1=True)),
    "no alignment": (Change(skip=frozenset({"alignment"})), section("rules", alignment="record")),
    "no BTC rule": (Change(skip=frozenset({"btc"})), section("rules", btc="record")),
    "a pair off": (Change(pairs={SOL: False}), SOL_OFF),
    "a stronger trend": (Change(strategy={"adx_min": 30.0}), strategy(adx_min=30.0)),
    "a long pause": (Change(strategy={"cooldown_bars": 40}), strategy(cooldown_bars=40)),
    "several": (
        Change(stop_atr=1.5, pairs={SOL: False}, max_positions=1),
        SOL_OFF.model_copy(
            update={
                "strategy": BASE.strategy.model_copy(update={"stop_atr": 1.5}),
                "portfolio": BASE.portfolio.model_copy(update={"max_positions": 1}),
            }
        ),
    ),
}


@pytest.mark.parametrize("advised", [True, False])
@pytest.mark.parametrize("name", REAL_CHANGES)
def test_a_change_is_what_the_live_loop_makes_of_that_setting(name: str, advised: bool) -> None:
    """The same candles lived through with the setting itself: the same trades, R and money, also where one trade has
    made room for another."""
    change, conf = REAL_CHANGES[name]
    truth = life(conf, advised).taken
    _, run = life(advised=advised).both(change)
    found = {(e.past.decision.pair, e.past.decision.open_time): e for e in run.entries if e.taken}

    assert found.keys() == truth.keys()
    for key, entry in found.items():
        record = truth[key].follow
        assert entry.r_net == (None if record.r_net is None else pytest.approx(record.r_net, rel=1e-9))
        assert entry.risk == pytest.approx(record.risk_amount, rel=1e-12)
        if record.follow.closed:
            assert entry.pnl == pytest.approx(record.pnl, rel=1e-12)


def test_some_of_these_changes_do_flip_trades() -> None:
    """Or the tests above would say nothing."""
    flips = {name: life().ask(Question(change, 1000)).flips_total for name, (change, _) in REAL_CHANGES.items()}

    assert sum(count > 0 for count in flips.values()) >= 6, flips


def test_without_gemini_is_what_the_loop_does_without_its_key() -> None:
    _, run = life().both(Change(skip=frozenset({"gemini"})))

    assert {e.past.decision.open_time for e in run.entries if e.taken} == {t for _, t in life(advised=False).taken}


def test_a_filter_loosened_leaves_out_what_gemini_was_never_asked_and_counts_it() -> None:
    strict = strategy(adx_min=30.0)
    view = life(strict, True).ask(Question(Change(strategy={"adx_min": 20.0}), 1000))
    alone = life(strict, False).ask(Question(Change(strategy={"adx_min": 20.0}), 1000))

    assert view.unknown["gemini"] > 0
    assert view.after.taken == view.before.taken
    assert alone.unknown == {}
    assert alone.after.taken > alone.before.taken


def test_a_weight_counts_in_the_confidence_and_in_the_size() -> None:
    before, after = life().both(Change(weight=0.9))
    was = {e.past.record.follow_id: e for e in before.entries}
    both = [(was[e.past.record.follow_id], e) for e in after.entries if e.taken and was[e.past.record.follow_id].taken]
    equal = [(b, a) for b, a in both if b.past.verdict("size", "risk")]

    assert [e.taken for e in after.entries] != [e.taken for e in before.entries]
    assert equal
    assert all(a.risk < 0.7 * b.risk for b, a in equal)  # the size model's rank is 0.5: x (1 - 0.9 * 0.5), at most


def test_candles_that_are_not_stored_leave_a_stop_as_it_was_and_are_counted(tmp_path: Path) -> None:
    known = life()
    bare = replace(known, store=CandleFiles(tmp_path))
    view = bare.ask(Question(Change(stop_atr=3.0), 10))

    assert view.unknown["candles"] == 10
    assert view.moved == 0


def test_one_trade_is_shown_both_ways_with_its_chart() -> None:
    closed = next(r for r in life().rows if r.decision.status == "taken" and r.follow.follow.closed)
    view = life().ask(Question(Change(stop_atr=3.0), number=closed.follow.follow_id, is_trade=True))
    same = life().ask(Question(Change(stop_atr=3.0), number=closed.decision.decision_id))

    one = view.single
    assert one is not None
    assert one == same.single
    assert (one.trade_id, one.before.r_net) == (closed.follow.follow_id, closed.follow.r_net)
    assert one.before.stop == closed.follow.follow.levels.stop
    assert abs(one.after.stop - one.entry) == pytest.approx(1.5 * abs(one.before.stop - one.entry))
    assert one.picture is not None
    assert one.picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(("number", "is_trade"), [(99_999, False), (99_999, True)])
def test_a_number_that_nobody_has_is_said(number: int, is_trade: bool) -> None:
    with pytest.raises(UsageError, match="there is no"):
        life().ask(Question(Change(stop_atr=3.0), number=number, is_trade=is_trade))


def test_a_candidate_is_pointed_to_why() -> None:
    stopped = next(r for r in life().rows if not r.decision.is_signal)
    with pytest.raises(UsageError, match="/why"):
        life().ask(Question(Change(stop_atr=3.0), number=stopped.decision.decision_id))


async def test_an_empty_ledger_has_nothing_to_decide_again(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        with pytest.raises(UsageError, match="no signals yet"):
            await at.desk.topics.research.what_if(Question(NOTHING), lambda words, done: None)


async def test_a_trade_closed_by_hand_stays_so_and_a_wider_stop_is_closed_by_the_same_hand(tmp_path: Path) -> None:
    from core.engine.between import ByHand
    from core.engine.refollow import followed_again
    from core.engine.strategy import levels

    for candles in market(LAST).values():
        CandleFiles(tmp_path).save(candles)
    async with office(tmp_path) as at:
        loop, row = at.stage.loop, FIRST
        while row < 500 or not loop.account.positions:
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        position = loop.account.positions[0]
        at_ms = to_ms(at.desk.now())
        (ended,) = await loop.close_by_hand([ByHand(position.trade_id, position.mark, at_ms)])
        known = await at.kept.ledger.row_of(ended.decision_id)
        assert known is not None
        wide = levels(position.direction, ended.follow.levels.entry, known.decision.snapshot.atr, 50.0)
        again = followed_again(ended, wide, market(LAST)[position.pair], at.stage.loop.in_force)
        unchanged = await at.desk.topics.research.what_if(Question(NOTHING), lambda words, done: None)

    assert again is not None
    assert (again.exit_reason, again.exit_price) == (ExitReason.MANUAL, position.mark)
    assert again.exit_time == ended.follow.exit_time
    assert (unchanged.flips_total, unchanged.moved, unchanged.not_reproduced) == (0, 0, 0)
