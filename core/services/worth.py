"""What the layers and Gemini are worth, read from the ledger: views for people, and what the owner has to be told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from core.config import Settings
from core.domain.candles import to_ms
from core.domain.ledger import DecisionRecord
from core.domain.messages import Notice
from core.ml.lived import ERROR, Lived, lived
from core.ml.scoreboard import Scoreboard, scoreboard
from core.ml.worth import LayerReport, LayerWorth, layer_report
from core.ports import ChatStore, Clock, Ledger
from core.services.bus import Bell
from core.services.changes import in_force
from core.services.pictures import Draw
from core.services.tokens import WordsCost, words_cost

RULES_ASKED_AFTER = 50
"""Closed trades after which the bot shows what the rules were worth."""

_RULES_LOOK = "rules/worth"
_RULES = ("alignment", "btc")


class RuleQuestions(Protocol):
    """Where an approver is asked about a rule; ``core.services.rules.RuleKeeper`` is the real one."""

    async def ask(self, values: Mapping[str, object], title: str, lines: tuple[str, ...], asked_by: str) -> int: ...
    async def waiting(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class LayersView:
    """The layers at their newest look; ``picture`` is a PNG, None before the first look."""

    report: LayerReport
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class GeminiView:
    """Gemini's scoreboard. ``present`` says whether there is an advisor now; ``picture`` is a PNG or None.

    ``words`` is what questions in words have cost, in USD at the prices of the settings: ``words_usd``.
    """

    board: Scoreboard
    present: bool
    picture: bytes | None
    words: WordsCost = field(default_factory=WordsCost)
    words_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All decisions on signals, the closed ones as evidence, the settings in force and the weight that is approved."""

    decisions: tuple[DecisionRecord, ...]
    closed: tuple[Lived, ...]
    settings: Settings
    approved: float

    def report(self, *, whole: bool = False) -> LayerReport:
        return layer_report(self.closed, self.settings, self.approved, whole=whole)

    def board(self, now_ms: int, *, whole: bool = False) -> Scoreboard:
        settings = self.settings
        return scoreboard(self.decisions, self.closed, settings.gemini, settings.ml.threshold, now_ms, whole=whole)


async def evidence(ledger: Ledger, settings: Settings) -> Evidence:
    """Everything the ledger knows of its signals. ``settings`` are the configured ones."""
    rows = await ledger.trade_rows(signals_only=True)
    controls = await ledger.controls()
    return Evidence(
        decisions=tuple(row.decision for row in rows),
        closed=await asyncio.to_thread(lived, [(row.decision, row.follow) for row in rows]),
        settings=in_force(settings, controls.changes).settings,
        approved=controls.approved_weight,
    )


