"""A looser ADX filter: more rows, the same signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Candles, Pair
from core.errors import UsageError
from core.services.backtest import Backtest, run_backtest
from core.services.loosened import kinds_in_words, loosened_settings, with_loosened
from core.services.samples import samples_of
from tests.markets import LINK, walk

OWN = Settings()
CANDLES: dict[Pair, Candles] = {LINK: walk(6000, seed=6), Pair.parse("ETH/USDT"): walk(4000, seed=7)}
CANDLES = {pair: replace(candles, pair=pair) for pair, candles in CANDLES.items()}


def rows(result: Backtest, *, signals: bool) -> set[tuple[str, int]]:
    return {
        (str(part.pair), int(row))
        for part in result.parts
        for row, is_signal in zip(part.entries.row, part.entries.is_signal, strict=True)
        if is_signal or not signals
    }


@pytest.fixture(scope="module")
def mixed() -> Backtest:
    everything = run_backtest(CANDLES, OWN, candidates=True)
    return with_loosened(everything, loosened_settings(OWN, 20).strategy)


def test_the_signals_stay_the_strategy_s_own(mixed: Backtest) -> None:
    assert rows(mixed, signals=True) == rows(run_backtest(CANDLES, OWN), signals=True) != set()


def test_what_only_the_looser_filter_lets_through_is_there_as_a_candidate(mixed: Backtest) -> None:
    loose = rows(run_backtest(CANDLES, loosened_settings(OWN, 20)), signals=True)
    own = rows(mixed, signals=True)

    assert rows(mixed, signals=False) == own | loose
    assert loose - own
    for part in mixed.parts:
        adx = part.at_entry.adx
        assert ((adx >= 25) | ~part.entries.is_signal).all()
        assert (adx >= 20).all()


def test_no_signal_is_lost_to_the_cooldown_after_a_looser_one() -> None:
    patient = OWN.model_copy(update={"strategy": OWN.strategy.model_copy(update={"cooldown_bars": 150})})
    own = rows(run_backtest(CANDLES, patient), signals=True)
    loose = rows(run_backtest(CANDLES, loosened_settings(patient, 20)), signals=True)
    both = with_loosened(run_backtest(CANDLES, patient, candidates=True), loosened_settings(patient, 20).strategy)

    assert own - loose, "a looser signal before it has begun the cooldown"
    assert rows(both, signals=True) == own


def test_training_takes_them_for_candidates(mixed: Backtest) -> None:
    samples = samples_of(mixed)
    signals = int(samples.is_signal.sum())

    assert len(samples) == len(mixed)
    assert signals == len(rows(mixed, signals=True))
    assert set(samples.source) == {"backtest"}
    assert kinds_in_words(mixed) == f"{signals} signals and {len(samples) - signals} candidates"


def test_each_row_keeps_its_own_outcome(mixed: Backtest) -> None:
    whole = run_backtest(CANDLES, OWN, candidates=True)
    for part, every in zip(mixed.parts, whole.parts, strict=True):
        place = np.searchsorted(every.entries.row, part.entries.row)
        assert (every.outcomes.realized_r[place] == part.outcomes.realized_r).all()
        assert (every.net_r[place] == part.net_r).all()
        assert len(part.at_entry.adx) == len(part)


@pytest.mark.parametrize("value", [25.0, 30.0, -1.0, float("nan")])
def test_what_is_not_looser_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="does not loosen the filter: take 0 or more and less than 25"):
        loosened_settings(OWN, value)


def test_the_settings_given_stay_as_they_were() -> None:
    assert loosened_settings(OWN, 20).strategy.adx_min == 20
    assert OWN.strategy.adx_min == 25


def test_a_backtest_of_signals_alone_cannot_be_loosened() -> None:
    with pytest.raises(ValueError, match="among all candidates"):
        with_loosened(run_backtest(CANDLES, OWN), OWN.strategy)
