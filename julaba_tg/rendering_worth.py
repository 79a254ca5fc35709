"""What the layers and Gemini are worth, as cards. Each fits below its picture: a caption takes 1024 characters."""

from __future__ import annotations

from core.ml.lived import FIRST_LOOK
from core.ml.measures import Bucket
from core.ml.scoreboard import RED_FLAG, WANTED, Score, Scoreboard, Side
from core.ml.worth import LayerReport, LayerWorth
from core.services.worth import GeminiView, LayersView
from julaba_tg.card import Card, card, quote, section, table, text
from julaba_tg.figures import UNKNOWN, money, percent, r_multiple

_MARKS = {"helps": " ✅", "costs": " ❌"}
_SHORT = {"everything": "together", "btc": "BTC", "gemini": "Gemini"}
_REASON = 40  # letters of a reason for no opinion


def worth(view: LayersView) -> Card:
    """The layers in a table; behind a tap their figures with and without."""
    report = view.report
    if report.look is None:
        return card(
            f"⚖️ Layers: {report.outcomes} of {FIRST_LOOK} closed signals",
            "Nothing can be said of their worth yet. What each would have changed so far:",
            table(_rows(report)),
        )
    up_to = f"Of the first {report.look.n} closed signals; {report.outcomes} so far, looked at again at "
    return card(
        f"⚖️ {_headline(report)}",
        table(_rows(report)),
        text(
            [
                f"{up_to}{report.look.following}.",
                "R: mean net R a signal with the layer, less without. ✅ helps ❌ costs, beyond chance over all "
                "looks; else it cannot be told.",
            ]
        ),
        quote([line for layer in report.layers for line in _details(layer)]),
    )


def _headline(report: LayerReport) -> str:
    said = [f"{_name(layer)} {layer.verdict}" for layer in report.layers if layer.verdict in _MARKS]
    return ", ".join(said) if said else "No layer's worth can be told from chance"


def _name(layer: LayerWorth) -> str:
    return _SHORT.get(layer.name, layer.name)


def _rows(report: LayerReport) -> list[str]:
    lines = [f"{'':<10}{'changes':>8}  {'R':>7}"]
    for layer in report.layers:
        if not layer.asked:
            lines.append(f"{_name(layer):<10}{'never asked':>17}")
            continue
        changes = f"{layer.apart}/{layer.asked}"
        lines.append(
            f"{_name(layer):<10}{changes:>8}  {r_multiple(layer.difference):>7}{_MARKS.get(layer.verdict, '')}"
        )
    return lines


def _details(layer: LayerWorth) -> list[str]:
    """A layer in two lines; nothing where it was never asked."""
    with_it, without = layer.with_it, layer.without
    if with_it is None or without is None or not layer.asked:
        return []
    sure = "" if layer.low is None else f" ({layer.low:+.2f} to {layer.high:+.2f})"
    unknown = f", {layer.unknown} unknown" if layer.unknown else ""
    first = f"{layer.words}: {layer.verdict}{sure}{unknown}"
    if not layer.apart:
        return [first]
    return [
        first,
        f"{_total(with_it.total)} with, {_total(without.total)} without · drawdown {with_it.drawdown:.1f}R, "
        f"{without.drawdown:.1f}R · won {percent(with_it.win_rate)}, {percent(without.win_rate)}",
    ]


def _total(r: float) -> str:
    return f"{r:+.1f}R"


def gemini(view: GeminiView) -> Card:
    """Gemini's scoreboard; where there is no key, that in a sentence, with what it said before."""
    board = view.board
    off = (
        []
        if view.present
        else ["Gemini is off: there is no GEMINI_API_KEY. The rules decide, and alerts show it as G –."]
    )
    if not board.asked:
        return card(f"✨ Gemini {'has not been asked yet' if view.present else 'is off'}", text([*off, *_words(view)]))
    parts = [text([*off, *_counts(board)])]
    if board.score is not None:
        parts += [table(_calibration(board.score)), text(_scored(board.score))]
    refuses = f"refuses {percent(board.rejection_rate)}: {board.rejection}"
    worse = board.score is not None and board.score.worse
    return card(
        f"✨ Gemini {'does worse than the base rate · ' if worse else ''}{refuses}",
        *parts,
        section([board.conclusion, *([_when(board)] if board.score is not None else []), _cost(board), *_words(view)]),
    )


def _counts(board: Scoreboard) -> list[str]:
    silent = board.asked - board.answered
    lines = [
        f"{board.asked} signals: {board.answered - board.refused} approved ({board.doubted} with too little "
        f"confidence), {board.refused} refused, {silent} without an opinion",
        f"Wanted: {percent(WANTED[0])} to {percent(WANTED[1])} refused; red flag below {percent(RED_FLAG[0])} or "
        f"above {percent(RED_FLAG[1])}",
    ]
    if board.reasons:
        lines.append("No opinion: " + ", ".join(f"{_short(reason)} {n}×" for reason, n in board.reasons[:3]))
    if board.sources:
        lines.append("Who spoke: " + ", ".join(f"{_short(source)} {n}×" for source, n in board.sources[:3]))
    return lines


def _short(words: str) -> str:
    return words if len(words) <= _REASON else words[: _REASON - 1] + "…"


def _calibration(score: Score) -> list[str]:
    return [f"{'said':>5}{'n':>5}{'won':>6}  95%", *map(_bucket, score.buckets)]


def _bucket(bucket: Bucket) -> str:
    sure = (
        UNKNOWN
        if bucket.won_low is None or bucket.won_high is None
        else f"{bucket.won_low * 100:.0f}-{bucket.won_high * 100:.0f}%"
    )
    return f"{percent(bucket.predicted):>5}{bucket.n:>5}{percent(bucket.won):>6}  {sure}"


def _scored(score: Score) -> list[str]:
    skill = "" if score.skill is None else f": skill {percent(score.skill)}{_sure(score.skill_low, score.skill_high)}"
    lines = [f"Brier {score.brier:.3f}, base rate {percent(score.base)} {score.base_brier:.3f}{skill}"]
    lines.append(f"Approved {_side(score.approved)}, refused {_side(score.refused)}")
    if score.difference is not None:
        sure = "" if score.low is None else f" (95% {score.low:+.2f} to {score.high:+.2f})"
        lines.append(f"Apart {score.difference:+.2f}R net a signal{sure}")
    return lines


def _sure(low: float | None, high: float | None) -> str:
    return "" if low is None else f" (95% {percent(low)} to {percent(high)})"


def _side(side: Side) -> str:
    return f"{side.n}: {r_multiple(side.net)}, won {percent(side.win_rate)}" if side.n else "none"


def _when(board: Scoreboard) -> str:
    closed = f"{board.closed} opinions have closed"
    return f"{closed}; scored at fixed counts, next at {board.next_look}."


def _cost(board: Scoreboard) -> str:
    cost = board.cost
    return (
        f"{cost.tokens_per_day:,.0f} tokens a day, {_cents(cost.usd_per_day)} a day, {_cents(cost.usd)} in all "
        "(answers that could be used)"
    )


def _words(view: GeminiView) -> list[str]:
    words = view.words
    if not words.questions:
        return []
    asked = "1 question" if words.questions == 1 else f"{words.questions} questions"
    return [f"In words: {asked}, {words.tokens:,} tokens, {_cents(view.words_usd)} in all"]


def _cents(usd: float) -> str:
    """Gemini's small model costs fractions of a cent."""
    return money(usd) if usd >= 1 or usd == 0 else f"${usd:.4f}"
