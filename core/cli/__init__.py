"""The command line: parsing, exit codes and output rules. Each command is a function in a module beside this one.

stdout carries results only (with ``--json`` exactly one object); progress and logs go to stderr; an error is one
line ``error: ...``. Exit 0 success, 1 data, network or model failure, 2 wrong use or settings, 130 Ctrl-C.
Modules are imported when their command is named, so that ``julaba --help`` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from core import __version__
from core.config import Settings
from core.config_file import DEFAULT_DATA_DIR, load_settings
from core.domain.candles import Pair
from core.errors import JulabaError, UsageError
from core.interrupts import gracefully
from core.log_lines import LogLines

if TYPE_CHECKING:
    from core.secrets import Secrets

Run = Callable[[argparse.Namespace, "Context"], int]


@dataclass(frozen=True)
class Context:
    """What every command is given: where the settings and data are, and how to answer."""

    config_path: Path | None
    data_dir: Path
    json: bool

    @cached_property
    def settings(self) -> Settings:
        """Read when first asked for; raises SettingsError."""
        return load_settings(self.config_path)

    @cached_property
    def secrets(self) -> Secrets:
        from core.secrets import load_secrets

        return load_secrets()

    def result(self, data: Mapping[str, object], text: str) -> None:
        """The command's answer: ``data`` as one JSON object with ``--json``, else ``text`` for a person."""
        print(json.dumps(data, allow_nan=False, default=str) if self.json else text)

    def pairs(self, text: str | None) -> tuple[Pair, ...]:
        """``--pairs A,B`` or all configured pairs. Raises UsageError for what is no pair, or where none is."""
        if text is None:
            return self.settings.traded
        pairs = tuple(dict.fromkeys(Pair.parse(part) for part in text.split(",") if part.strip()))
        if not pairs:
            raise UsageError("--pairs names no pair: write it like LINK/USDT,ETH/USDT")
        return pairs


