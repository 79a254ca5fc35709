"""What ``--set`` takes, and what it says of what it does not take."""

from __future__ import annotations

import pytest

from core.config import Settings, Strategy
from core.errors import UsageError
from core.services.sweep.grid import DEFAULT_GRID, known_keys, parse_grid

BASE = Settings(strategy=Strategy(adx_min=21))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("adx_min=20:30:2.5", (20, 22.5, 25, 27.5, 30)),
        ("volume_ratio_min=0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("adx_min=20:29:4", (20, 24, 28)),
        ("adx_min=20:20:1", (20,)),
        ("stop_atr=2, 1.5,2.0", (2, 1.5)),
        ("cooldown_bars=4,8:16:4", (4, 8, 12, 16)),
        ("strategy.max_bars=50,100", (50, 100)),
        ("breakeven_after_tp1=true,FALSE", (True, False)),
        ("fills=reference,pessimistic", ("reference", "pessimistic")),
        ("fee_rate=0,0.001", (0, 0.001)),
        ("paper.slippage_rate=5e-4", (0.0005,)),
    ],
)
def test_lists_and_ranges(text: str, values: tuple[object, ...]) -> None:
    grid = parse_grid([text], BASE)

    assert tuple(grid.axes.values()) == (values,)
    assert [s.values[0] for s in grid.settings] == list(values)


def test_every_combination_once_and_what_is_not_named_stays() -> None:
    grid = parse_grid(["rsi_long_max=60,70,80", "stop_atr=1,2", "fee_rate=0.001"], BASE)

    assert len({s.values for s in grid.settings}) == len(grid.settings) == grid.combinations == 6
    assert [s.number for s in grid.settings] == list(range(6))
    for setting in grid.settings:
        whole = setting.of(BASE)
        rsi, stop, fee = setting.values
        assert whole.strategy == Strategy(adx_min=21, rsi_long_max=float(rsi), stop_atr=float(stop))
        assert whole.paper == BASE.paper.model_copy(update={"fee_rate": fee})


def test_settings_with_the_same_exits_lie_together() -> None:
    stops = [s.values[1] for s in parse_grid(["adx_min=10:30:1", "stop_atr=1,2,3"], BASE).settings]

    assert stops == sorted(stops)


def test_without_a_word_the_grid_lies_around_what_is_usual() -> None:
    grid = parse_grid([], Settings())

    assert len(grid.axes) == len(DEFAULT_GRID)
    assert any(s.strategy == Strategy() for s in grid.settings)


def test_a_lot_is_drawn_without_repeats_and_the_same_for_the_same_seed() -> None:
    texts = ["adx_min=0:99:1", "rsi_long_max=0:99:1", "cooldown_bars=0:99:1"]
    one, same, other = (parse_grid(texts, BASE, sample=500, seed=seed) for seed in (1, 1, 2))

    assert (len({s.values for s in one.settings}), one.combinations) == (500, 1_000_000)
    assert one.settings == same.settings
    assert one.settings != other.settings
    assert parse_grid(["adx_min=1,2"], BASE, sample=9).settings == parse_grid(["adx_min=1,2"], BASE).settings


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["adx=20"], "there is no setting 'adx'; known here: adx_min"),
        (["adx_min"], "must be KEY=VALUES"),
        (["adx_min="], "adx_min: '' cannot be"),
        (["adx_min=20,,30"], "adx_min: '' cannot be"),
        (["adx_min=120"], "adx_min: 120 cannot be: Input should be less than or equal to 100"),
        (["adx_min=20:200:60"], "adx_min: 140 cannot be"),
        (["adx_min=true"], "true and false are switches"),
        (["cooldown_bars=8.5"], "cooldown_bars: 8.5 cannot be"),
        (["stop_atr=0"], "greater than or equal to 0.01"),
        (["stop_atr=1e-300"], "stop_atr: 1e-300 cannot be"),
        (["stop_atr=nan"], "stop_atr: nan cannot be"),
        (["fills=kind"], "fills: 'kind' cannot be: Input should be 'reference' or 'pessimistic'"),
        (["fee_rate=0.5"], "paper.fee_rate: 0.5 cannot be"),
        (["adx_min=30:20:1"], "'30:20:1' is no range FROM:TO:STEP"),
        (["adx_min=20:30"], "is no range"),
        (["adx_min=20:30:0"], "is no range"),
        (["adx_min=a:b:c"], "is no range"),
        (["adx_min=0:inf:1"], "is no range"),
        (["adx_min=0:100:1e-9"], "'0:100:1e-9' are 100,000,000,001 values, more than 10,000; take a larger step"),
        (["adx_min=20", "strategy.adx_min=30"], "adx_min is there twice"),
        (["adx_min=0:99:1", "rsi_long_max=0:99:1", "cooldown_bars=0:99:1"], "1,000,000 settings are more than"),
    ],
)
def test_wrong_use_names_the_key_the_value_and_what_is_allowed(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        parse_grid(texts, BASE)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_strategy_setting_can_be_swept() -> None:
    assert set(known_keys()) >= set(Strategy.model_fields)


def test_regimes_are_swept_by_name_and_a_choice_written_twice_is_one() -> None:
    grid = parse_grid(["refused_regimes=CHOPPY,none,VOLATILE+CHOPPY,CHOPPY+VOLATILE"], BASE)

    assert grid.axes == {"refused_regimes": ("CHOPPY", "none", "CHOPPY+VOLATILE")}
    assert [s.strategy.refused_regimes for s in grid.settings] == [("CHOPPY",), (), ("CHOPPY", "VOLATILE")]
    with pytest.raises(UsageError, match="refused_regimes: 'QUIET' cannot be"):
        parse_grid(["refused_regimes=QUIET"], BASE)
