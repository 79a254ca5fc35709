"""Signals of stored candles and what became of them: the training data, and an honest summary."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, Pair, Timeframe, iso, isos
from core.domain.trading import Candidate, ExitReason, Follow, FollowKind
from core.engine.fills import Order
from core.engine.indicators import REGIMES, Indicators, indicators
from core.engine.metrics import profit_factor, win_rate
from core.engine.outcomes import EXITS, Outcomes, outcomes_of
from core.engine.portfolio import Market
from core.engine.strategy import Entries, candidate_at
from core.engine.strategy import candidates as find_candidates
from core.ml.features import FEATURES_V2, MORE_V2, features_of_rows
from core.ml.surroundings import Scene, scene_of
from core.services.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd

    from core.ports import CandleStore

History = Literal["all", "none"]

SAMPLE_WEIGHT = 0.3
"""What a backtest row counts in training before recency and scaling."""

COLUMNS = (
    *("signal_id", "timestamp", "symbol", "direction", "entry_price", "entry_atr", "entry_atr_percent", "entry_rsi"),
    *("entry_adx", "entry_volume_ratio", "entry_hurst", "entry_sma_distance_percent", "entry_regime", "entry_hour"),
    *("entry_day_of_week", "stop_loss", "tp1", "tp2", "tp3", "exit_price", "exit_reason", "tp1_hit", "tp2_hit"),
    *("tp3_hit", "sl_hit", "realized_r", "duration_minutes", "outcome", "source", "sample_weight"),
)
"""The training CSV's columns as promised in docs/learning.md; ``MORE_COLUMNS`` stand behind them."""

MORE_COLUMNS = (
    *("kind", "exit_time", "bars", "mfe_r", "mae_r", "ambiguous", "realized_r_net", "outcome_net"),
    *("entry_di_plus", "entry_di_minus", "bars_since_signal"),
)

TABLE_COLUMNS = (*COLUMNS, *MORE_COLUMNS, *MORE_V2)
"""All of the training CSV's columns: the features of ``v2`` stand last."""

GROUPS = ("regime", "hour", "month")
"""What the figures are also told by: the signal candle's regime, hour (UTC) and month."""

_MINUTE_MS = 60_000
_GAP = EXITS.index(ExitReason.GAP)
_STOP = EXITS.index(ExitReason.STOP_LOSS)


@dataclass(frozen=True, slots=True)
class BacktestTrade:
    """One candidate with its outcome. ``row`` counts from the first candle used; ``realized_r_net`` is after costs."""

    row: int
    kind: FollowKind
    candidate: Candidate
    follow: Follow
    realized_r_net: float

    @property
    def signal_id(self) -> str:
        return f"{self.candidate.pair.symbol}_{self.row}"