def say(text: str) -> None:
    """A line of progress for the person: stderr, so that stdout stays clean."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Command:
    """One entry of the table: ``module`` has ``arguments(parser)`` and ``run(args, context)`` of these names.

    ``needs`` are the heavy libraries ``run`` would import midway: they are loaded before it, where a Ctrl-C ends the
    process at once. Within ``run`` it raises KeyboardInterrupt, which some libraries swallow while they are loaded.
    """

    name: str
    help: str
    module: str
    arguments: str
    run: str
    needs: tuple[str, ...] = ()


_CANDLES = ("core.adapters.candle_files",)
_EXCHANGE = ("core.adapters.ccxt_alone", "aiohttp")
_STRATEGY = (*_CANDLES, "core.engine.talib_alone")
_LEARNING = (*_STRATEGY, "pandas", "xgboost", "scipy.stats")
_LEDGER = ("aiosqlite",)

COMMANDS: tuple[Command, ...] = (
    Command(
        "fetch", "download candles, only what is missing",
        "core.cli.candles", "fetch_arguments", "fetch", (*_EXCHANGE, *_CANDLES),
    ),
    Command(
        "candles", "import, check or export candles",
        "core.cli.candles", "candles_arguments", "candles", _CANDLES,
    ),
    Command(
        "indicators", "write every indicator as CSV",
        "core.cli.research", "indicators_arguments", "indicators", _STRATEGY,
    ),
    Command(
        "backtest", "signals, their outcomes, and one account trading them all",
        "core.cli.backtest", "backtest_arguments", "backtest", _STRATEGY,
    ),
    Command(
        "train", "train a model and evaluate it honestly",
        "core.cli.learn", "train_arguments", "train", _LEARNING,
    ),
    Command(
        "models", "every model with its lineage, who was champion when, and the way back",
        "core.cli.models", "models_arguments", "models", _LEDGER,
    ),
    Command(
        "predict", "what the champion says about a pair now",
        "core.cli.predict", "predict_arguments", "predict", _LEARNING,
    ),
    Command(
        "samples", "samples by source, how fast they come, and when there are enough",
        "core.cli.samples", "samples_arguments", "samples", (*_STRATEGY, *_LEDGER),
    ),
    Command(
        "report", "the success metrics of a ledger, with trend, cause and red flags",
        "core.cli.report", "report_arguments", "report", (*_STRATEGY, *_LEDGER),
    ),
    Command(
        "pipeline", "fetch, indicators, backtest, training",
        "core.cli.learn", "pipeline_arguments", "pipeline", (*_LEARNING, *_EXCHANGE),
    ),
    Command(
        "replay", "the live loop on stored candles, without Gemini and the model",
        "core.cli.replay", "replay_arguments", "replay_command", (*_STRATEGY, *_LEDGER),
    ),
    Command(
        "check", "look-ahead, warm-up, parity, chance, the filters: what a figure must stand up to",
        "core.cli.check", "check_arguments", "check", (*_STRATEGY, *_LEDGER),
    ),
    Command(
        "sweep", "many settings, in-sample beside out-of-sample, and how much of the best is luck",
        "core.cli.sweep", "sweep_arguments", "sweep", (*_STRATEGY, "joblib"),
    ),
    Command(
        "worth", "what each layer was worth, and Gemini's scoreboard",
        "core.cli.worth", "worth_arguments", "worth", _LEDGER,
    ),
    Command(
        "export", "trades, shadows, decisions, signals or the audit log as CSV",
        "core.cli.ledger", "export_arguments", "export", _LEDGER,
    ),
    Command(
        "backup", "ledger and models as one checked file, also while the bot runs",
        "core.cli.backup", "backup_arguments", "backup",
    ),
    Command(
        "restore", "put a backup in the place of ledger and models",
        "core.cli.backup", "restore_arguments", "restore",
    ),
    Command(
        "doctor", "check settings, disk, exchange, chat and more",
        "core.cli.doctor", "doctor_arguments", "doctor", (*_EXCHANGE, *_CANDLES, *_LEDGER),
    ),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line and raised, so that one place decides how to end."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def shared_options() -> _Parser:
    """The options every command takes."""
    parent = _Parser(add_help=False)
    parent.add_argument("--config", type=Path, metavar="FILE", help="settings (default ./config.yaml)")
    parent.add_argument(
        "--data-dir", type=Path, default=DEFAULT_DATA_DIR, metavar="DIR", help="everything written lies here (./data)"
    )
    parent.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    parent.add_argument("--verbose", "-v", action="store_true", help="show the log on stderr")
    return parent


def build_parser(commands: Sequence[Command], wanted: str | None) -> argparse.ArgumentParser:
    """A parser for all commands; only ``wanted`` gets its arguments, so only its module is imported."""
    parser = _Parser(prog="julaba", description="Paper trading with a model that must earn its say.")
    parser.add_argument("--version", action="version", version=f"julaba {__version__}")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    parent = shared_options()
    for command in commands:
        child = sub.add_parser(command.name, help=command.help, description=command.help, parents=[parent])
        if command.name == wanted:
            getattr(importlib.import_module(command.module), command.arguments)(child)
    return parser


def _run(arguments: list[str], commands: Sequence[Command]) -> int:
    names = {c.name: c for c in commands}
    wanted = next((a for a in arguments if a in names), None)
    parser = build_parser(commands, wanted)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(LogLines())
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, handlers=[to_stderr])
    if args.command != "doctor":  # which says it in a line of its own, among all else
        _must_be_folder(args.data_dir)
    context = Context(args.config, args.data_dir, args.json)
    command = names[args.command]
    run: Run = getattr(importlib.import_module(command.module), command.run)
    for library in command.needs:
        importlib.import_module(library)
    with gracefully():
        return run(args, context)


def _must_be_folder(data_dir: Path) -> None:
    there = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"--data-dir {data_dir} cannot be: {there} is no directory")


def main(argv: Sequence[str] | None = None, extra: Sequence[Command] = ()) -> int:
    """Runs one command and gives the exit code; never raises but for SystemExit of ``--help``."""
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv), [*COMMANDS, *extra])
        finally:
            sys.stdout.flush()  # at the interpreter's end nobody could catch that the reader is gone
    except JulabaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`julaba ... | head`): nothing is wrong and nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
        return 1
