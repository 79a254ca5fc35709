"""Whether new entries are wanted: paused by hand, by a limit, or not at all. Survives a restart."""

from __future__ import annotations

from dataclasses import replace

from core.domain.candles import DAY_MS, to_datetime, to_ms
from core.errors import UsageError
from core.ports import Clock, Ledger
from core.services.loop import TradingLoop
from core.services.views import Actor


class Pausing:
    """Stops new entries and lets them go on; stops and targets of what is open are honoured either way."""

    def __init__(self, clock: Clock, ledger: Ledger, loop: TradingLoop) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop

    def why(self) -> str:
        """Why there are no new entries; empty where there are."""
        account, controls = self._loop.account, self._loop.memory.controls
        if controls.paused:
            return controls.paused
        if account.drawdown_paused:
            return f"drawdown {account.drawdown:.1%}, an approver must /resume"
        now = to_ms(self._clock.now())
        if account.paused_day == now // DAY_MS:
            return "daily loss limit, until 00:00 UTC"
        if now < account.cooldown_until:
            return f"a run of losses, until {to_datetime(account.cooldown_until):%d %b %H:%M} UTC"
        return ""

    async def pause(self, reason: str) -> None:
        await self._set(reason)

    async def resume(self, actor: Actor) -> None:
        """Lifts a pause and the one after a run of losses.

        For an approver also the drawdown pause: the peak starts anew at today's equity. Raises UsageError for others.
        """
        async with self._loop.changing:
            account = replace(self._loop.account, cooldown_until=0)
            if account.drawdown_paused:
                if actor.role != "approver":
                    raise UsageError("the drawdown limit paused entries; only an approver can resume")
                account = replace(account, drawdown_paused=False, drawdown_warned=False, peak_equity=account.equity)
            if account != self._loop.account:
                await self._ledger.save_account(account)
                self._loop.memory.book = replace(self._loop.memory.book, account=account)
        await self._set("")

    async def _set(self, reason: str) -> None:
        async with self._loop.changing:
            controls = replace(self._loop.memory.controls, paused=reason)
            await self._ledger.set_controls(controls)
            self._loop.memory.controls = controls
