"""Whether new entries are wanted: paused by hand, by a limit, or not at all. Survives a restart."""

from __future__ import annotations

from dataclasses import replace

from core.domain.candles import DAY_MS, to_datetime, to_ms
from core.errors import UsageError
from core.ports import Clock, Ledger
from core.services.changing import Changed, Changer, Standing
from core.services.loop import TradingLoop
from core.services.views import Actor


class Pausing:
    """Stops new entries and lets them go on; stops and targets of what is open are honoured either way."""

    def __init__(self, clock: Clock, ledger: Ledger, loop: TradingLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._changer = Changer(clock, ledger, loop)

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

    async def pause(self, actor: Actor) -> Changed | None:
        """No new entries from now on. None where that very pause stands already."""

        def paused(now: Standing) -> Standing:
            return replace(now, controls=replace(now.controls, paused=f"by {actor.name}"))

        return await self._changer.make(actor, "pause", paused)

    async def resume(self, actor: Actor) -> Changed | None:
        """Lifts a pause and the one after a run of losses; None where there is neither.

        For an approver also the drawdown pause: the peak starts anew at today's equity. Raises UsageError for others.
        """

        def resumed(now: Standing) -> Standing:
            account = replace(now.account, cooldown_until=0)
            if account.drawdown_paused:
                if actor.role != "approver":
                    raise UsageError("the drawdown limit paused entries; only an approver can resume")
                account = replace(account, drawdown_paused=False, drawdown_warned=False, peak_equity=account.equity)
            return replace(now, account=account, controls=replace(now.controls, paused=""))

        return await self._changer.make(actor, "resume", resumed)
