"""``/health``: one line that says how it is, what is wrong, and the figures in a fold."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from core.domain.health import Health, PairHealth, State
from julaba_tg.card import Card, card, quote, text
from julaba_tg.figures import UNKNOWN, clock_time, coin, duration

_TITLES: dict[State, str] = {
    "ok": "💚 All is well",
    "degraded": "🟡 It works, but something is amiss",
    "down": "🔴 Julaba does not do its work",
}
_MARKS: dict[State, str] = {"ok": "", "degraded": "⚠️", "down": "🛑"}


def health(view: Health, zone: ZoneInfo) -> Card:
    wrong = [f"{_MARKS[t.state]} {t.sentence}" for t in sorted(view.troubles, key=lambda t: t.state != "down")]
    closed = f"Last close {clock_time(view.trading.last_close, zone)} · running for {_span(view.process.uptime)}"
    return card(
        _TITLES[view.state],
        text(wrong or ["Candles come, trades are watched, the database writes, Telegram answers."]),
        closed,
        quote(_details(view, zone)),
    )


def _details(view: Health, zone: ZoneInfo) -> list[str]:
    trading, chat, process = view.trading, view.chat, view.process
    memory = f"{process.memory / 1e6:.0f} MB" if process.memory is not None else UNKNOWN
    return [
        f"Trading: {_late(trading.late)}{_times(', begun anew', trading.restarts)}",
        f"Candles: {_candles(view.pairs)}",
        *(f"{coin(p.pair)} is asked now and then: {p.quarantined}" for p in view.pairs if p.quarantined),
        f"Clock: {_offset(view.clock_offset, trading.started)}",
        f"Telegram: {_silence(chat.silent)}{_times(', polling built anew', chat.restarts)}",
        f"Alerts waiting: {chat.waiting}{_oldest(chat.oldest)}",
        f"Database: {_commit(process.commit_age)}",
        f"Event loop: held up {process.loop_lag:.2f} s at most in the last minute",
        f"Training: {'running' if process.training else 'none now'}",
        f"Memory {memory} · version {process.version} · at {view.at.astimezone(zone):%H:%M:%S} ({zone.key})",
    ]


def _late(seconds: float) -> str:
    return f"the last close is {_span(seconds)} late" if seconds >= 1 else "on time"


def _candles(pairs: tuple[PairHealth, ...]) -> str:
    """The pairs by the age of their newest candle; those alike together."""
    if not pairs:
        return "none yet"
    ages: dict[str, list[str]] = {}
    for pair in pairs:
        age = UNKNOWN if pair.candle_age is None else f"{_span(max(0.0, pair.candle_age))} ago"
        ages.setdefault(age, []).append(coin(pair.pair))
    return ", ".join(f"{' '.join(names)} {age}" for age, names in ages.items())


def _offset(seconds: float | None, started: bool) -> str:
    if seconds is None:
        return "the exchange's is the clock" if started else "not compared with the exchange's yet"
    if abs(seconds) < 0.05:
        return "as the exchange's"
    side = "ahead of" if seconds > 0 else "behind"
    return f"this computer is {abs(seconds):.1f} s {side} the exchange"


def _silence(seconds: float | None) -> str:
    return "no chat" if seconds is None else f"answered {_span(seconds)} ago"


def _oldest(seconds: float | None) -> str:
    return f", the oldest for {_span(seconds)}" if seconds is not None else ""


def _commit(seconds: float | None) -> str:
    return "no commit yet" if seconds is None else f"last commit {_span(seconds)} ago"


def _times(what: str, count: int) -> str:
    return f"{what} {'once' if count == 1 else f'{count} times'}" if count else ""


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else duration(seconds / 60)
