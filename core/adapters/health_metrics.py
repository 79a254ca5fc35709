"""Health as Prometheus reads it: every metric begins with ``julaba_``. docs/health.md lists them with their units."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from core.domain.health import Health

CONTENT_TYPE = CONTENT_TYPE_LATEST
STATES = ("ok", "degraded", "down")


class _Once(Collector):
    """The figures of one moment. A figure that is not known is left out: Prometheus has no word for it."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        health, trading, chat, process = self._health, self._health.trading, self._health.chat, self._health.process
        state = GaugeMetricFamily("julaba_state", "1 for the state Julaba is in, 0 for the others", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(health.state == name))
        yield state
        yield InfoMetricFamily("julaba", "The version that runs", value={"version": process.version})
        yield _gauge("troubles", "How many things are wrong now", len(health.troubles))
        yield from _known("close_late_seconds", "Since the oldest close that is past and not settled", trading.late)
        closed = trading.last_close.timestamp() if trading.last_close else None
        yield from _known("last_close_timestamp_seconds", "The newest close that was handled, Unix time", closed)
        yield _counter(
            "trading_restarts", "How often trading broke off or stood still and began again", trading.restarts
        )
        yield _gauge("equity_usdt", "Equity of the paper account", trading.equity)
        yield _gauge("open_trades", "Open paper trades", trading.open_trades)
        yield _gauge("entries_paused", "1 while no new trade is opened", float(bool(trading.paused)))
        ages = GaugeMetricFamily("julaba_candle_age_seconds", "Since the pair's newest candle closed", labels=["pair"])
        held = GaugeMetricFamily(
            "julaba_pair_quarantined", "1 for a pair that is asked only now and then", labels=["pair"]
        )
        for pair in health.pairs:
            if pair.candle_age is not None:
                ages.add_metric([pair.pair], pair.candle_age)
            held.add_metric([pair.pair], float(bool(pair.quarantined)))
        yield ages
        yield held
        yield from _known("clock_offset_seconds", "How far this computer is ahead of the exchange", health.clock_offset)
        yield from _known("telegram_silence_seconds", "Since Telegram last answered getUpdates", chat.silent)
        yield _counter("telegram_restarts", "How often polling was built anew", chat.restarts)
        yield _gauge("outbox_alerts", "Alerts that wait to be sent", chat.waiting)
        yield _gauge("outbox_oldest_seconds", "How long the oldest of them has waited", chat.oldest or 0.0)
        yield _gauge("event_loop_lag_seconds", "The longest hold-up within the last minute", process.loop_lag)
        yield from _known(
            "commit_age_seconds", "Since the database took a commit; one is tried each minute", process.commit_age
        )
        yield _gauge("training", "1 while a model is being trained", float(process.training))
        yield from _known("resident_memory_bytes", "Memory of the main process", process.memory)
        yield _gauge("uptime_seconds", "Since this process began to trade", process.uptime)


def metrics_text(health: Health) -> bytes:
    """Prometheus' text format, to be served as ``CONTENT_TYPE``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(health))
    return generate_latest(registry)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"julaba_{name}", words, value=float(value))


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(f"julaba_{name}", words, value=float(value))


def _known(name: str, words: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield _gauge(name, words, value)
