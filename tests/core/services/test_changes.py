"""Settings changed by an approver: allowed or refused, in force at the next candle, lapsed when the file is edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import Settings
from core.domain.candles import Pair
from core.domain.ledger import Controls
from core.errors import SettingsError
from core.services.changes import CHANGEABLE, changed, configured, in_force, with_changes, without_changes
from tests.ledgers import Stage, books, market, settings

NONE = Controls()
LINK = Pair.parse("LINK/USDT")


def approved(config: Settings, **values: object) -> Controls:
    """``strategy__adx_min=20`` as Ann's change."""
    return with_changes(NONE, config, {n.replace("__", "."): v for n, v in values.items()}, "Ann", 7)


def test_a_change_lies_over_what_is_configured_and_names_who_made_it() -> None:
    config = settings()
    found = in_force(config, approved(config, strategy__adx_min=20, rules__btc="veto").changes)

    assert (found.settings.strategy.adx_min, found.settings.rules.btc) == (20.0, "veto")
    assert found.settings.strategy.volume_ratio_min == config.strategy.volume_ratio_min
    assert [c.sentence for c in found.active] == ["rules.btc half → veto", "strategy.adx_min 10 → 20"]
    assert {(c.by, c.at) for c in found.active} == {("Ann", 7)}
    assert config.strategy.adx_min == 10  # what is configured stays as it is


def test_every_changeable_setting_is_there_and_no_other_one_is_taken() -> None:
    assert all(configured(settings(), name) is not None for name in CHANGEABLE)
    for name in ("paper.risk_per_trade", "gate.error", "access.users", "strategy.stop_atr", "adx_min"):
        with pytest.raises(SettingsError, match=f"^{name} cannot be changed from the chat"):
            changed(settings(), {name: 1})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("strategy.adx_min", 101, "strategy.adx_min 101 is not possible: Input should be less than or equal to 100"),
        ("strategy.adx_min", "a lot", "strategy.adx_min 'a lot' is not possible: Input should be a valid number"),
        ("strategy.adx_min", True, "strategy.adx_min True is not possible: true and false are switches"),
        ("strategy.volume_ratio_min", float("nan"), "strategy.volume_ratio_min nan is not possible"),
        ("rules.btc", "never", "rules.btc 'never' is not possible: Input should be 'veto', 'half' or 'record'"),
        ("strategy.cooldown_bars", 501, "strategy.cooldown_bars 501 is more than candles.history 500"),
        ("strategy.adx_min", 25, "strategy.adx_min is not possible: variants.mild is the strategy's own"),
    ],
)
def test_an_impossible_change_is_refused_in_a_sentence(name: str, value: object, sentence: str) -> None:
    config = settings(variants={"mild": {"adx_min": 25}})
    with pytest.raises(SettingsError) as refusal:
        with_changes(NONE, config, {name: value}, "Ann", 7)
    assert str(refusal.value).startswith(sentence)


def test_a_value_is_kept_as_the_settings_read_it() -> None:
    assert approved(settings(), strategy__adx_min="20").changes["strategy.adx_min"] == {
        "from": 10.0,
        "to": 20.0,
        "by": "Ann",
        "at": 7,
        "approval": 0,
    }


def test_an_edited_configuration_has_the_last_word_and_the_change_lapses() -> None:
    controls = approved(settings(), strategy__adx_min=20, rules__btc="veto")
    found = in_force(settings(strategy={"adx_min": 15}), controls.changes)

    assert found.settings.strategy.adx_min == 15
    assert [c.name for c in found.active] == ["rules.btc"]
    assert [(c.name, why) for c, why in found.lapsed] == [("strategy.adx_min", "the configuration has become 15 since")]


def test_changes_that_have_become_impossible_lapse_one_by_one_and_never_stop_the_start() -> None:
    controls = approved(settings(), strategy__adx_min=25, rules__btc="veto")
    now = settings(variants={"mild": {"adx_min": 25}})
    broken = {**controls.changes, "paper.max_leverage": {"from": 3.0, "to": 9.0}, "rules.unknown": "refuse"}

    found = in_force(now, broken)

    assert [c.name for c in found.active] == ["rules.btc"]
    assert {c.name for c, _ in found.lapsed} == {"strategy.adx_min", "paper.max_leverage"}
    assert found.settings.paper.max_leverage == 3


def test_two_changes_that_only_together_are_possible_count_together() -> None:
    """RSI up to 100 alone would make the strategy its own variant."""
    variants = {"wide": {"rsi_long_max": 100, "rsi_short_min": 30}}
    config = settings(strategy={"rsi_long_max": 70.0, "rsi_short_min": 30.0}, variants=variants)
    with pytest.raises(SettingsError, match="own"):
        approved(config, strategy__rsi_long_max=100)
    controls = approved(config, strategy__rsi_long_max=100, strategy__rsi_short_min=0)
    assert len(in_force(config, controls.changes).active) == 2


def test_a_later_change_keeps_the_earlier_ones_and_the_configured_value_takes_one_back() -> None:
    config = settings()
    both = with_changes(approved(config, rules__btc="veto"), config, {"strategy.adx_min": 20}, "Bob", 8)
    assert [(c.name, c.by) for c in in_force(config, both.changes).active] == [
        ("rules.btc", "Ann"),
        ("strategy.adx_min", "Bob"),
    ]
    back = with_changes(both, config, {"rules.btc": "half"}, "Bob", 9)
    assert list(back.changes) == ["strategy.adx_min"]
    assert without_changes(both).changes == {}
    assert list(without_changes(both, ["rules.btc"]).changes) == ["strategy.adx_min"]


async def test_a_change_counts_from_the_next_candle_and_after_a_restart(tmp_path: Path) -> None:
    candles, config = market(560), settings()
    shut = approved(config, strategy__adx_min=100)
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, config)
        await stage.play(candles, 0, 430)
        before = await kept.ledger.decisions()
        assert any(d.is_signal for d in before)

        await kept.ledger.set_controls(shut)
        stage.loop.memory.controls = shut
        await stage.play(candles, 430, 500)
        while_changed = (await kept.ledger.decisions())[len(before) :]

        again = await Stage.begin(kept, 500, config)
        assert again.loop.in_force.strategy.adx_min == 100
        for window in candles.values():
            again.loop.warm(window.rows(0, 500))
        await again.play(candles, 500, 560)
        after_restart = (await kept.ledger.decisions())[len(before) + len(while_changed) :]

    assert while_changed
    assert after_restart
    assert not any(d.is_signal for d in (*while_changed, *after_restart))
    assert all("below 100" in d.verdicts[0].sentence for d in (*while_changed, *after_restart))


async def test_a_file_edited_while_the_bot_was_down_wins_at_the_start(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.ledger.set_controls(approved(settings(), strategy__adx_min=100))
        edited = settings(strategy={"adx_min": 12})
        stage = await Stage.begin(kept, 0, edited)
        assert stage.loop.in_force.strategy.adx_min == 12


async def test_a_variant_begins_anew_when_the_strategy_beside_it_changes(tmp_path: Path) -> None:
    config, candles = settings(variants={"mild": {"adx_min": 5}}), market(500)
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, config)
        await stage.play(candles, 0, 498)
        for row, controls in ((498, approved(config, rules__btc="veto")), (499, approved(config, strategy__adx_min=9))):
            assert stage.loop.memory.book.variant_signals  # a rule is none of a variant's ground
            stage.loop.memory.controls = controls
            await stage.play({LINK: candles[LINK]}, row, row + 1)
        assert not stage.loop.memory.book.variant_signals
