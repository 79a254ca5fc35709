"""A month in lock-step: time goes on to the next close when everything of the last one is done."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from core.domain.candles import to_datetime, to_ms
from tests.soak.world import LOOK_EVERY, World

CLOSES_A_DAY = 96
INSIDE = 0.7  # of the candles


Act = Callable[["Month"], Awaitable[None]]


async def nothing(month: Month) -> None:
    return


@dataclass
class Month:
    """``closes`` steps of one world; ``at`` is the number of the present one.

    ``after`` is awaited behind each; ``turned`` and ``said`` tell who waits for a close or for a person's words.
    """

    world: World
    closes: int
    after: Act = nothing
    at: int = 0
    seconds: list[float] = field(default_factory=list)
    turned: asyncio.Event = field(default_factory=asyncio.Event)
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self, script: Script) -> None:
        """Begins where the process was launched, and ends when the last close is dealt with."""
        world = self.world
        await world.settled(to_ms(world.clock.now()))
        for number in range(1, self.closes + 1):
            began = time.monotonic()
            self.at = number
            await self._inside(number)
            world.clock.step()
            self._turn()
            await world.settled(to_ms(world.clock.now()))
            self.seconds.append(time.monotonic() - began)
            await self.after(self)
            for act in script.at(number, self.closes):
                await act(self)
                await world.settled(to_ms(world.clock.now()))
        self.at = self.closes + 1
        self._turn()

    async def _inside(self, number: int) -> None:
        """Most candles are looked into on the way, at two moments that only their number decides.

        Nothing is waited for: whether the bot looks then or makes up for it at the close must be the same.
        """
        clock, rng = self.world.clock, random.Random(number)
        if rng.random() < INSIDE:
            opened = to_ms(clock.now())
            for minute in sorted(rng.sample(range(1, 15), 2)):
                clock.set(to_datetime(opened + minute * 60_000))
                await asyncio.sleep(2 * LOOK_EVERY)

    async def say(self, user: int, text: str) -> None:
        """A person writes; returns when it is dealt with."""
        await self.dealt_with(self.world.phone.say(user, text)["update_id"])

    async def dealt_with(self, update_id: int) -> None:
        said, self.said = self.said, asyncio.Event()
        said.set()
        await self.world.handled(update_id)

    async def reaches(self, close: int) -> None:
        while self.at < close:
            await self.turned.wait()

    def _turn(self) -> None:
        turned, self.turned = self.turned, asyncio.Event()
        turned.set()


@dataclass(frozen=True)
class Script:
    """What people do, each at its share (0..1) of the month."""

    acts: tuple[tuple[float, Act], ...] = ()

    def at(self, number: int, closes: int) -> list[Act]:
        return [act for share, act in self.acts if round(share * closes) == number]
