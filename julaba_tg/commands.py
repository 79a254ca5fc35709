"""The one command table: handlers, menu, help, argument errors and the README's table all come from it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.services.views import Role

Group = Literal["look", "understand", "learn", "steer", "keep"]
_RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "approver": 2}


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the table. ``arguments`` is what to type behind the name, ``changes`` whether it alters anything.

    A name may be there several times: without and with arguments (/ml looks, /ml 0.25 asks), and with different first
    words (``quiet HOURS``, ``zone NAME``), each with a role of its own.
    """

    name: str
    arguments: str
    role: Role
    group: Group
    help: str
    example: str
    changes: bool = False

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".strip()

    @property
    def word(self) -> str:
        """The fixed word that its arguments begin with, such as ``quiet``; empty where anything may stand there."""
        first = self.arguments.partition(" ")[0]
        return first if first.isalpha() and first.islower() else ""


COMMANDS: tuple[Command, ...] = (
    Command("start", "", "viewer", "look", "home: the buttons", "/start"),
    Command("status", "", "viewer", "look", "equity, pairs, last closes, what is on", "/status"),
    Command("status", "pin|unpin", "operator", "look", "keep the status pinned, or not", "/status pin", changes=True),
    Command("positions", "", "viewer", "look", "open trades with stop and targets", "/positions"),
    Command("trades", "[n]", "viewer", "look", "the last closed trades", "/trades 20"),
    Command("profit", "[days|all|calendar]", "viewer", "look", "what was made, with its curve or by day", "/profit 30"),
    Command("signals", "[n]", "viewer", "look", "the last signals, who refused, what became of each", "/signals 20"),
    Command("market", "", "viewer", "look", "each pair's price, trend and distance to a crossing", "/market"),
    Command("risk", "", "viewer", "look", "what is at risk, and which limit would pause next", "/risk"),
    Command("predict", "PAIR", "viewer", "look", "what the model would say of a pair now", "/predict LINK"),
    Command("chart", "PAIR", "viewer", "look", "candles with the averages and a trade's levels", "/chart LINK"),
    Command("why", "[ID]", "viewer", "understand", "a signal in full, by the number in its alert", "/why 12"),
    Command("whynot", "PAIR", "viewer", "understand", "what blocks a trade now, and how far it is", "/whynot LINK"),
    Command("filters", "", "viewer", "understand", "each filter's kills and worth", "/filters"),
    Command(
        "whatif", "[ID] [words]", "viewer", "understand", "the last signals decided otherwise, or one", "/whatif sl 2.5"
    ),
    Command("gemini", "", "viewer", "understand", "Gemini's scoreboard: what its opinions were worth", "/gemini"),
    Command("worth", "", "viewer", "understand", "what each layer between signal and trade was worth", "/worth"),
    Command("report", "", "viewer", "look", "the success metrics: target, now, and why", "/report"),
    Command("report", "today|week", "viewer", "look", "the story of the last 24 hours, or 7 days", "/report week"),
    Command("samples", "", "viewer", "learn", "samples by source, and when there are enough", "/samples"),
    Command("ml", "", "viewer", "learn", "the model: weight, gate, distance to the next look", "/ml"),
    Command("ml", "WEIGHT", "operator", "learn", "ask for an influence weight", "/ml 0.25", changes=True),
    Command("dial", "", "viewer", "learn", "what each weight would have done to the last signals", "/dial"),
    Command("opens", "", "operator", "learn", "will the gate open? if not, a rule to ask for", "/opens", changes=True),
    Command("rules", "", "viewer", "learn", "the rules in force, what was changed and by whom", "/rules"),
    Command(
        "rule",
        "[NAME=VALUE]",
        "operator",
        "learn",
        "ask the approvers for another rule",
        "/rule strategy.adx_min=20",
        changes=True,
    ),
    Command("rules", "config", "approver", "learn", "take every change back", "/rules config", changes=True),
    Command("approvals", "[ID]", "viewer", "learn", "what waits for an answer; with a number its card", "/approvals 3"),
    Command("backtest", "[PAIR] [days]", "operator", "learn", "every signal of stored candles", "/backtest LINK 90"),
    Command("fetch", "[days]", "operator", "learn", "candles of all pairs, what is missing", "/fetch 90", changes=True),
    Command("retrain", "", "operator", "learn", "train a new model now", "/retrain", changes=True),
    Command(
        "models", "[ID] [calibration|importance]", "viewer", "learn", "all models, or one, with pictures", "/models"
    ),
    Command("promote", "ID", "operator", "learn", "ask whether it may be champion", "/promote 81ca5d5e", changes=True),
    Command("rollback", "", "operator", "learn", "what going back to the champion before would do", "/rollback"),
    Command("rollback", "ID", "operator", "learn", "go back to it", "/rollback xgb-v2-81ca5d5e", changes=True),
    Command("pairs", "", "viewer", "steer", "which pairs trade, with switches", "/pairs"),
    Command("pairs", "suggest", "operator", "steer", "liquid pairs that could be added", "/pairs suggest"),
    Command("size", "[PAIR FACTOR]", "operator", "steer", "how much of a pair trades", "/size LINK 0.5", changes=True),
    Command(
        "pair",
        "PAIR on|off|add|remove",
        "operator",
        "steer",
        "switch a pair; add one, or take that away again",
        "/pair LINK off",
        changes=True,
    ),
    Command("pause", "", "operator", "steer", "no new trades; open ones go on", "/pause", changes=True),
    Command("resume", "", "operator", "steer", "trade again", "/resume", changes=True),
    Command("close", "PAIR", "operator", "steer", "close a trade: shown, done by a tap", "/close LINK", changes=True),
    Command("panic", "", "operator", "steer", "close all and pause: shown, done by a typed number", "/panic"),
    Command("undo", "[ID]", "operator", "steer", "take the last change back, by a tap", "/undo", changes=True),
    Command("audit", "[n]", "operator", "keep", "who did what, before → after", "/audit 20"),
    Command("notify", "", "viewer", "keep", "what rings and what does not, quiet hours, your zone", "/notify"),
    Command("notify", "EVENT LEVEL", "operator", "keep", "loud, silent or none", "/notify signal none", changes=True),
    Command("notify", "quiet HOURS|off", "operator", "keep", "quiet hours", "/notify quiet 22:00-07:00", changes=True),
    Command(
        "notify", "ring EVENT on|off", "operator", "keep", "rings then too", "/notify ring opened on", changes=True
    ),
    Command("notify", "daily TIME|off", "operator", "keep", "the day's story", "/notify daily 20:00", changes=True),
    Command(
        "notify",
        "weekly DAY TIME|off",
        "operator",
        "keep",
        "the week's story",
        "/notify weekly sun 18:00",
        changes=True,
    ),
    # What concerns nobody else changes nothing in the table's sense.
    Command("notify", "zone NAME", "viewer", "keep", "the time zone of your times", "/notify zone Europe/Berlin"),
    Command("notify", "numbers en|de|fr", "viewer", "keep", "1,234.56 or 1.234,56 or 1 234,56", "/notify numbers de"),
    Command("export", "[what]", "operator", "keep", "trades, signals, equity, audit: as tables", "/export trades"),
    Command("health", "", "viewer", "keep", "how Julaba itself is: what is wrong, and since when", "/health"),
    Command("help", "[command]", "viewer", "keep", "this list, or one command", "/help pair"),
    Command("version", "", "viewer", "keep", "which Julaba this is", "/version"),
)