class WorthDesk:
    """Answers what the layers are worth, and tells the owner once what must not go unseen."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        bell: Bell,
        *,
        gemini_present: bool,
        rules: RuleQuestions | None = None,
        draw: Draw = asyncio.to_thread,
    ) -> None:
        self._draw = draw
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._bell = bell
        self._gemini_present = gemini_present
        self._rules = rules
        self._reviewed = -1  # outcomes at the last review: nothing new, nothing to say

    async def layers(self) -> LayersView:
        from core.reports.worth_charts import layers_chart

        found = await evidence(self._ledger, self._settings)
        report = await asyncio.to_thread(found.report)
        return LayersView(report, await self._draw(layers_chart, report) if report.look is not None else None)

    async def gemini(self) -> GeminiView:
        from core.reports.worth_charts import calibration_chart

        found = await evidence(self._ledger, self._settings)
        board = await asyncio.to_thread(found.board, to_ms(self._clock.now()))
        picture = await self._draw(calibration_chart, board) if board.score is not None else None
        words = await words_cost(self._ledger)
        return GeminiView(board, self._gemini_present, picture, words, words.usd(self._settings.gemini))

    async def review(self) -> None:
        """Publishes what is due, each finding once: its key is stored for ever."""
        outcomes = await self._ledger.outcome_count()
        if outcomes == self._reviewed:
            return
        found = await evidence(self._ledger, self._settings)
        board, report = await asyncio.to_thread(_looked_at, found, to_ms(self._clock.now()))
        if board.score is not None and board.score.worse:
            await self._tell("gemini", f"gemini:worse:{board.score.look.n // 100}", *_worse(board))
        await self._ask_about_rules(report, found.settings)
        self._reviewed = outcomes

    async def _tell(self, topic: Literal["gemini", "weight"], key: str, title: str, detail: str) -> None:
        notice = Notice(key=key, time=self._clock.now(), topic=topic, title=title, detail=detail)
        await self._ledger.publish([notice])
        self._bell.ring()

    async def _ask_about_rules(self, report: LayerReport, settings: Settings) -> None:
        """Once, after 50 closed trades: what each rule that trades at half size was worth, and what could be done."""
        halving = [name for name in _RULES if getattr(settings.rules, name) == "half"]
        due = report.look is not None and report.trades >= RULES_ASKED_AFTER and halving
        if not due or await self._chat.looks(_RULES_LOOK):
            return
        layers = [report.layer(name) for name in halving]
        change = _supported(layers)
        title = f"{report.trades} closed trades: what the rules were worth"
        lines = tuple(_rule_line(layer) for layer in layers)
        await self._tell("weight", f"rules:worth:{RULES_ASKED_AFTER}", title, "\n".join((*lines, _what_now(change))))
        if change and self._rules is not None and await self._rules.waiting() is None:
            await self._rules.ask(change, _question(change), (*lines, report.conclusion), "Julaba")
        body = json.dumps({"layers": [layer.name for layer in layers], "change": change})
        now = to_ms(self._clock.now())
        await self._chat.save_look(_RULES_LOOK, 1, report.look.n if report.look else 0, now, ERROR, "shown", body)


def _looked_at(found: Evidence, now_ms: int) -> tuple[Scoreboard, LayerReport]:
    return found.board(now_ms), found.report()


# -- words --


def _worse(board: Scoreboard) -> tuple[str, str]:
    score = board.score
    assert score is not None
    assert score.skill is not None
    said = sum(b.n * b.predicted for b in score.buckets) / score.look.n
    return (
        f"Gemini does worse than the base rate on {score.look.n} closed opinions",
        f"It said {said:.0%} on average and {score.base:.0%} won; its Brier score is {-score.skill:.0%} worse than "
        f"always saying {score.base:.0%}. The chance that this is ever said of one as good as that is at most "
        f"{ERROR:.0%}. Another gemini.model may do better; without a key the rules decide alone. /gemini shows it, "
        "/worth what its refusals were worth.",
    )


def _what_now(change: Mapping[str, object]) -> str:
    if change:
        wanted = ", ".join(f"{name}: {value}" for name, value in change.items())
        return f"This speaks for {wanted}. It stays as it is until an approver says yes. /worth"
    return (
        "Nothing here speaks for a change: they stay at half size. An approver can make each one veto (it refuses) or "
        "record (it only notes). /worth"
    )


def _rule_line(layer: LayerWorth) -> str:
    name = "BTC" if layer.name == "btc" else layer.name.capitalize()
    refused, without = layer.refused, layer.without
    if refused is None or without is None or refused.net is None or without.net is None or layer.difference is None:
        return f"{name}: {layer.verdict} on {layer.asked} signals."
    interval = "" if layer.low is None else f" (95% {layer.low:+.2f} to {layer.high:+.2f})"
    return (
        f"{name}: {refused.n} of {layer.asked} signals halved, those made {refused.net:+.2f}R net each, all "
        f"{without.net:+.2f}R; the rule adds {layer.difference:+.2f}R a signal{interval}: {layer.verdict}."
    )


def _supported(layers: list[LayerWorth]) -> dict[str, object]:
    """What the evidence speaks for: a rule that helps could refuse, one that costs could only note."""
    modes = {"helps": "veto", "costs": "record"}
    return {f"rules.{layer.name}": modes[layer.verdict] for layer in layers if layer.verdict in modes}


def _question(change: Mapping[str, object]) -> str:
    return f"May {' and '.join(f'{name} become {value}' for name, value in change.items())}?"
