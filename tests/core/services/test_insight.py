"""What blocks a pair, held against the strategy; filters, outlook, pairs and rules on a real ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from core.adapters.ccxt_market import CcxtMarket
from core.config import Exchange, Settings
from core.domain.candles import Pair, to_datetime
from core.domain.trading import Regime, Ruling
from core.engine.nearness import nearness
from core.engine.strategy import propose
from core.engine.tracker import Tracker
from core.errors import DataError, MarketError, UsageError
from core.ports import Market, MarketData, TradeRow
from core.services.added import ADDED_RISK, MOST_PAIRS, with_added
from core.services.added_pairs import AddedPairs
from core.services.bus import Bell
from core.services.filter_desk import lived_audit, lived_parts
from core.services.outlook import outlook_of, priced
from core.services.pair_depth import depth_of
from core.services.stock import stock_of
from core.services.suggested import is_leveraged, is_stable, ranked
from core.services.views import Actor
from core.services.whynot import signal_points
from tests.fakes.mexc import DAY, START, FakeMexc
from tests.lived import signal
from tests.markets import M15, walk
from tests.offices import ANN, LAST, OLE, Office, office

LINK = Pair.parse("LINK/USDT")
EVE = Actor(1003, "Eve", "viewer")


# -- /whynot


@checked(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    adx=st.sampled_from([0.0, 15.0, 25.0]),
    volume=st.sampled_from([0.0, 0.75]),
    since=st.sampled_from([None, 3, 8, 50]),
    refused=st.sampled_from(["none", "CHOPPY"]),
)
def test_when_no_filter_of_the_signal_blocks_the_strategy_gives_one_and_else_none(
    seed: int, adx: float, volume: float, since: int | None, refused: str
) -> None:
    """On the very same candles, at every row of a random walk."""
    config = Settings.model_validate(
        {"strategy": {"adx_min": adx, "volume_ratio_min": volume, "refused_regimes": refused}}
    )
    candles, signals = walk(160, seed), 0
    tracker = Tracker.over(candles.rows(0, 60), 8)
    for row in range(60, 160):
        tracker.update(candles.candle(row))
        window, snapshot = candles.rows(0, row + 1), tracker.snapshot()
        assert snapshot is not None
        last = None if since is None else int(window.time[-1 - since])
        points = signal_points(nearness(window, snapshot), snapshot, since, config)
        blocked = any(p.ruling is Ruling.REFUSE for p in points)
        found = propose(window, last, config.strategy, 8)
        assert (found is not None and found.is_signal) is not blocked
        signals += not blocked


async def test_a_quiet_pair_is_told_what_blocks_in_the_order_of_the_loop(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played(FIRST_QUIET)
        view = await at.desk.topics.insight.whynot("LINK")
        stages = [p.stage for p in view.points]
        assert stages == sorted(stages, key=["candles", "crossover", "filters", "rules", "gemini", "portfolio"].index)
        assert view.close == at.stage.loop.memory.windows[LINK].close[-1]
        if view.decision is None:
            assert view.first is not None
            assert view.first.rule == "crossover"
            assert view.near is not None
            assert view.near.crossed is None
        names = {p.rule for p in view.points}
        assert {"adx", "rsi", "volume", "regime", "cooldown", "alignment", "btc", "switch", "pause"} <= names


FIRST_QUIET = 450


async def test_what_was_decided_at_this_very_close_is_what_is_told(tmp_path: Path) -> None:
    """Row by row: the view's own word against the ledger's."""
    told = set()
    async with office(tmp_path) as at:
        for row in range(400, 600):
            await at.stage.play(_market(), row, row + 1)
            for pair in (LINK, Pair.parse("ETH/USDT")):
                view = await at.desk.topics.insight.whynot(str(pair))
                decided = await at.kept.ledger.decisions(_open(row), pair)
                assert (view.decision is not None) is bool(decided)
                if decided:
                    refusing = [v for v in decided[0].verdicts if v.ruling is Ruling.REFUSE and v.layer != "variant"]
                    assert (view.first is None) is (not refusing)
                    assert view.status == decided[0].status
                    told.add(view.status)
    assert {"taken", "candidate"} <= told


def _open(row: int) -> int:
    from tests.markets import START as BEGIN

    return BEGIN + row * M15.ms


def _market() -> Any:
    from tests.ledgers import market

    return market(LAST)


async def test_a_pause_a_switch_and_a_position_are_told_as_the_account_would_refuse(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played(FIRST_QUIET)
        await at.desk.pause(OLE)
        await at.desk.switch_pair("LINK/USDT", False, OLE)
        view = await at.desk.topics.insight.whynot("LINK/USDT")
        if view.decision is None:
            refused = {p.rule: p.words for p in view.points if p.ruling is Ruling.REFUSE}
            assert refused["switch"] == "LINK/USDT is switched off"
            assert refused["pause"] == "paused: by Ole"


async def test_too_little_history_and_an_unwatched_pair_come_first(tmp_path: Path) -> None:
    async with office(tmp_path, row=120) as at:
        view = await at.desk.topics.insight.whynot("ETH")
        assert view.first is not None
        assert view.first.words == "120 of 300 candles since the last gap: 45 hours to go"
        at.live.listing.notes[LINK] = "is not listed by the exchange"
        gone = await at.desk.topics.insight.whynot("LINK")
        assert gone.first is not None
        assert gone.first.words == "is not listed by the exchange"
        at.stage.loop.memory.histories.pop(Pair.parse("SOL/USDT"))
        none = await at.desk.topics.insight.whynot("SOL")
        assert (none.closed_at, none.first and none.first.words) == (None, "there are no candles of it yet")


async def test_a_pair_nobody_has_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        with pytest.raises(UsageError, match="DOGE/USDT is not among the pairs: LINK, ETH, SOL"):
            await at.desk.topics.insight.whynot("DOGE")


# -- /filters


async def test_the_filters_are_audited_on_what_was_lived_through_and_kept_until_something_ends(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played()
        said: list[str] = []
        insight = at.desk.topics.insight
        view = await insight.filters(lambda words, done: said.append(words))
        assert view.live is not None
        assert view.stored is None, "no candles are stored here"
        assert view.picture.startswith(b"\x89PNG")
        rows = [r for r in await at.kept.ledger.trade_rows() if r.follow.follow.closed]
        assert view.live.candidates == len(rows)
        own = {f.name: f for f in view.live.filters}
        killed = sum(any(v.rule == "adx" and v.ruling is Ruling.REFUSE for v in r.decision.verdicts) for r in rows)
        assert own["adx"].whole.killed == killed
        assert "reading the ledger" in said

        begun = time.monotonic()
        assert await insight.filters(lambda words, done: None) is view
        assert time.monotonic() - begun < 0.1
        at.stage.loop.memory.outcomes += 1
        assert await insight.filters(lambda words, done: None) is not view


async def test_without_anything_that_ended_the_filters_say_so(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        with pytest.raises(DataError, match="no crossover has ended yet"):
            await at.desk.topics.insight.filters(lambda words, done: None)


def test_what_a_filter_stopped_alone_is_counted_with_what_it_would_have_made() -> None:
    """Planted: forty crossovers that ADX alone stopped, each losing a net R of 0.7."""
    strong: list[TradeRow] = []
    weak: list[TradeRow] = []
    for number in range(80):
        decision, follow = signal(number, gross=1.2 if number % 2 else -0.5, at=60 * number)
        adx = 30.0 if number % 2 else 20.0
        snapshot = replace(
            decision.snapshot, adx=adx, rsi=50.0, volume_ratio=1.0, hurst=0.5, regime=Regime.WEAK_TRENDING
        )
        record = replace(decision, snapshot=snapshot, is_signal=adx >= 25)
        (strong if adx >= 25 else weak).append(TradeRow(record, follow))
    found = lived_audit(lived_parts([*weak, *strong], Settings()), Settings())
    assert found is not None
    adx_audit = next(f for f in found.filters if f.name == "adx")

    assert (adx_audit.whole.killed, adx_audit.whole.killed_alone) == (40, 40)
    assert adx_audit.whole.alone.net == pytest.approx(-0.7)
    assert adx_audit.whole.alone.n == 40
    assert adx_audit.verdict == "helps"


# -- outlook


async def test_the_outlook_names_the_date_and_each_way_with_its_price(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played()
        view = await at.desk.topics.insight.outlook()
        outcomes = await at.kept.ledger.outcome_count()
        assert (view.title, view.needed, view.have) == ("50 outcomes", 50, outcomes)
        assert view.due is not None
        more = next(c for c in view.changes if c.command == "pairs suggest")
        assert more.words == "Add 7 pairs"
        assert more.due is not None
        assert more.due < view.due.at
        net = [r.follow.r_net for r in await at.kept.ledger.trade_rows(signals_only=True) if r.follow.r_net is not None]
        assert more.n == len(net)
        assert more.price_r == pytest.approx(sum(net) / len(net))
        dues = [c.due for c in view.changes if c.due is not None]
        assert dues == sorted(dues), "the shortest way first"


async def test_the_outlook_costs_nothing_until_something_has_happened(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played()
        insight = at.desk.topics.insight
        first = await insight.outlook()
        begun = time.monotonic()
        for _ in range(60):
            assert await insight.outlook() is first
        assert time.monotonic() - begun < 0.05
        at.stage.loop.memory.outcomes += 1
        assert await insight.outlook() is not first


async def test_a_looser_rule_has_the_price_of_exactly_what_it_would_have_added(tmp_path: Path) -> None:
    config = Settings.model_validate({"pairs": [{"symbol": "LINK/USDT"}]})
    rows = []
    for number in range(60):
        decision, follow = signal(number, gross=1.0 if number % 3 == 0 else -1.0, at=40 * number)
        adx = (30.0, 22.0, 12.0)[number % 3]
        snapshot = replace(
            decision.snapshot, adx=adx, rsi=50.0, volume_ratio=1.0, hurst=0.5, regime=Regime.WEAK_TRENDING
        )
        rows.append(TradeRow(replace(decision, snapshot=snapshot, is_signal=adx >= 25), follow))
    found = priced(rows, config)
    adx_20 = next(each for each in found.looser if dict(each.values) == {"strategy.adx_min": 20.0})

    assert (adx_20.signals, adx_20.added, adx_20.price.n) == (20, 20, 20)
    assert adx_20.price.mean == pytest.approx(-1.2)
    assert found.signals.mean == pytest.approx(0.8)
    stock = stock_of(config, to_datetime(START + 60 * DAY), None, (), {})
    seen = replace(stock.forecast.seen, outcomes=20, days=25.0, pairs=1)
    from core.ml.forecast import forecast

    ahead = replace(stock, forecast=forecast(seen, stock.now, config.gate))
    view = outlook_of(ahead, found, config, MOST_PAIRS)
    rule = next(c for c in view.changes if c.command == "rule strategy.adx_min=20")
    assert rule.n == 20
    assert rule.price_r == pytest.approx(-1.2)
    assert view.due is not None
    assert rule.due is not None
    assert rule.due < view.due.at


def _at_adx(number: int, at: int, adx: float) -> TradeRow:
    decision, follow = signal(number, gross=1.0, at=at)
    snapshot = replace(decision.snapshot, adx=adx, rsi=50.0, volume_ratio=1.0, hurst=0.5, regime=Regime.WEAK_TRENDING)
    return TradeRow(replace(decision, snapshot=snapshot, is_signal=adx >= 25), follow)


@pytest.mark.parametrize(("before", "lost", "told"), [(3, 20, False), (20, 0, True)])
def test_a_rule_that_only_comes_sooner_to_the_same_moves_shortens_nothing(before: int, lost: int, told: bool) -> None:
    """Each signal has a weaker one ``before`` bars earlier: near enough, its cooldown keeps the signal itself out."""
    config = Settings.model_validate({"pairs": [{"symbol": "LINK/USDT"}]})
    rows = [_at_adx(2 * n + 1, 40 * n - before, 22.0) for n in range(1, 21)]
    rows += [_at_adx(2 * n, 40 * n, 30.0) for n in range(1, 21)]
    found = priced(rows, config)
    adx_20 = next(each for each in found.looser if dict(each.values) == {"strategy.adx_min": 20.0})
    assert (adx_20.signals, adx_20.added, adx_20.lost, adx_20.more) == (20, 20, lost, 20 - lost)

    stock = stock_of(config, to_datetime(START + 60 * DAY), None, (), {})
    from core.ml.forecast import forecast

    seen = replace(stock.forecast.seen, outcomes=20, days=25.0, pairs=1)
    view = outlook_of(replace(stock, forecast=forecast(seen, stock.now, config.gate)), found, config, len(config.pairs))
    assert ("rule strategy.adx_min=20" in [c.command for c in view.changes]) is told


async def test_an_empty_ledger_has_an_outlook_without_a_date(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        view = await at.desk.topics.insight.outlook()
        assert (view.have, view.due, view.changes) == (0, None, ())


# -- pairs


def test_added_pairs_stand_behind_the_configured_ones_with_half_the_risk() -> None:
    config = Settings.model_validate({"pairs": [{"symbol": "LINK/USDT", "risk": 0.9}]})
    merged = with_added(config, ("ARB/USDT", "LINK/USDT", "no pair at all", "ARB/USDT"))
    assert [(p.symbol, p.risk, p.enabled) for p in merged.pairs] == [
        ("LINK/USDT", 0.9, True),
        ("ARB/USDT", ADDED_RISK, True),
    ]
    assert with_added(config, ()) is config


def test_there_are_never_more_pairs_than_the_most() -> None:
    many = tuple(f"A{n}/USDT" for n in range(100))
    assert len(with_added(Settings(), many).pairs) == MOST_PAIRS


def test_what_is_no_coin_of_its_own_is_left_out_and_the_most_liquid_come_first() -> None:
    names = ["LINK", "ARB", "JUP", "BTC", "BTC3L", "ETH5S", "ETH", "BTCUP", "USDC", "FDUSD", "DAI", "THIN", "OFF"]
    markets = {p: Market(p, p.base != "OFF") for p in (Pair(n, "USDT") for n in names)}
    markets[Pair("ARB", "BTC")] = Market(Pair("ARB", "BTC"), active=True)
    volumes = {p: 10e6 + n for n, p in enumerate(markets)} | {Pair("THIN", "USDT"): 5_000.0}

    found = [r.pair.base for r in ranked(markets, volumes, {LINK})]
    assert found == ["ETH", "BTC", "JUP", "ARB"]
    assert is_stable("USDE")
    assert not is_leveraged("JUP", {"JUP", "BTC"})


@pytest.mark.parametrize("days", [0.5, 3.0, 20.0, 200.0, 729.0, 2_000.0])
async def test_how_far_back_the_exchange_goes_is_found_by_a_few_questions(days: float) -> None:
    now = START + 3_000 * DAY
    async with FakeMexc(now=now, first=now - int(days * DAY)).serving() as mexc:
        market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
        found = await depth_of(market, LINK, M15, 730 * DAY, now, 500)
        await market.close()

    assert found.whole is (days >= 730)
    assert min(days, 730) - 0.1 <= found.days <= min(days, 730) + 5.3 if found.whole else abs(found.days - days) < 0.05
    assert len(mexc.asked("klines")) <= 10


async def test_missing_candles_are_counted_in_what_was_looked_at() -> None:
    now = START + 100 * DAY
    gone = {now - now % M15.ms - n * M15.ms for n in (10, 11, 12, 40)}
    async with FakeMexc(now=now, absent=gone).serving() as mexc:
        market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
        found = await depth_of(market, LINK, M15, 730 * DAY, now, 500)
        await market.close()
    assert (found.missing, found.longest_gap) == (4, 3)


class Shop:
    """The pairs' shop on a real exchange's client, with what asked for a new beginning."""

    def __init__(self, at: Office, market: CcxtMarket, config: Settings, added: tuple[Pair, ...] = ()) -> None:
        self.asked = 0
        stock = at.desk.topics.insight._outlook._stock
        self.pairs = AddedPairs(
            config, added, at.stage.clock, at.kept.ledger, at.stage.loop, cast(MarketData, market), stock, Bell(),
            self.again, asyncio.Event().wait,
        )  # fmt: skip

    def again(self) -> None:
        self.asked += 1


@asynccontextmanager
async def shop(path: Path, **exchange: Any) -> AsyncIterator[tuple[Shop, Office, FakeMexc]]:
    symbols = dict.fromkeys(
        ("LINKUSDT", "ETHUSDT", "SOLUSDT", "ARBUSDT", "DOTUSDT", "ADAUSDT", "YOUNGUSDT", "USDCUSDT", "ETH3LUSDT"), "1"
    ) | {"OLDUSDT": "2"}
    now = START + 200 * DAY
    async with FakeMexc(now=now, symbols=symbols, **exchange).serving() as mexc, office(path) as at:
        market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
        try:
            yield Shop(at, market, at.stage.loop.in_force), at, mexc
        finally:
            await market.close()


async def test_two_liquid_pairs_at_a_time_with_their_history(tmp_path: Path) -> None:
    volumes = {"ARBUSDT": 9e6, "DOTUSDT": 8e6, "ADAUSDT": 7e6, "YOUNGUSDT": 2e3}
    async with shop(tmp_path, volumes=volumes) as (there, _, mexc):
        first = await there.pairs.suggest()
        assert [(s.pair, s.volume) for s in first.pairs] == [("ARB/USDT", 9e6), ("DOT/USDT", 8e6)]
        assert first.pairs[0].depth.days == pytest.approx(200, abs=0.1)
        assert (first.after, first.liquid, first.room) == (2, 3, MOST_PAIRS - 3)
        second = await there.pairs.suggest(2)
        assert [s.pair for s in second.pairs] == ["ADA/USDT"]
        assert second.after is None
        asked = len(mexc.requests)
        await there.pairs.suggest()
        assert len(mexc.requests) == asked + 1, "only what time it is: the rest is known"
        assert (await there.pairs.suggest(50)).pairs == ()


async def test_a_pair_that_was_added_is_in_the_store_with_an_audit_entry_and_asks_for_a_new_beginning(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as (there, at, _):
        shown = await there.pairs.plan("arb", add=True)
        assert (shown.done, shown.pairs, shown.risk, shown.requests) == (False, 4, ADDED_RISK, 96)
        assert there.asked == 0
        done = await there.pairs.change("arb", True, OLE)
        assert done.done
        assert there.asked == 1
        assert (await at.kept.ledger.controls()).added == ("ARB/USDT",)
        assert (await at.kept.ledger.load()).controls == at.stage.loop.memory.controls
        newest = (await at.kept.chat.audit_rows(1))[0]
        assert (newest["action"], newest["user_name"]) == ("add_pair", "Ole")
        with pytest.raises(UsageError, match="among the pairs already"):
            await there.pairs.change("ARB/USDT", True, OLE)
        assert there.asked == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("LINK", "is among the pairs already"),
        ("NOPE", "is not listed by the exchange"),
        ("OLD", "does not trade at the moment"),
        ("USDC", "stands for money"),
        ("ETH3L", "is a leveraged token"),
    ],
)
async def test_what_cannot_be_added_is_refused_with_a_sentence(tmp_path: Path, name: str, why: str) -> None:
    async with shop(tmp_path) as (there, at, _):
        with pytest.raises(UsageError, match=why):
            await there.pairs.change(name, True, ANN)
        assert at.stage.loop.memory.controls.added == ()
        assert there.asked == 0


async def test_a_viewer_adds_nothing_and_a_configured_pair_is_not_removed(tmp_path: Path) -> None:
    async with shop(tmp_path) as (there, _, _):
        with pytest.raises(UsageError, match="viewer"):
            await there.pairs.change("ARB", True, EVE)
        with pytest.raises(UsageError, match=r"LINK/USDT is in config.yaml"):
            await there.pairs.plan("LINK", add=False)
        with pytest.raises(UsageError, match="DOGE/USDT is not among the pairs"):
            await there.pairs.plan("DOGE", add=False)
        assert there.asked == 0


async def test_an_exchange_that_is_silent_suggests_nothing_and_is_asked_again(tmp_path: Path) -> None:
    from tests.fakes.mexc import broken

    async with shop(tmp_path) as (there, _, mexc):
        mexc.faulty_route, mexc.faults = "/api/v3/ticker/24hr", [broken()]
        with pytest.raises(MarketError):
            await there.pairs.suggest()
        assert (await there.pairs.suggest()).pairs


async def test_that_a_pair_is_on_is_told_once_also_after_a_restart(tmp_path: Path) -> None:
    async with shop(tmp_path) as (there, at, _):
        arb = Pair.parse("ARB/USDT")
        config = with_added(at.stage.loop.in_force, ("ARB/USDT",))

        async def told() -> list[str]:
            return [i.event.title for i in await at.kept.chat.pending(50) if i.event.kind == "notice"]

        for _ in range(2):
            late = Shop(at, cast(CcxtMarket, None), config, (arb,))
            await late.pairs.review()
            assert "ARB/USDT is on" not in await told(), "its history is not there yet"
        at.stage.loop.memory.histories[arb] = at.stage.loop.memory.histories[LINK]
        for _ in range(2):
            await Shop(at, cast(CcxtMarket, None), config, (arb,)).pairs.review()
        assert (await told()).count("ARB/USDT is on") == 1

        for _ in range(2):
            await Shop(at, cast(CcxtMarket, None), at.stage.loop.in_force).pairs.review()
        assert (await told()).count("ARB/USDT is no longer among the pairs") == 1
        assert there.asked == 0


# -- /rule


async def test_another_rule_becomes_a_question_to_the_approvers_with_its_evidence(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played()
        insight = at.desk.topics.insight
        number = await insight.ask_rule({"volume_ratio_min": "0.5"}, OLE)
        card = await at.desk.approval(number)
        assert card is not None
        assert card.title == "Change a rule: strategy.volume_ratio_min 0 → 0.5?"
        assert card.lines[0].startswith("Ole asks for the lowest volume ratio")
        with pytest.raises(UsageError, match=f"approval {number} already asks"):
            await insight.ask_rule({"strategy.adx_min": "5"}, OLE)
        await at.desk.answer_approval(number, True, ANN)
        assert at.stage.loop.memory.controls.changes["strategy.volume_ratio_min"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"paper.fee_rate": "0"}, "is not a rule"),
        ({"strategy.adx_min": "10"}, "counts already"),
        ({"strategy.adx_min": "lots"}, "is not possible"),
        ({"strategy.adx_min": "1000"}, "is not possible"),
    ],
)
async def test_a_rule_that_cannot_be_is_a_sentence(tmp_path: Path, values: dict[str, str], why: str) -> None:
    from core.errors import JulabaError

    async with office(tmp_path) as at:
        with pytest.raises(JulabaError, match=why):
            await at.desk.topics.insight.ask_rule(values, OLE)
        with pytest.raises(UsageError, match="viewer"):
            await at.desk.topics.insight.ask_rule(values, EVE)
