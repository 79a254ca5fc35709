"""Pictures: the same is drawn once, never a wrong one, within bounds, and never in the bot's own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.trading import Direction, Leg, Levels
from core.errors import JulabaError
from core.reports.charts import candle_chart, equity_chart
from core.services.pictures import Pictures, key_of
from tests.markets import walk

LEVELS = Levels(Direction.LONG, 100.0, 98.0, (103.0, 105.0, 108.0))


@dataclass
class Pencil:
    """Draws what it is told at once, or when it is let."""

    drawn: list[tuple[Any, ...]] = field(default_factory=list)
    let: asyncio.Event | None = None
    fails: Exception | None = None

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> bytes:
        self.drawn.append(args)
        if self.let is not None:
            await self.let.wait()
        if self.fails is not None:
            raise self.fails
        return bytes(function(*args, **kwargs))


def blot(size: int, color: str = "black") -> bytes:
    return color.encode() * size


def splash(size: int, color: str = "black") -> bytes:
    return color.encode() + b"!" * size


async def test_the_same_picture_is_drawn_once_and_any_other_anew() -> None:
    pencil = Pencil()
    pictures = Pictures(pencil.run)

    assert await pictures.draw(blot, 3) == await pictures.draw(blot, 3) == b"blackblackblack"
    assert len(pencil.drawn) == 1
    assert await pictures.draw(blot, 2) == b"blackblack"
    assert await pictures.draw(blot, 2, color="red") == b"redred"
    assert await pictures.draw(splash, 2) == b"black!!"
    assert len(pencil.drawn) == 4


async def test_two_who_ask_at_once_wait_for_one_drawing_and_one_of_them_may_go_away() -> None:
    pencil = Pencil(let=asyncio.Event())
    pictures = Pictures(pencil.run)
    hasty, patient = (asyncio.create_task(pictures.draw(blot, 1)) for _ in range(2))
    await asyncio.sleep(0.01)
    hasty.cancel()
    await asyncio.sleep(0)
    assert pencil.let is not None
    pencil.let.set()

    assert await patient == b"black"
    assert hasty.cancelled()
    assert len(pencil.drawn) == 1


async def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    pencil = Pencil(fails=JulabaError("the process ended"))
    pictures = Pictures(pencil.run)
    both = await asyncio.gather(*(pictures.draw(blot, 1) for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in both] == ["the process ended"] * 2
    assert len(pencil.drawn) == 1

    await pictures.warm()  # a worker that dies at the start is no reason not to trade

    pencil.fails = None
    assert await pictures.draw(blot, 1) == b"black"


async def test_no_more_is_kept_than_allowed_and_what_was_asked_for_last_stays() -> None:
    pencil = Pencil()
    pictures = Pictures(pencil.run, most=2)
    for size in (1, 2, 1, 3, 1):  # 2 is the one nobody asked for lately when 3 comes
        await pictures.draw(blot, size)
    assert [args[0] for args in pencil.drawn] == [1, 2, 3]
    await pictures.draw(blot, 2)
    assert [args[0] for args in pencil.drawn] == [1, 2, 3, 2]

    pencil = Pencil()
    pictures = Pictures(pencil.run, most_bytes=20)
    for size in (2, 2, 3, 2, 9, 2, 3, 9):  # 10 and 15 bytes do not fit together; 45 never do
        await pictures.draw(blot, size)
    assert [args[0] for args in pencil.drawn] == [2, 3, 2, 9, 3, 9]


def test_a_key_follows_from_content_alone() -> None:
    candles = walk(60)
    copy = replace(candles, close=candles.close.copy(), time=candles.time.copy())
    legs = (Leg("TP1", 5, 103.0, 0.5, 0.75),)
    same = tuple(replace(leg, name="".join(["T", "P1"])) for leg in legs)  # an equal text that is another object

    one = key_of(candle_chart, (candles, LEVELS, "LINK", legs, None), {"shown": 96})
    assert one == key_of(candle_chart, (copy, replace(LEVELS), "LINK", same, None), {"shown": 96})

    higher = replace(candles, close=np.append(candles.close[:-1], candles.close[-1] + 0.01))
    others = [
        key_of(candle_chart, (higher, LEVELS, "LINK", legs, None), {"shown": 96}),
        key_of(candle_chart, (candles, None, "LINK", legs, None), {"shown": 96}),
        key_of(candle_chart, (candles, LEVELS, "ETH", legs, None), {"shown": 96}),
        key_of(candle_chart, (candles, LEVELS, "LINK", (), None), {"shown": 96}),
        key_of(candle_chart, (candles, LEVELS, "LINK", legs, None), {"shown": 95}),
        key_of(equity_chart, (candles, LEVELS, "LINK", legs, None), {"shown": 96}),
    ]
    assert len({one, *others}) == 7


VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.tuples(inner, inner) | st.lists(inner),
)


@given(one=VALUES, other=VALUES)
def test_only_equal_values_share_a_key(one: object, other: object) -> None:
    if repr(one) == repr(other):
        assert key_of(blot, (one, one), {}) == key_of(blot, (other, one), {})
    else:
        assert key_of(blot, (one,), {}) != key_of(blot, (other,), {})


async def test_a_key_costs_the_event_loop_little() -> None:
    """A year of closes is the most that any picture is drawn from."""
    curve = [(n * 900_000, 10_000.0 + n) for n in range(35_000)]
    began = asyncio.get_running_loop().time()
    key_of(equity_chart, (curve,), {})
    assert asyncio.get_running_loop().time() - began < 0.2


@pytest.mark.parametrize("what", ["charts", "desk"])
def test_no_picture_brings_matplotlib_into_the_bots_process(tmp_path: Path, what: str) -> None:
    """Drawn through a real worker, in a process that has seen nothing else: two charts, then the whole desk's."""
    script = tmp_path / "bot.py"
    script.write_text(textwrap.dedent(_CHARTS if what == "charts" else _DESK), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120, check=False,
        cwd=Path(__file__).parents[3], env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "False", done.stdout


_CHARTS = """
    import asyncio, sys
    from core.reports.charts import candle_chart, equity_chart
    from core.services.pictures import Pictures
    from core.services.worker import Worker
    from tests.markets import walk

    async def main():
        async with Worker() as worker:
            pictures = Pictures(worker.run)
            await pictures.warm()
            candle = await pictures.draw(candle_chart, walk(120), None, "LINK", shown=96)
            curve = await pictures.draw(equity_chart, [0, 900_000, 1_800_000], [10.0, 12.0, 11.0], "equity")
            assert candle.startswith(b"\\x89PNG") and curve.startswith(b"\\x89PNG")
            print("matplotlib" in sys.modules)

    if __name__ == "__main__":
        asyncio.run(main())
"""

_DESK = """
    import asyncio, sys
    from pathlib import Path
    from zoneinfo import ZoneInfo
    from core.services.pictures import Pictures
    from core.services.worker import Worker
    from tests.core.services.test_loop import Says
    from tests.offices import office

    async def main():
        utc = ZoneInfo("UTC")
        async with Worker() as worker:
            pictures = Pictures(worker.run)
            async with office(Path(sys.argv[1]), draw=pictures.draw) as there:
                there.stage.loop._asking._predictor = Says()  # so that /why and /dial have something to draw
                desk = (await there.played()).desk
                trade = (await desk.trades(1)).trades[0]
                assert (await desk.chart(trade.pair, trade.trade_id))[1:4] == b"PNG"
                money = desk.topics.money
                views = [
                    await desk.report(), await desk.samples(), await desk.dial(), await desk.layers(),
                    await money.profit(30, utc), await money.calendar(None, utc),
                ]
                drawn = [type(view).__name__ for view in views if view.picture is not None]
                assert len(drawn) >= 5, drawn
                await desk.gemini(), await desk.why(None)
        print("matplotlib" in sys.modules)

    if __name__ == "__main__":
        asyncio.run(main())
"""
