"""How far back the loop looks: never further than the history it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import to_datetime
from core.errors import SettingsError
from core.services.loop import TradingLoop
from tests.ledgers import Stage, books, market, settings
from tests.markets import START

FIRST, LAST = 400, 900


async def test_fewer_candles_than_min_history_give_no_candidate(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, settings())
        await stage.play(market(LAST), 0, 299)
        assert await kept.ledger.decisions() == []


async def test_no_fact_looks_back_further_than_the_history(tmp_path: Path) -> None:
    """How much is kept beyond it changes with the time of day, and would make a correlation known now and then."""
    known = []
    for bars in (299, 300):
        config = settings(candles={"history": 300}, rules={"correlation_bars": bars})
        async with books(tmp_path / str(bars)) as kept:
            stage = await Stage.begin(kept, FIRST, config)
            for candles in market(LAST).values():
                stage.loop.warm(candles.rows(0, FIRST))
            await stage.play(market(LAST), FIRST, LAST)
            known.append([d.btc_correlation is not None for d in await kept.ledger.decisions()])

    assert len(known[0]) > 10
    assert all(known[0])
    assert not any(known[1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": {"warmup_bars": 301}}, r"strategy\.warmup_bars 301 is more than candles\.history 300"),
        ({"strategy": {"cooldown_bars": 400}}, r"strategy\.cooldown_bars 400 is more"),
        ({"variants": {"calm": {"cooldown_bars": 301}}}, r"variants\.calm\.cooldown_bars 301 is more"),
    ],
)
async def test_rules_that_look_back_further_than_the_history_are_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    config = Settings.model_validate({"candles": {"history": 300}} | changes)
    async with books(tmp_path) as kept:
        with pytest.raises(SettingsError, match=words):
            TradingLoop(config, ReplayClock(to_datetime(START)), kept.ledger)
