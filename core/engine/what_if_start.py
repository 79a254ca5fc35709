"""The account as it stood at a close of the past, put together from what the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.candles import DAY_MS, Candles, Pair
from core.domain.ledger import FollowRecord
from core.domain.trading import Ruling
from core.engine import fills, trader
from core.engine.refollow import stages
from core.engine.what_if import Past

_SAME = 1e-6

Curve = Sequence[tuple[int, float]]
"""Equity (USDT) by close (epoch ms), oldest first."""


def carried(
    trades: Iterable[FollowRecord], at: int, candles: Mapping[Pair, Candles], settings: Settings
) -> tuple[FollowRecord, ...]:
    """The trades that were open at the close ``at``, before its entries; in the order of their opening."""
    open_then = [
        record
        for record in trades
        if record.follow.entry_time + settings.frame.ms < at and not _ended(record, at, candles, settings)
    ]
    return tuple(sorted(open_then, key=lambda record: record.follow_id))


def _ended(record: FollowRecord, at: int, candles: Mapping[Pair, Candles], settings: Settings) -> bool:
    if not record.follow.closed:
        return False
    known = stages(record.follow, candles.get(record.pair), settings)
    return bool(known) and known[-1][0] <= at


def opening(
    past: Sequence[Past],
    open_then: Iterable[FollowRecord],
    curve: Curve,
    candles: Mapping[Pair, Candles],
    settings: Settings,
) -> Account:
    """The account right before the first of ``past`` was decided, with the trades ``open_then``."""
    at = past[0].close_time
    known = [value for time, value in curve if time <= at]
    equity = known[-1] if known else settings.paper.start_balance
    positions = tuple(_position(record, at, candles, settings) for record in open_then)
    today = [value for time, value in curve if time <= at and time // DAY_MS == at // DAY_MS]
    account = Account(
        cash=equity - sum(position.open_pnl for position in positions),
        positions=positions,
        day=at // DAY_MS,
        day_start_equity=today[0] if today else equity,
        peak_equity=max([settings.paper.start_balance, *known]),
    )
    return _with_breakers(account, past)


def _position(record: FollowRecord, at: int, candles: Mapping[Pair, Candles], settings: Settings) -> Position:
    levels, paper = record.follow.levels, settings.paper
    follow = fills.begin(levels, record.follow.entry_time)
    for known, stage in stages(record.follow, candles.get(record.pair), settings):
        follow = stage if known <= at else follow
    own = candles.get(record.pair)
    row = -1 if own is None else int(np.searchsorted(own.time, at - settings.frame.ms, side="right")) - 1
    position = Position(
        trade_id=record.follow_id,
        pair=record.pair,
        direction=levels.direction,
        quantity=record.quantity,
        entry_fill=record.entry_fill,
        risk_amount=record.risk_amount,
        follow=follow,
        mark=float(own.close[row]) if own is not None and row >= 0 else levels.entry,
        pnl=-record.entry_fill * record.quantity * paper.fee_rate,
    )
    made = sum(trader.leg_pnl(position, leg, settings) for leg in follow.legs)
    return replace(position, pnl=position.pnl + made)


def _with_breakers(account: Account, past: Sequence[Past]) -> Account:
    """What the first decided signal's verdicts say of pauses; they know of a peak that a person has set back."""
    first = next((p for p in past if p.verdict("portfolio", "drawdown") is not None), None)
    if first is None:
        return account
    drawdown, daily = first.verdict("portfolio", "drawdown"), first.verdict("portfolio", "daily_loss")
    cooldown = first.verdict("portfolio", "cooldown")
    peak, paused_day, until = account.peak_equity, -1, 0
    if drawdown is not None and drawdown.number is not None and abs(drawdown.number - account.drawdown) > _SAME:
        peak = account.equity / (1 - min(drawdown.number, 0.99))
    if daily is not None and daily.ruling is Ruling.REFUSE:
        paused_day = first.close_time // DAY_MS
    if cooldown is not None and cooldown.ruling is Ruling.REFUSE:
        told = [(p.close_time, v) for p in past if (v := p.verdict("portfolio", "cooldown"))]
        waiting = [time for time, v in takewhile(lambda one: one[1].ruling is Ruling.REFUSE, told)]
        until = waiting[-1] + 1
    return Account(
        cash=account.cash,
        positions=account.positions,
        day=account.day,
        day_start_equity=account.day_start_equity,
        peak_equity=peak,
        paused_day=paused_day,
        drawdown_paused=drawdown is not None and drawdown.ruling is Ruling.REFUSE,
        loss_streak=int(cooldown.number) if cooldown is not None and cooldown.number is not None else 0,
        cooldown_until=until,
    )
