"""What questions in words may look at: read-only views, one line each in ``LOOKS``.

A look never changes anything and says little: lists are short, and totals stand beside them, so that nobody has to add
up. What it shows may hold foreign words (a reason of Gemini's, a pair's name); it is data to whoever reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from core.domain.candles import Pair, to_datetime, to_ms
from core.errors import UsageError
from core.ports import Ledger, Tool
from core.services.views import TradeView

_MOST_TRADES = 500
_MOST_DAYS = 366
_MOST_SHOWN = 10


class Views(Protocol):
    """The desk, as far as it is only looked at."""

    @property
    def topics(self) -> Any: ...
    def now(self) -> Any: ...
    async def status(self) -> Any: ...
    async def positions(self) -> Any: ...
    async def trades(self, count: int) -> Any: ...
    async def pairs(self) -> Any: ...
    async def ml(self) -> Any: ...
    async def samples(self) -> Any: ...
    async def report(self) -> Any: ...
    async def why(self, number: int | None, is_trade: bool = False) -> Any: ...
    async def layers(self) -> Any: ...
    async def gemini(self) -> Any: ...
    async def rules(self) -> Any: ...
    async def health(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of a look as they count: checked, within bounds, None where nothing was said."""

    pair: Pair | None
    days: int | None
    n: int
    number: int | None


@dataclass(frozen=True, slots=True)
class Books:
    """What looks are taken into."""

    desk: Views
    ledger: Ledger
    zone: ZoneInfo