PICTURED = frozenset({"chart", "dial", "gemini", "profit", "report", "samples", "why", "worth"})
"""Commands whose answer is drawn: a person gets a few of them a minute."""

LONG_WORK = frozenset({"backtest", "export", "fetch", "filters", "opens", "retrain", "whatif"})
"""Commands that begin a long work: a person has one of them at a time."""

CANCEL = "cancel"
CANCELLABLE = frozenset({"backtest", "fetch"})
"""Long works that ``CANCEL``, alone behind the name, ends."""

# Words people type that are close to no command's name.
_SYNONYMS = {
    "balance": "status",
    "equity": "profit",
    "pnl": "profit",
    "calendar": "profit",
    "made": "profit",
    "exposure": "risk",
    "price": "market",
    "prices": "market",
    "prediction": "predict",
    "history": "trades",
    "today": "report",
    "week": "report",
    "open": "positions",
    "coins": "pairs",
    "model": "ml",
    "weight": "ml",
    "train": "retrain",
    "stop": "pause",
    "halt": "pause",
    "revert": "undo",
    "sell": "close",
    "exit": "close",
    "closeall": "panic",
    "emergency": "panic",
    "continue": "resume",
    "go": "resume",
    "menu": "start",
    "home": "start",
    "hi": "start",
    "hello": "start",
    "plot": "chart",
    "graph": "chart",
    "alive": "health",
    "notifications": "notify",
    "alerts": "notify",
    "mute": "notify",
    "quiet": "notify",
    "silence": "notify",
    "timezone": "notify",
    "zone": "notify",
    "settings": "notify",
    "ping": "health",
}


def find(name: str, arguments: Sequence[str] = ()) -> Command | None:
    """The table's line for a typed command; None for an unknown name."""
    lines = [c for c in COMMANDS if c.name == name]
    with_arguments = [c for c in lines if bool(c.arguments) == bool(arguments)]
    named = [c for c in with_arguments if arguments and c.word == arguments[0].lower()]
    open_ended = [c for c in with_arguments if not c.word]
    return next(iter(named or open_ended or with_arguments or lines), None)


def may(role: Role, needed: Role) -> bool:
    """Whether a role is enough; approver includes operator includes viewer."""
    return _RANK[role] >= _RANK[needed]


def allowed_to(role: Role) -> tuple[Command, ...]:
    return tuple(c for c in COMMANDS if may(role, c.role))


def nearest(words: str) -> Command | None:
    """The command somebody who typed these words may have meant."""
    names = sorted({c.name for c in COMMANDS})
    for word in words.lower().replace("/", " ").split()[:12]:
        bare = word.strip(".,;:!?'\"")
        if bare in _SYNONYMS:
            return find(_SYNONYMS[bare])
        if bare == "what":  # it begins every other question, and looks like /whatif
            continue
        if close := difflib.get_close_matches(bare, names, n=1, cutoff=0.72):
            return find(close[0])
    return None


def menu(role: Role) -> list[tuple[str, str]]:
    """``setMyCommands`` for a role: each name once with its first help text."""
    entries: dict[str, str] = {}
    for command in allowed_to(role):
        entries.setdefault(command.name, command.help)
    return list(entries.items())


def table_markdown() -> str:
    """The command table as README shows it."""
    rows = ["| command | who | what | example |", "| --- | --- | --- | --- |"]
    for command in COMMANDS:
        usage = command.usage.replace("|", "\\|")
        rows.append(f"| `{usage}` | {command.role} | {command.help} | `{command.example}` |")
    return "\n".join(rows)
