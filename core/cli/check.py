"""``julaba check``: what would show that a figure is not what it seems. A check that fails ends with exit code 1."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass

from core.cli import Context, Run, shared_options


@dataclass(frozen=True)
class _Verb:
    """One check: ``module`` has ``arguments(parser)`` and ``run(args, context)`` of these names."""

    name: str
    help: str
    module: str
    arguments: str
    run: str


_TRUTH, _CHANCE, _FILTERS = "core.cli.check_truth", "core.cli.check_chance", "core.cli.check_filters"
_LEARNING, _LIVE = "core.cli.check_learning", "core.cli.check_live"
_VERBS = (
    _Verb("lookahead", "whether anything about the past needs the future", _TRUTH, "lookahead_arguments", "lookahead"),
    _Verb("warmup", "how values change with the history given", _TRUTH, "warmup_arguments", "warmup"),
    _Verb("parity", "the live loop replayed against the backtest", _TRUTH, "parity_arguments", "parity"),
    _Verb("montecarlo", "what chance could have made of it", _CHANCE, "montecarlo_arguments", "montecarlo"),
    _Verb("significance", "the entry rule against random entries", _CHANCE, "significance_arguments", "significance"),
    _Verb("filters", "what each filter kills and is worth", _FILTERS, "filters_arguments", "filters"),
    _Verb(
        "variants",
        "other choices of the filters, judged as they live",
        _FILTERS,
        "variants_arguments",
        "variants",
    ),
    _Verb(
        "learning", "what models learn from stored candles, every variant", _LEARNING, "learning_arguments", "learning"
    ),
    _Verb("day", "a lived day against a backtest of it", "core.cli.check_day", "day_arguments", "day"),
    _Verb("live", "what the predictions stored before their outcomes were worth", _LIVE, "live_arguments", "live"),
)


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """A parser per verb; each takes the shared options itself, so that they may stand behind it."""
    verbs = parser.add_subparsers(dest="verb", metavar="CHECK", required=True)
    for verb in _VERBS:
        child = verbs.add_parser(verb.name, help=verb.help, description=verb.help, parents=[shared_options()])
        getattr(importlib.import_module(verb.module), verb.arguments)(child)


def check(args: argparse.Namespace, context: Context) -> int:
    verb = next(v for v in _VERBS if v.name == args.verb)
    run: Run = getattr(importlib.import_module(verb.module), verb.run)
    return run(args, context)