@dataclass(frozen=True, eq=False)
class PairBacktest:
    """A pair's closed trades as arrays, oldest first; those that a gap ended or that are ``too_new`` are only counted.

    ``market`` has them too, and those without all their candles or an outcome; ``chosen`` are its entries kept here.
    """

    market: Market
    chosen: BoolArray
    entries: Entries
    outcomes: Outcomes
    net_r: FloatArray
    scene: Scene
    gap_ended: int
    too_new: int  # signals with fewer than ``strategy.max_bars`` candles behind them

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def candles(self) -> Candles:
        return self.market.candles

    @property
    def indicators(self) -> Indicators:
        return self.market.indicators

    @property
    def pair(self) -> Pair:
        return self.market.pair

    @cached_property
    def at_entry(self) -> Indicators:
        """The indicators at the entries alone."""
        return self.market.at_entry.at(np.flatnonzero(self.chosen))

    def features(self, names: tuple[str, ...]) -> FloatArray:
        """A feature set at each trade's candle: float64 ``[n, len(names)]``."""
        return features_of_rows(self.at_entry, self.candles, self.entries.sign.astype(np.int64), self.scene, names)

    def trade(self, index: int, settings: Settings) -> BacktestTrade:
        """One trade in full."""
        row, since = int(self.entries.row[index]), int(self.entries.bars_since[index])
        candidate = candidate_at(
            self.candles,
            self.at_entry,
            index,
            int(self.entries.sign[index]),
            None if since < 0 else since,
            settings.strategy,
        )
        kind = FollowKind.SHADOW_SIGNAL if self.entries.is_signal[index] else FollowKind.SHADOW_CANDIDATE
        follow = self.outcomes.follow(index, self.candles)
        return BacktestTrade(row, kind, candidate, follow, float(self.net_r[index]))

    def groups(self, name: str) -> list[str]:
        """Each trade's group of one of ``GROUPS``: of its signal candle, in UTC."""
        if name == "regime":
            return [regime.value for regime in self.at_entry.regimes()]
        if name == "hour":
            return [f"{hour:02d}" for hour in self.at_entry.hour]
        return [iso(int(time))[:7] for time in self.at_entry.time]

    def target_first(self, settings: Settings) -> PairBacktest:
        """The same trades where the targets that an ambiguous candle touches are filled before its stop."""
        outcomes = targets_first(self.market, settings).outcomes.only(self.chosen)
        return replace(self, outcomes=outcomes, net_r=_net_r(outcomes, settings))

    def columns(self) -> dict[str, list[Any]]:
        """``COLUMNS`` and ``MORE_COLUMNS`` by name, one value per trade; NaN = missing, times as ISO text."""
        out, row = self.outcomes, self.entries.row
        ind = self.indicators.at(row)
        exit_time = self.candles.time[out.exit_row]
        hit = out.targets_hit
        columns: dict[str, list[Any]] = {
            "signal_id": [f"{self.pair.symbol}_{r}" for r in row],
            "timestamp": isos(ind.time),
            "symbol": [self.pair.symbol] * len(row),
            "direction": ["LONG" if s > 0 else "SHORT" for s in self.entries.sign],
            "entry_price": out.entry.tolist(),
            **{f"entry_{name}": getattr(ind, name).tolist() for name in _ENTRY_NUMBERS},
            "entry_regime": [REGIMES[code].value for code in ind.regime],
            "stop_loss": out.stop.tolist(),
            **{f"tp{n}": out.targets[:, n - 1].tolist() for n in (1, 2, 3)},
            "exit_price": out.exit_price.tolist(),
            "exit_reason": [EXITS[code].value for code in out.exit],
            **{f"tp{n}_hit": (hit >= n).tolist() for n in (1, 2, 3)},
            "sl_hit": (out.exit == _STOP).tolist(),
            "realized_r": out.realized_r.tolist(),
            "duration_minutes": ((exit_time - ind.time) // _MINUTE_MS).tolist(),
            "outcome": (out.realized_r > 0).astype(int).tolist(),
            "source": ["backtest"] * len(row),
            "sample_weight": [SAMPLE_WEIGHT] * len(row),
            "kind": ["signal" if s else "candidate" for s in self.entries.is_signal],
            "exit_time": isos(exit_time),
            "bars": out.bars.tolist(),
            "mfe_r": out.mfe_r.tolist(),
            "mae_r": out.mae_r.tolist(),
            "ambiguous": out.ambiguous.tolist(),
            "realized_r_net": self.net_r.tolist(),
            "outcome_net": (self.net_r > 0).astype(int).tolist(),
            "bars_since_signal": [int(b) if b >= 0 else float("nan") for b in self.entries.bars_since],
        }
        return {name: columns[name] for name in (*COLUMNS, *MORE_COLUMNS)}

    def training_columns(self) -> dict[str, list[Any]]:
        """``TABLE_COLUMNS``: the same, and behind them what ``v2`` adds to the features."""
        more = self.features(FEATURES_V2)[:, -len(MORE_V2) :].T.tolist()
        return self.columns() | dict(zip(MORE_V2, more, strict=True))


_ENTRY_NUMBERS = (
    *("atr", "atr_percent", "rsi", "adx", "volume_ratio", "hurst", "sma_distance_percent", "hour", "day_of_week"),
    *("di_plus", "di_minus"),
)


@dataclass(frozen=True, eq=False)
class Backtest:
    """All pairs' trades, pair by pair in the order given and by time within a pair."""

    settings: Settings
    parts: tuple[PairBacktest, ...]
    start_ms: int
    end_ms: int
    with_candidates: bool

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @cached_property
    def trades(self) -> tuple[BacktestTrade, ...]:
        """Every trade in full; built when first asked for."""
        return tuple(part.trade(i, self.settings) for part in self.parts for i in range(len(part)))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Figures of the signals per pair and in all, as JSON can hold them; None where nothing can be said.

        R is gross unless the name ends in ``_net``; ``ambiguous_share`` is the share of signals with a candle that
        touched both the stop and an open target, ``decided`` how many of these smaller candles told. With candidates
        theirs stand under ``candidates``, signals included. ``target_first`` is the total with the other order in the
        candles that are left ambiguous; ``by`` has the signals by regime, hour (UTC) and month of their candle.
        """
        total = self._figures(self.parts)
        other = [part.target_first(self.settings) for part in self.parts]
        return {
            "pairs": {str(part.pair): self._figures([part]) for part in self.parts},
            "total": total,
            "from": iso(self.start_ms),
            "to": iso(self.end_ms),
            "ambiguous_share": total["ambiguous_share"],
            "target_first": _results(other, [part.entries.is_signal for part in other]),
            "by": self._by(),
        }

    def _by(self) -> dict[str, dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {}
        for name in GROUPS:
            keys = [np.array(part.groups(name), dtype=object) for part in self.parts]
            chosen = [part.entries.is_signal for part in self.parts]
            names = sorted({k for column, is_signal in zip(keys, chosen, strict=True) for k in column[is_signal]})
            groups[name] = {}
            for group in names:
                within = [c & (column == group) for c, column in zip(chosen, keys, strict=True)]
                groups[name][group] = {"signals": int(sum(w.sum() for w in within)), **_results(self.parts, within)}
        return groups

    def columns(self) -> dict[str, list[Any]]:
        """The trades by column name, without what only a model looks at."""
        return _joined([part.columns() for part in self.parts], (*COLUMNS, *MORE_COLUMNS))

    def training_columns(self) -> dict[str, list[Any]]:
        """The table by column name."""
        return _joined([part.training_columns() for part in self.parts], TABLE_COLUMNS)

    def table(self) -> pd.DataFrame:
        """``TABLE_COLUMNS`` in their order: what reading the CSV would give."""
        import pandas as pd

        return pd.DataFrame(self.training_columns())

    def write_csv(self, path: Path) -> None:
        """The table as CSV: full float precision, ``True`` / ``False``, empty = missing; whole or not at all.

        Raises OSError.
        """
        columns = self.training_columns()
        with whole_file(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow(["" if value != value else value for value in row])  # NaN is not itself

    def _figures(self, parts: Sequence[PairBacktest]) -> dict[str, Any]:
        chosen = [part.entries.is_signal for part in parts]
        figures = {"signals": int(sum(c.sum() for c in chosen)), **_results(parts, chosen)}
        figures["gap_ended"] = sum(part.gap_ended for part in parts)
        figures["too_new"] = sum(part.too_new for part in parts)
        if self.with_candidates:
            everything = [np.ones(len(part), dtype=np.bool_) for part in parts]
            figures["candidates"] = {"count": sum(len(part) for part in parts), **_results(parts, everything)}
        return figures


def _joined(parts: Sequence[Mapping[str, list[Any]]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [value for part in parts for value in part[name]] for name in names}


def stored_candles(
    store: CandleStore,
    pairs: Iterable[Pair],
    timeframe: Timeframe,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> dict[Pair, Candles]:
    """All that is stored before ``end_ms``, for the pairs that have a candle in ``[start_ms, end_ms)``.

    A pair that is missing in the answer has none. Raises DataError.
    """
    loaded = {pair: store.load(pair, timeframe, None, end_ms) for pair in pairs}
    return {pair: c for pair, c in loaded.items() if len(c.between(start_ms, None))}


def run_backtest(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    history: History = "all",
    candidates: bool = False,
    detail: Mapping[Pair, Candles] | None = None,
    beside: Mapping[Pair, Candles] | None = None,
) -> Backtest:
    """Every signal (with ``candidates`` every crossover) in ``[start_ms, end_ms)`` and its outcome.

    No candle from ``end_ms`` on is looked at, so an entry with fewer than ``strategy.max_bars`` candles between it and
    the end is none. With history "all" the candles before ``start_ms`` warm the indicators up, with "none" they are
    not used; either way the first ``strategy.warmup_bars`` of each stretch give no entry and the cooldown starts at
    ``start_ms``. A trade that a long gap ends is counted and left out. None as a bound: as far as there are candles.
    ``detail``: candles of a smaller timeframe, which tell the order inside an ambiguous candle that they cover whole.
    ``beside``: candles of other pairs (BTC's above all) that only the features look at.
    """
    first_ms = start_ms if history == "none" else None
    seen = {pair: c.between(first_ms, end_ms) for pair, c in {**(beside or {}), **candles}.items()}
    scene = scene_of(seen.values(), candles, settings)
    found = [
        market_of(c, settings, start_ms, end_ms, history=history, candidates=candidates, detail=(detail or {}).get(p))
        for p, c in candles.items()
    ]
    parts = tuple(_closed(market, settings, scene) for market in found)
    starts = [int(p.candles.time[0]) for p in parts if len(p.candles)]
    ends = [int(p.candles.time[-1]) + p.candles.timeframe.ms for p in parts if len(p.candles)]
    first = start_ms if start_ms is not None else min(starts, default=0)
    last = end_ms if end_ms is not None else max(ends, default=first)
    return Backtest(settings, parts, first, last, candidates)


def stored_backtests(
    store: CandleStore,
    pairs: Iterable[Pair],
    timeframe: Timeframe,
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    history: History = "all",
    candidates: bool = False,
) -> Iterator[Backtest]:
    """A backtest of each pair that has candles in the range, one after the other: of the others only closes are kept.

    The arguments are those of ``stored_candles`` and ``run_backtest``. Raises DataError.
    """
    chosen = tuple(pairs)
    first_ms = start_ms if history == "none" else None
    scene: Scene | None = None
    for pair in chosen:
        stored = stored_candles(store, [pair], timeframe, start_ms, end_ms)
        if not stored:
            continue
        if scene is None:
            known = dict.fromkeys((*chosen, *settings.traded, settings.btc))
            scene = scene_of((store.load(p, timeframe, first_ms, end_ms) for p in known), chosen, settings)
        found = run_backtest(stored, settings, start_ms, end_ms, history=history, candidates=candidates)
        yield replace(found, parts=tuple(replace(part, scene=scene) for part in found.parts))


def market_of(
    stored: Candles,
    settings: Settings,
    start_ms: int | None,
    end_ms: int | None,
    *,
    history: History = "all",
    candidates: bool = False,
    detail: Candles | None = None,
) -> Market:
    """A pair's entries in the range and what becomes of each, also of those that are open where the candles end."""
    used = stored.between(start_ms if history == "none" else None, end_ms)
    first_row = 0 if start_ms is None else int(np.searchsorted(used.time, start_ms))
    ind = indicators(used, settings.candles.max_gap)
    entries = find_candidates(used, ind, settings.strategy, max_gap=settings.candles.max_gap, first_row=first_row)
    if not candidates:
        entries = entries.only(entries.is_signal)
    return Market(used, ind, entries, _outcomes(used, ind, entries, settings, detail=detail))


def targets_first(market: Market, settings: Settings) -> Market:
    """The market where the targets that an ambiguous candle touches come before its stop, unless it was decided."""
    open_question: BoolArray = market.outcomes.ambiguous & ~market.outcomes.decided
    if not open_question.any():
        return market
    entries = market.entries.only(open_question)
    others = _outcomes(market.candles, market.indicators, entries, settings, order="target")
    return replace(market, outcomes=market.outcomes.replaced(open_question, others))


def _outcomes(
    candles: Candles,
    ind: Indicators,
    entries: Entries,
    settings: Settings,
    *,
    order: Order = "stop",
    detail: Candles | None = None,
) -> Outcomes:
    return outcomes_of(candles, entries.row, entries.sign, ind.atr[entries.row], settings, order=order, detail=detail)


def _closed(market: Market, settings: Settings, scene: Scene) -> PairBacktest:
    """What has all its candles and was not ended by a gap."""
    whole = market.entries.row < len(market.candles) - settings.strategy.max_bars
    at_gap = market.outcomes.exit == _GAP
    chosen: BoolArray = whole & ~at_gap
    outcomes = market.outcomes.only(chosen)
    signal = market.entries.is_signal
    return PairBacktest(
        market=market,
        chosen=chosen,
        entries=market.entries.only(chosen),
        outcomes=outcomes,
        net_r=_net_r(outcomes, settings),
        scene=scene,
        gap_ended=int((whole & at_gap & signal).sum()),
        too_new=int((~whole & signal).sum()),
    )


def _net_r(outcomes: Outcomes, settings: Settings) -> FloatArray:
    return outcomes.net_r(settings.paper.fee_rate, settings.paper.slippage_rate)


def _results(parts: Sequence[PairBacktest], chosen: Sequence[BoolArray]) -> dict[str, Any]:
    """Figures of the chosen trades of each part."""
    gross = np.concatenate([p.outcomes.realized_r[c] for p, c in zip(parts, chosen, strict=True)] or [np.empty(0)])
    net = np.concatenate([p.net_r[c] for p, c in zip(parts, chosen, strict=True)] or [np.empty(0)])
    ambiguous = sum(int(p.outcomes.ambiguous[c].sum()) for p, c in zip(parts, chosen, strict=True))
    return {
        "wins": int((gross > 0).sum()),
        "win_rate": win_rate(gross),
        "realized_r": float(gross.sum()),
        "profit_factor": profit_factor(gross),
        "wins_net": int((net > 0).sum()),
        "realized_r_net": float(net.sum()),
        "profit_factor_net": profit_factor(net),
        "ambiguous_share": ambiguous / len(gross) if len(gross) else None,
        "decided": sum(int(p.outcomes.decided[c].sum()) for p, c in zip(parts, chosen, strict=True)),
    }
