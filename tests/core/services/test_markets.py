"""Pairs the exchange no longer trades are found, with what has likely become of them."""

from __future__ import annotations

from core.domain.candles import Pair
from core.ports import Market
from core.services.markets import check_pairs

RENAMES = {"MATIC/USDT": "POL/USDT"}


def listed(**active: bool) -> dict[Pair, Market]:
    return {Pair(base, "USDT"): Market(Pair(base, "USDT"), on) for base, on in active.items()}


def usdt(base: str) -> Pair:
    return Pair(base, "USDT")


def test_pairs_that_trade_are_no_problem() -> None:
    assert check_pairs(listed(LINK=True, ETH=True), [usdt("ETH"), usdt("LINK")], RENAMES) == []


def test_a_renamed_pair_names_its_successor() -> None:
    (problem,) = check_pairs(listed(POL=True, MATICX=True), [usdt("MATIC")], RENAMES)

    assert problem.successor == usdt("POL")
    assert not problem.listed
    assert str(problem) == "MATIC/USDT is not listed by the exchange; its likely successor is POL/USDT"


def test_a_successor_must_trade_itself() -> None:
    (problem,) = check_pairs(listed(POL=False, ETH=True), [usdt("MATIC")], RENAMES)

    assert problem.successor is None
    assert str(problem) == "MATIC/USDT is not listed by the exchange"


def test_a_slip_of_the_pen_finds_the_nearest_name_of_the_same_quote() -> None:
    markets = listed(AVAX=True, LINK=True) | {Pair("AVAXX", "BTC"): Market(Pair("AVAXX", "BTC"), True)}

    (problem,) = check_pairs(markets, [usdt("AVAXX")], {})

    assert problem.successor == usdt("AVAX")


def test_a_name_like_no_other_has_no_successor() -> None:
    (problem,) = check_pairs(listed(AVAX=True), [usdt("ZZTOP")], {})

    assert problem.successor is None


def test_a_paused_pair_is_a_problem_but_listed() -> None:
    (problem,) = check_pairs(listed(LINK=False, ETH=True), [usdt("ETH"), usdt("LINK")], {})

    assert (problem.pair, problem.listed, problem.successor) == (usdt("LINK"), True, None)
