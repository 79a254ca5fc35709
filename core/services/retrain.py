"""Training on all there is: fetched history for the bulk, the ledger's own outcomes for what was lived."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from core.config import Settings
from core.domain.candles import to_ms
from core.errors import MarketError, ModelError, TooFewSamples
from core.ports import CandleStore, ChatStore, Clock, Ledger, MarketData, TradeRow
from core.reports.challenge_chart import challenge_chart
from core.reports.model_charts import calibration_chart
from core.services.backtest import TABLE_COLUMNS, stored_backtests
from core.services.fetch import fetch_pairs
from core.services.reading import Stores, read
from core.services.records import closed_samples
from core.services.train import Models, TrainingReport, train_from_table
from core.services.views import Progress, TrainingView
from core.services.worker import Worker

if TYPE_CHECKING:
    import pandas as pd

FETCH_SHARE = 0.4  # of the progress bar
Rows = Sequence[Mapping[str, object]]


def training_table(candles: CandleStore, settings: Settings, live: Rows, now_ms: int) -> pd.DataFrame:
    """The backtest's signals of ``ml.bootstrap_days``, with the ledger's rows in the place of those it lived."""
    import pandas as pd

    start = now_ms - settings.bootstrap_ms
    columns: dict[str, list[object]] = {name: [] for name in TABLE_COLUMNS}
    for result in stored_backtests(candles, settings.traded, settings.frame, settings, start, now_ms):
        for name, values in result.training_columns().items():
            columns[name] += values
    table = pd.DataFrame(columns)
    if not live:
        return table
    lived = pd.DataFrame([dict(row) for row in live])
    both = pd.concat([lived, table], ignore_index=True) if len(table) else lived
    return both.drop_duplicates(["symbol", "timestamp", "direction"], keep="first", ignore_index=True)


def retrain_job(
    progress: Progress,
    candles: CandleStore,
    models: Models,
    settings: Settings,
    stores: Stores,
    now: datetime,
) -> tuple[TrainingReport, bytes | None]:
    """For a worker process: the ledger, backtest, training, evaluation, and a picture.

    The picture is of both models, or the first one's calibration. Raises ModelError (TooFewSamples too), DataError and
    StoreError.
    """
    progress("what was lived", 0.0)
    live = closed_samples(read(stores, _lived), settings)
    progress("backtest", 0.05)
    table = training_table(candles, settings, live, to_ms(now))
    progress(f"{len(table)} samples", 0.2)
    report = train_from_table(
        table,
        settings.ml,
        models,
        now,
        timeframe=settings.frame,
        max_bars=settings.strategy.max_bars,
        promote=False,
        progress=lambda text, done: progress(text, 0.2 + 0.8 * done),
    )
    return report, _picture(report)


def _picture(report: TrainingReport) -> bytes | None:
    if report.comparison.gain is not None:
        return challenge_chart(report.comparison)
    found = report.walk_forward.metrics
    if not found.calibration:
        return None
    return calibration_chart(found.calibration, f"{report.model_id} on unseen signals", found.base_rate)


async def _lived(ledger: Ledger, chat: ChatStore) -> list[TradeRow]:
    return await ledger.trade_rows()


class Trainer:
    """Runs trainings in a process of their own. ``before`` is awaited first: candles in memory go to the files."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        market: MarketData,
        candles: CandleStore,
        stores: Stores,
        models: Models,
        before: Callable[[], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
        in_force: Callable[[], Settings] | None = None,
    ) -> None:
        """``in_force`` gives the settings with what an approver has changed; None: ``settings`` as they are."""
        self._settings = settings
        self._clock = clock
        self._market = market
        self._candles = candles
        self._stores = stores
        self._models = models
        self._before = before
        self._monotonic = monotonic
        self._in_force = in_force or (lambda: settings)
        self.rows = 0

    async def train(self, progress: Progress) -> TrainingView:
        """Makes a challenger; whether it becomes champion is decided elsewhere. Data that cannot teach is no error."""
        began, began_at = self._clock.now(), self._monotonic()
        await self._before()
        warning = await self._fetch(progress)
        settings = self._in_force()
        try:
            async with Worker() as worker:
                report, picture = await worker.run_with_progress(
                    lambda text, done: progress(text, FETCH_SHARE + (1 - FETCH_SHARE) * done),
                    retrain_job,
                    self._candles,
                    self._models,
                    settings,
                    self._stores,
                    began,
                )
        except ModelError as error:
            self.rows = error.rows if isinstance(error, TooFewSamples) else self.rows
            return TrainingView(
                None, False, _joined(str(error), warning), self.rows, {}, None, self._monotonic() - began_at
            )
        self.rows = report.rows
        return TrainingView(
            model_id=report.model_id,
            champion=report.champion,
            sentence=_joined(f"{report.sentence}; {report.takeover}", warning),
            rows=report.rows,
            metrics=report.metrics,
            picture=picture,
            seconds=self._monotonic() - began_at,
            comparison=report.comparison,
        )

    async def _fetch(self, progress: Progress) -> str:
        """Completes the history; gives a warning where the exchange would not, for what is stored still teaches."""
        frame, now_ms = self._settings.frame, to_ms(self._clock.now())
        start = frame.floor(now_ms - self._settings.bootstrap_ms)
        pairs = tuple(dict.fromkeys((*self._settings.traded, self._settings.btc)))
        found = await fetch_pairs(
            self._market,
            self._candles,
            pairs,
            frame,
            start,
            now_ms,
            page=self._settings.exchange.page,
            progress=lambda done: progress("history", FETCH_SHARE * done),
        )
        failed = [f"{pair}: {error}" for pair, error in found.items() if isinstance(error, MarketError)]
        return f"history not complete ({'; '.join(failed)})" if failed else ""


def _joined(sentence: str, warning: str) -> str:
    return f"{sentence}; {warning}" if warning else sentence
