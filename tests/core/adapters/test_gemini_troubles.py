"""Gemini's troubles, made by a real HTTP server and met by the whole loop: what is decided, told, paid and asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.adapters.gemini_advisor import GeminiAdvisor
from core.adapters.sqlite_opinions import SqliteOpinions
from core.domain.candles import to_datetime
from core.domain.ledger import DecisionRecord, Effect
from core.domain.messages import Notice
from core.domain.trading import Ruling
from core.services import advice as advice_module
from core.services.advice import TOKENS, Advice
from core.services.bus import Bell
from core.services.faults import Faults
from core.services.loop import TradingLoop
from julaba_tg.phone.gemini import Gemini
from tests.ledgers import Books, Stage, books, facts_of, market, settings
from tests.markets import M15, START

FIRST, LAST = 400, 900
SIGNALS = 2
CANDLES = market(LAST)


@dataclass
class World:
    server: Gemini
    kept: Books
    stage: Stage
    advice: Advice
    row: int

    async def until(self, count: int) -> list[DecisionRecord]:
        """Plays on until so many signals are decided; a loop that waits for Gemini for ever fails here."""
        async with asyncio.timeout(20):
            while len(found := await self.kept.ledger.decisions(signals_only=True)) < count:
                await self.stage.play(CANDLES, self.row, self.row + 1)
                self.row += 1
        return found

    async def told(self, *topics: str) -> list[Notice]:
        events = [item.event for item in await self.kept.chat.pending(1000)]
        return [e for e in events if isinstance(e, Notice) and e.topic in topics]


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt per signal: a second one would begin after the time for asking. ``test_advice`` has the others."""
    monkeypatch.setattr(advice_module, "FIRST_PAUSE", 3600)
    monkeypatch.setattr(advice_module, "LONGEST_PAUSE", 3600)
    monkeypatch.setattr(advice_module, "AGAIN_AFTER", timedelta(days=30))


@asynccontextmanager
async def world(path: Path, server: Gemini, row: int = FIRST, **gemini: Any) -> AsyncIterator[World]:
    """The loop on a real ledger with the real client; ``server`` goes on through restarts."""
    config = settings(
        gemini={"base_url": server.base_url, "model": "gemini-test", "timeout": 5} | gemini,
        portfolio={"max_positions": 1},
    )
    async with books(path) as kept:
        clock, bell = ReplayClock(to_datetime(START + row * M15.ms)), Bell()
        faults = Faults(clock, kept.ledger, bell)
        client = GeminiAdvisor(config.gemini, "a-key")
        advice = Advice(config.gemini, clock, kept.ledger, SqliteOpinions(kept.db), client, bell, lambda: faults)
        stage = Stage(TradingLoop(config, clock, kept.ledger, advisor=advice, bell=bell), clock)
        await stage.loop.start()
        for candles in CANDLES.values():
            stage.loop.warm(candles.rows(0, row))
        try:
            yield World(server, kept, stage, advice, row)
        finally:
            await client.close()


@pytest.fixture
async def server() -> AsyncIterator[Gemini]:
    gemini = Gemini()
    await gemini.start()
    yield gemini
    await gemini.stop()


@pytest.mark.parametrize(
    ("kind", "options", "reason", "alert"),
    [
        ("hang", {"seconds": 3600}, "no answer within", "Gemini gives no opinion: signals are refused"),
        ("rate_limit", {"retry_after": 60}, "the quota is used up, again in 60 s", "Gemini gives no opinion"),
        ("error", {"status": 503}, "the service answered 503 UNAVAILABLE", "Gemini gives no opinion"),
        ("drop", {}, "the service failed (", "Gemini gives no opinion"),
        ("cut_body", {}, "the service failed (", "Gemini gives no opinion"),
        ("html", {}, "the service failed (", "Gemini gives no opinion"),
        ("safety", {}, "the answer was withheld (SAFETY)", "Gemini gives no opinion"),
        ("nonsense", {}, "the answer was not what was asked for", "Gemini gives no opinion"),
        ("not_found", {}, "the model gemini-test does not exist", "Gemini is off: the model gemini-test does not"),
        ("bad_key", {}, "the key was refused", "Gemini is off: the key was refused"),
    ],
)
async def test_a_trouble_refuses_signals_and_is_told_once_until_it_is_over(
    tmp_path: Path, server: Gemini, kind: str, options: dict[str, Any], reason: str, alert: str
) -> None:
    async with world(tmp_path, server, timeout=0.5 if kind == "hang" else 5) as here:
        fault = server.fault(kind, times=None, **options)
        decided = await here.until(SIGNALS)
        faults = await here.told("fault", "recovered")
        mark = await here.kept.ledger.mark(TOKENS)

        assert {d.status for d in decided} == {"refused"}
        for decision in decided:
            verdict = next(v for v in decision.verdicts if v.layer == "gemini")
            assert verdict.ruling is Ruling.REFUSE
            assert verdict.sentence.startswith(f"Gemini has no opinion: {reason}")
        assert [f.title[: len(alert)] for f in faults] == [alert]
        assert fault.hits == (1 if alert.startswith("Gemini is off") else len(decided))
        assert (mark is not None) == (kind in {"safety", "nonsense"})

        server.faults.clear()
        here.advice._refused = None  # the time for trying again has come
        await here.until(SIGNALS + 1)
        after = await here.told("fault", "recovered")
        newest = (await here.kept.ledger.decisions(signals_only=True))[-1]

    assert [e.title for e in after[1:]] == ["Gemini answers again"]
    assert newest.gemini_confidence is not None


async def test_with_the_rules_in_charge_a_silent_gemini_refuses_nothing(tmp_path: Path, server: Gemini) -> None:
    server.fault("safety", times=None)
    async with world(tmp_path, server, on_no_opinion="rules") as here:
        decided = await here.until(SIGNALS)
        faults = await here.told("fault")

    assert {v.ruling for d in decided for v in d.verdicts if v.layer == "gemini"} == {Ruling.UNKNOWN}
    assert "taken" in {d.status for d in decided}
    assert [f.title for f in faults] == ["Gemini gives no opinion: the rules decide"]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class DiesOnEntries:
    """A ledger whose process is killed before the first decision of a signal is stored."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def commit(self, effect: Effect) -> bool:
        if any(d.is_signal for d in effect.decisions):
            raise Killed
        return bool(await self._inner.commit(effect))  # type: ignore[attr-defined]


async def test_a_kill_before_the_decision_is_stored_asks_nobody_again_and_decides_the_same(
    tmp_path: Path, server: Gemini
) -> None:
    async with world(tmp_path / "whole", server) as whole:
        await whole.until(1)
        asked = len(server.prompts)
        expected, row = await facts_of(whole.kept), whole.row

    async with world(tmp_path / "killed", server) as killed:
        killed.stage.loop._ledger = DiesOnEntries(killed.kept.ledger)  # type: ignore[assignment]
        with pytest.raises(Killed):
            await killed.until(1)
        row = killed.row
    server.fault("safety", times=None)  # who asks now gets another answer
    async with world(tmp_path / "killed", server, row) as again:
        await again.until(1)
        found, standing = await facts_of(again.kept), await again.advice.standing()

    assert found == expected
    assert len(server.prompts) == 2 * asked
    assert standing.startswith("on (gemini-test), ")
