"""Changes to take back, sizes and the audit log as a fake desk has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.errors import UsageError
from core.services.audit_log import AuditLine, AuditPage, Chain
from core.services.changing import Difference
from core.services.sizes import SizeView
from core.services.undo import DeedView, Final, Undone, UndoPlan
from core.services.views import Actor

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINK_OFF = DeedView(
    12, "switch_pair", "Ann", NOON - timedelta(minutes=5), (Difference("LINK/USDT", "off", "on"),), "operator"
)
RULES_BACK = DeedView(
    13, "rules_to_config", "Ann", NOON - timedelta(minutes=4), (Difference("strategy.adx_min", "25", "20"),), "approver"
)
CLOSED = Final("a trade closed by hand", "Ann", NOON - timedelta(minutes=2), "it stays closed")


class FakeUndo:
    def __init__(self) -> None:
        self.deeds = {12: LINK_OFF}
        self.blocked = ""
        self.redo: DeedView | None = None
        self.finals: tuple[Final, ...] = ()
        self.undone: list[tuple[int, str]] = []

    async def plan(self, deed_id: int | None = None) -> UndoPlan:
        if deed_id is None:
            newest = max(self.deeds, default=None)
            return UndoPlan(self.deeds[newest] if newest else None, self.blocked, self.redo, self.finals)
        if deed_id not in self.deeds:
            raise UsageError(f"there is no change {deed_id}")
        return UndoPlan(self.deeds[deed_id], self.blocked)

    async def undo(self, deed_id: int, actor: Actor) -> Undone:
        if deed_id not in self.deeds:
            raise UsageError("that was taken back before")
        self.undone.append((deed_id, actor.name))
        return Undone(deed_id + 100, self.deeds.pop(deed_id))


class FakeSizes:
    def __init__(self) -> None:
        self.factors = {"LINK/USDT": 1.0, "ETH/USDT": 0.8, "SOL/USDT": 0.7}

    def all(self) -> tuple[SizeView, ...]:
        return tuple(self.view(pair) for pair in self.factors)

    def view(self, pair: str, wanted: float | None = None) -> SizeView:
        if pair not in self.factors:
            raise UsageError(f"{pair} is not among the pairs: LINK, ETH, SOL")
        if wanted is not None and not 0 < wanted <= 2:
            raise UsageError("a size lies above 0 and is at most 2; 1 is the full risk of a trade")
        factor = self.factors[pair]
        return SizeView(pair, factor, 1.0, 200 * factor, 400.0, pair == "LINK/USDT", wanted, 200 * (wanted or 0))

    async def set(self, pair: str, factor: float, actor: Actor) -> SizeView:
        view = self.view(pair, factor)
        self.factors[pair] = factor
        return view


def a_line(number: int, **changes: object) -> AuditLine:
    plain = AuditLine("change", NOON - timedelta(minutes=number), "Ann", "switch_pair", "LINK/USDT: on → off")
    return replace(plain, **changes)  # type: ignore[arg-type]


class FakeAudit:
    def __init__(self) -> None:
        self.lines = (
            a_line(1),
            a_line(2, kind="command", action="command", detail="/pair LINK off"),
            a_line(3, kind="look", action="command", detail="/status", count=4),
            a_line(5, kind="stranger", by="Eve", action="refused", detail="hello", count=3),
            a_line(6, kind="refused", by="Vera", action="refused", detail="/pause"),
        )
        self.chain = Chain(57, None, "", NOON)

    async def page(self, count: int, is_look: Callable[[str], bool], before: int | None = None) -> AuditPage:
        first = 0 if before is None else before
        shown = self.lines[first : first + count]
        return AuditPage(shown, first + count if first + count < len(self.lines) else None, self.chain)


class FakeSafety:
    def __init__(self) -> None:
        self.undo = FakeUndo()
        self.sizes = FakeSizes()
        self.audit = FakeAudit()
