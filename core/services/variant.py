"""The variants' evidence, read from the ledger: choices stored at the decision against the outcomes that came later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.config import Settings
from core.domain.candles import Timeframe
from core.domain.ledger import DecisionRecord
from core.domain.trading import ExitReason, Verdict
from core.engine.variants import LAYER, label_of, variant_label
from core.ml.gate import look_count
from core.ml.variant_gate import Contest, VariantLook, error_share, variant_looks
from core.ports import Ledger, TradeRow
from core.services.changes import in_force

_NO_SAMPLE = (ExitReason.GAP, ExitReason.MANUAL)


@dataclass(frozen=True, slots=True)
class VariantReport:
    """A variant and what its looks said. ``order``: the how manieth that was ever tried in this ledger, from 1.

    ``outcomes`` closed ones that it or the strategy chose, ``next_look`` the number at which the next look is taken.
    """

    name: str
    label: str
    order: int
    error: float
    outcomes: int
    next_look: int
    looks: tuple[VariantLook, ...]

    @property
    def state(self) -> str:
        return self.looks[-1].state if self.looks else "blocked"

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"state": self.state}


async def variant_reports(ledger: Ledger, settings: Settings) -> tuple[VariantReport, ...]:
    """One report per configured variant, in the order of the settings. Nothing is written and nothing switched.

    ``settings`` are the configured ones; the rules beside which a variant stands are those in force.
    """
    if not settings.variants:
        return ()
    settings = in_force(settings, (await ledger.controls()).changes).settings
    rows = await ledger.trade_rows()
    tried = ever_tried(row.decision for row in rows)
    reports = []
    for name in settings.variants:
        label = variant_label(name, settings)
        contests = contests_of(rows, name, label)
        known = (name, label)
        order = tried.index(known) + 1 if known in tried else len(tried) + 1
        error = error_share(order, settings.gate.error)
        looks = variant_looks(contests, error)
        following = look_count(len(looks) + 1)
        reports.append(VariantReport(name, label, order, error, len(contests), following, looks))
    return tuple(reports)


def ever_tried(decisions: Iterable[DecisionRecord]) -> list[tuple[str, str]]:
    """Every variant, by name and label, in the order of its first verdict."""
    found: dict[tuple[str, str], None] = {}
    for decision in sorted(decisions, key=lambda d: d.decision_id):
        for verdict in decision.verdicts:
            if verdict.layer == LAYER:
                found.setdefault((verdict.rule, label_of(verdict)))
    return list(found)


def contests_of(rows: Sequence[TradeRow], name: str, label: str) -> list[Contest]:
    """The closed outcomes that the variant, the strategy or both had chosen when the variant was what it is today.

    Left out: what was found more than a candle late, what a gap or a person ended, and what neither chose.
    """
    contests = []
    for row in rows:
        decision, follow = row.decision, row.follow.follow
        choice = _choice(decision.verdicts, name, label)
        if choice is None or row.follow.r_net is None or follow.exit_time is None or follow.exit_reason in _NO_SAMPLE:
            continue
        frame = Timeframe.parse(decision.timeframe).ms
        decided = decision.open_time + frame
        closed = follow.exit_time + frame
        late = decision.status == "missed" or decision.decided_at > decided + frame or decision.decided_at >= closed
        if not late and (choice or decision.is_signal):
            contests.append(Contest(decided, closed, row.follow.r_net, choice, decision.is_signal))
    return contests


def _choice(verdicts: Sequence[Verdict], name: str, label: str) -> bool | None:
    for verdict in verdicts:
        if verdict.layer == LAYER and verdict.rule == name and label_of(verdict) == label:
            return bool(verdict.number)
    return None
