"""What if, in the mode advisory: trades are decided again at the price of each yes, and no yes is made up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from core.config import Settings
from core.domain.candles import Pair, to_ms
from core.domain.trading import FollowKind
from core.engine.what_if import NOTHING, Change, Entry, Run
from core.errors import UsageError
from core.services import what_if
from core.services.what_if import Lived, Question, both_ways
from tests.core.services.test_advisory import ANN, advised, plan
from tests.core.services.test_minutes import FIRST, LAST
from tests.ledgers import market


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Lived, Settings]]:
    """A ledger of yeses, each half an R worse or better than the plan in turn, with a no as every fourth answer."""
    async with advised(tmp_path_factory.mktemp("asked")) as at:
        answers = 0
        for row in range(FIRST, LAST):
            await at.stage.play(market(LAST), row, row + 1)
            for card in await at.approvals.open("trade"):
                answers += 1
                signal = plan(card)
                shift = (0.5 if answers % 2 else -0.5) * abs(signal.entry - signal.stop)
                at.price(Pair.parse(signal.pair), signal.entry + signal.direction.sign * shift, to_ms(signal.time))
                await at.later(2)
                try:
                    await at.approvals.answer(card.approval_id, answers % 4 != 0, ANN)
                except UsageError:
                    continue
            await at.approvals.expire()
        yield await what_if._lived(at.kept.ledger, Question(NOTHING)), at.config


def _entries(run: Run) -> dict[int, Entry]:
    return {entry.past.decision.decision_id: entry for entry in run.entries}


def test_nothing_changed_is_what_was_done_at_the_price_of_each_yes(asked: tuple[Lived, Settings]) -> None:
    lived, config = asked
    for run in both_ways(lived, market(LAST), config, NOTHING):
        taken = [entry for entry in run.entries if entry.taken]
        assert len(taken) >= 3
        assert {e.past.record.follow_id for e in taken} == {t.follow_id for t in lived.trades}
        for entry in taken:
            record = entry.past.record
            assert record.kind is FollowKind.TRADE
            assert record.entry_fill != pytest.approx(record.follow.levels.entry, rel=1e-3)
            assert entry.r_net == record.r_net
            assert entry.risk == pytest.approx(record.risk_amount)
            assert entry.pnl == (pytest.approx(record.pnl) if record.follow.closed else None)


def test_another_stop_is_judged_from_the_price_of_the_yes(asked: tuple[Lived, Settings]) -> None:
    """Money over risk, both from the fill: R by the plan's entry would be of a trade that nobody made."""
    lived, config = asked
    _, after = both_ways(lived, market(LAST), config, Change(stop_atr=4.0))
    ended = [e for e in after.entries if e.taken and e.pnl is not None]
    assert ended
    paper = config.paper
    for entry in ended:
        levels, fill, sign = entry.follow.levels, entry.past.record.entry_fill, entry.follow.levels.direction.sign
        quantity = entry.risk / abs(fill - levels.stop)
        made = -fill * quantity * paper.fee_rate
        for leg in entry.follow.legs:
            price = leg.price * (1 - sign * paper.slippage_rate)
            made += quantity * leg.fraction * (sign * (price - fill) - price * paper.fee_rate)
        assert entry.pnl == pytest.approx(made)
        assert entry.r_net == pytest.approx(made / entry.risk)


def test_a_stop_that_the_price_of_the_yes_has_passed_is_no_trade(asked: tuple[Lived, Settings]) -> None:
    """A quarter of the distance: who came in half an R late towards the stop came in behind it."""
    lived, config = asked
    before, after = (_entries(r) for r in both_ways(lived, market(LAST), config, Change(stop_atr=0.5)))
    late = [
        n
        for n, e in before.items()
        if e.taken
        and e.follow.levels.direction.sign * (e.past.record.entry_fill - e.follow.levels.entry) < 0
        and not after[n].unknown
    ]
    assert late
    assert all(
        (after[n].taken, after[n].reason) == (False, "at the yes the price was too near this stop") for n in late
    )


def test_a_no_stays_a_no_and_whoever_was_not_asked_is_left_out(asked: tuple[Lived, Settings]) -> None:
    lived, config = asked
    change = Change(max_bars=5, max_positions=50)
    before, after = (_entries(r) for r in both_ways(lived, market(LAST), config, change))
    refused = [n for n, e in before.items() if not e.taken]
    by_a_person = [n for n in refused if before[n].past.verdict("approval", "person") is not None]
    assert by_a_person
    assert all(not after[n].taken and not after[n].unknown for n in by_a_person)
    now = [after[n] for n in refused if n not in by_a_person and after[n].unknown == "person"]
    assert now
    assert {(e.taken, e.reason) for e in now} == {(False, "nobody was asked for a yes then")}


def test_a_trade_of_a_time_when_nobody_was_asked_stays_one(asked: tuple[Lived, Settings]) -> None:
    """The mode was another then: the trade was made at the plan's price, and needed no yes."""
    lived, config = asked
    first = next(p for p in lived.past if p.decision.status == "taken")
    verdicts = tuple(v for v in first.decision.verdicts if v.layer != "approval")
    then = replace(first, decision=replace(first.decision, verdicts=verdicts))
    older = replace(lived, past=tuple(then if p is first else p for p in lived.past))
    for run in both_ways(older, market(LAST), config, NOTHING):
        entry = _entries(run)[first.decision.decision_id]
        assert (entry.taken, entry.unknown) == (True, "")
