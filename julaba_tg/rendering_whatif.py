"""What would have been, as a card: with and without, what flips, and how sure that is. Pure."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from core.services.what_if import FlipView, OneView, SingleView, WhatIfView
from julaba_tg.card import Card, card, quote, section, table, text
from julaba_tg.figures import UNKNOWN, coin, day_time, price, r_multiple, signed_money
from julaba_tg.rendering import exit_words
from julaba_tg.whatif_words import in_words

HINDSIGHT = "This is hindsight: the same signals that gave the idea. It promises nothing."


def choice(about: str) -> Card:
    what = f"trade {about}" if about.startswith("#") else f"signal {about}" if about else "the last 100 signals"
    return card(
        f"🧪 What if, for {what}?",
        "By words, several together: sl 2.5 · weight 0.4 · skip gemini · pair SOL off · adx 20 · rsi 75 · "
        "positions 5 · bars 60 · breakeven on · last 200",
    )


def what_if(view: WhatIfView, zone: ZoneInfo) -> Card:
    before, after, words = view.before, view.after, in_words(view.change)
    same = not view.flips_total and not view.moved
    if same:
        title = f"🧪 {words}: nothing would be different"
    else:
        title = f"🧪 {words}: {signed_money(after.pnl)} instead of {signed_money(before.pnl)}"
    signals = "signal" if view.signals == 1 else f"{view.signals} signals"
    return card(
        title,
        text([f"The last {signals}, {day_time(view.since, zone)} to {day_time(view.until, zone)}"]),
        table(
            [
                f"{'':9}{'without':>9}{'with':>9}",
                f"{'trades':9}{before.taken:>9}{after.taken:>9}",
                f"{'closed':9}{before.closed:>9}{after.closed:>9}",
                f"{'net R':9}{before.r_net:>+9.2f}{after.r_net:>+9.2f}",
                f"{'net USDT':9}{before.pnl:>+9,.0f}{after.pnl:>+9,.0f}",
            ]
        ),
        text([*([] if same else [_sure(view), HINDSIGHT]), *_unknown(view, zone)]),
        quote([f"{view.flips_total} decided differently:", *_flips(view, zone)]) if view.flips_total else text([]),
    )


def _sure(view: WhatIfView) -> str:
    """How sure the difference is, in one sentence."""
    said = f"Difference {r_multiple(view.difference)} net over n = {view.signals}"
    if view.interval is None:
        apart = "1 signal differs" if view.apart == 1 else f"{view.apart} signals differ"
        return f"{said}; {apart}, on too few days to tell it from chance."
    low, high = view.interval
    verdict = "chance could do that." if low <= 0 <= high else "more than chance would give."
    return f"{said} (95%: {r_multiple(low)} to {r_multiple(high)}, by days): {verdict}"


def _unknown(view: WhatIfView, zone: ZoneInfo) -> list[str]:
    """What could not be known, each with its count."""
    never, lost = view.unknown.get("gemini", 0), view.unknown.get("candles", 0)
    said = []
    if never:
        said.append(f"❔ {_signals(never)} left out: Gemini was never asked, nobody knows what it would have said.")
    if unasked := view.unknown.get("person", 0):
        said.append(f"❔ {_signals(unasked)} left out: nobody was asked for a yes to it then.")
    if lost:
        said.append(f"❔ {_signals(lost)} kept as it was: the candles are not stored (/fetch).")
    if view.no_model:
        said.append(f"❔ {_signals(view.no_model)} without a stored prediction: the weight counts nothing there.")
    if view.guessed:
        said.append(f"❔ {_signals(view.guessed)}: how the pairs moved together is taken as it was said then.")
    if view.not_reproduced:
        said.append(
            f"❔ {_signals(view.not_reproduced)} decided differently with nothing changed: settings or limits were "
            "others then."
        )
    if view.paused_since is not None:
        said.append(f"⛔ The drawdown limit would have stopped it on {day_time(view.paused_since, zone)}.")
    return said


def _flips(view: WhatIfView, zone: ZoneInfo) -> list[str]:
    rest = view.flips_total - len(view.flips)
    return [*(_flip(flip, zone) for flip in view.flips), *([f"and {rest} more"] if rest else [])]


def _flip(flip: FlipView, zone: ZoneInfo) -> str:
    """``12 LINK LONG 3 Jan 10:00: taken → refused, +1.20R (BTC 1h down)``."""
    was = "taken" if not flip.taken else "refused" if flip.was_signal else "no signal"
    way = f"{was} → {'taken' if flip.taken else 'refused'}"
    ended = "still open" if flip.r_net is None else r_multiple(flip.r_net)
    reason = f" ({flip.reason})" if flip.reason else ""
    return f"{flip.decision_id} {coin(flip.pair)} {flip.direction} {day_time(flip.time, zone)}: {way}, {ended}{reason}"


def single(view: WhatIfView, one: SingleView, zone: ZoneInfo) -> Card:
    """One signal both ways."""
    number = f"#{one.trade_id}" if one.trade_id is not None else f"{one.decision_id}"
    name = f"{coin(one.pair)} {one.direction} {number}"
    return card(
        f"🧪 {name} · {in_words(view.change)}: {_short(one.before)} → {_short(one.after)}",
        text([f"Entry {price(one.entry)}, {day_time(one.time, zone)}"]),
        section([f"As it was: {_way(one.before)}", f"What if: {_way(one.after)}"]),
        section([*_unknown(view, zone), "One trade says nothing of a rule; /whatif over many does, a little."]),
    )


def single_done(one: SingleView) -> Card:
    return card(f"🧪 {coin(one.pair)} {one.direction}: decided again")


def _short(way: OneView) -> str:
    if not way.taken:
        return "not taken"
    return "open" if way.r_net is None else r_multiple(way.r_net)


def _way(way: OneView) -> str:
    how = exit_words(way.exit_reason, way.last_target)
    ended = f"{how}, {r_multiple(way.r)} gross, {_net(way)}" if way.exit_reason else "still open"
    money = f", {signed_money(way.pnl)}" if way.pnl is not None else ""
    taken = "taken" if way.taken else f"not taken ({way.reason})"
    return f"{taken}; stop {price(way.stop)}; {ended}{money}"


def _net(way: OneView) -> str:
    return f"{UNKNOWN if way.r_net is None else r_multiple(way.r_net)} net"


def _signals(n: int) -> str:
    return "1 signal" if n == 1 else f"{n} signals"