Taking = Callable[[Books, Wanted], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class LookKind:
    """One kind of look. ``view`` is the command that shows the whole of it, empty where there is none."""

    name: str
    about: str
    take: Taking
    arguments: tuple[str, ...] = ()
    view: str = ""

    @property
    def tool(self) -> Tool:
        return Tool(self.name, self.about, {name: _ARGUMENTS[name] for name in self.arguments})


_ARGUMENTS: dict[str, Mapping[str, object]] = {
    "pair": {"type": "string", "description": "a pair such as LINK or LINK/USDT; left out: all of them"},
    "days": {"type": "integer", "description": "only the last so many days (1 is the last 24 hours; a week is 7)"},
    "n": {"type": "integer", "description": f"how many to list, at most {_MOST_SHOWN}"},
    "number": {"type": "integer", "description": "the signal's number; left out: the newest signal"},
}


async def _status(books: Books, wanted: Wanted) -> object:
    view = await books.desk.status()
    left = (view.next_close - view.now).total_seconds() / 60
    names = [name for name in view.__dataclass_fields__ if name != "pairs"]
    return {
        "entries": f"paused: {view.paused}" if view.paused else "running",
        "open_trades": len(view.positions),
        "minutes_to_next_close": round(left),
        **{name: getattr(view, name) for name in names if name != "paused"},
    }


async def _trades(books: Books, wanted: Wanted) -> object:
    found = [t for t in (await books.desk.trades(_MOST_TRADES)).trades if _is_wanted(t, books, wanted)]
    gains, losses = sum(t.pnl for t in found if t.pnl > 0), -sum(t.pnl for t in found if t.pnl < 0)
    return {
        "pair": wanted.pair and str(wanted.pair),
        "days": wanted.days,
        "closed_trades": len(found),
        "wins": sum(t.pnl > 0 for t in found),
        "losses": sum(t.pnl <= 0 for t in found),
        "net_pnl_usdt": gains - losses,
        "net_r": sum(t.r_net for t in found),
        "win_rate": sum(t.pnl > 0 for t in found) / len(found) if found else None,
        "profit_factor": gains / losses if losses else None,
        "newest_first": found[: wanted.n],
    }


def _is_wanted(trade: TradeView, books: Books, wanted: Wanted) -> bool:
    since = books.desk.now() - timedelta(days=wanted.days) if wanted.days else None
    right_pair = wanted.pair is None or trade.pair == str(wanted.pair)
    return right_pair and (since is None or trade.closed_at >= since)


async def _signals(books: Books, wanted: Wanted) -> object:
    now, days = books.desk.now(), wanted.days or 1
    rows = await books.ledger.decisions(to_ms(now - timedelta(days=days)), wanted.pair, signals_only=True)
    return {
        "pair": wanted.pair and str(wanted.pair),
        "days": days,
        "signals": len(rows),
        "by_status": Counter(str(row.status) for row in rows),
        "refused_because": Counter(row.reason for row in rows if row.reason),
        "newest_first": [
            {
                "number": row.decision_id,
                "pair": str(row.pair),
                "direction": row.direction,
                "time": to_datetime(row.decided_at),
                "status": row.status,
                "reason": row.reason,
                "gemini_confidence": row.gemini_confidence,
                "model_probability": row.ml_probability,
            }
            for row in sorted(rows, key=lambda row: -row.decision_id)[: wanted.n]
        ],
    }


async def _gemini(books: Books, wanted: Wanted) -> object:
    view = await books.desk.gemini()
    return {"key_present": view.present, "conclusion": view.board.conclusion, "board": view.board}


async def _layers(books: Books, wanted: Wanted) -> object:
    report = (await books.desk.layers()).report
    return {"conclusion": report.conclusion, "report": report}


async def _health(books: Books, wanted: Wanted) -> object:
    view = await books.desk.health()
    return {"state": view.state, "troubles": view.troubles, "trading": view.trading, "pairs": view.pairs}


async def _whynot(books: Books, wanted: Wanted) -> object:
    if wanted.pair is None:
        raise UsageError("this look needs a pair")
    return await books.desk.topics.insight.whynot(str(wanted.pair))


LOOKS: tuple[LookKind, ...] = (
    LookKind(
        "status",
        "now: equity, today's and total P&L in USDT, drawdown (a fraction), open trades, signals and refusals of the "
        "UTC day, whether entries are paused and why, what is wrong",
        _status,
        view="status",
    ),
    LookKind("positions", "each open trade", lambda b, w: b.desk.positions(), view="positions"),
    LookKind("trades", "closed trades: totals, newest listed", _trades, ("pair", "days", "n"), "trades"),
    LookKind(
        "signals",
        "signals and what became of each, with the reasons of refusals: why there was or was not a trade; the last day "
        "unless days says more",
        _signals,
        ("pair", "days", "n"),
        "signals",
    ),
    LookKind("pairs", "each pair: on or off, last price, signals so far", lambda b, w: b.desk.pairs(), view="pairs"),
    LookKind("why", "one signal in full", lambda b, w: b.desk.why(w.number), ("number",), "why"),
    LookKind("model", "the model: state, gate, weight, outcomes so far", lambda b, w: b.desk.ml(), view="ml"),
    LookKind("report", "success metrics: target, now, cause", lambda b, w: b.desk.report(), view="report"),
    LookKind("samples", "samples and when there are enough", lambda b, w: b.desk.samples(), view="samples"),
    LookKind("layers", "what each layer between signal and trade was worth", _layers, view="worth"),
    LookKind("gemini", "how good Gemini's opinions were, and their cost", _gemini, view="gemini"),
    LookKind("rules", "the rules in force and who changed them", lambda b, w: b.desk.rules(), view="rules"),
    LookKind(
        "profit",
        "P&L of the paper account over days: by day, drawdown",
        lambda b, w: b.desk.topics.money.profit(w.days, b.zone),
        ("days",),
        "profit",
    ),
    LookKind("risk", "risk now: open risk, limits, breakers", lambda b, w: b.desk.topics.money.risk(), view="risk"),
    LookKind("market", "the market now: each pair's trend", lambda b, w: b.desk.topics.money.market(), view="market"),
    LookKind(
        "whynot", "what blocks a signal in one pair now, and how far it is from passing", _whynot, ("pair",), "whynot"
    ),
    LookKind("outlook", "when there are enough outcomes", lambda b, w: b.desk.topics.insight.outlook(), view="samples"),
    LookKind("health", "how Julaba itself is: what is wrong", _health, view="health"),
)


def wanted_of(arguments: Mapping[str, object]) -> Wanted:
    """Raises UsageError for a pair that is none; numbers are held within bounds, nonsense counts as nothing said."""
    pair = arguments.get("pair")
    return Wanted(
        pair=Pair.parse(str(pair)[:24]) if pair else None,
        days=_whole(arguments.get("days"), _MOST_DAYS),
        n=_whole(arguments.get("n"), _MOST_SHOWN) or 5,
        number=_whole(arguments.get("number"), 10**9),
    )


def _whole(value: object, most: int) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e12:
        return None
    return min(int(value), most)


def look_kind(name: str) -> LookKind:
    """Raises UsageError for a look that there is not."""
    for kind in LOOKS:
        if kind.name == name:
            return kind
    raise UsageError("there is no such look; there are " + ", ".join(kind.name for kind in LOOKS))
