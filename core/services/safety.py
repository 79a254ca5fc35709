"""What keeps a command from being a mistake for ever: changes taken back, sizes shown before they count, the audit."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import Settings
from core.ports import ChatStore, Clock, Ledger
from core.services.audit_log import AuditLog
from core.services.changing import Changer
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from core.services.sizes import Sizes
from core.services.steering import Steering
from core.services.undo import Undo


@dataclass(frozen=True, slots=True)
class Safety:
    undo: Undo
    sizes: Sizes
    audit: AuditLog


def safety(
    settings: Settings,
    clock: Clock,
    ledger: Ledger,
    chat: ChatStore,
    loop: TradingLoop,
    live: LiveTrading,
    steering: Steering,
) -> Safety:
    """All three, of one running bot."""
    return Safety(
        undo=Undo(settings, chat, Changer(clock, ledger, loop), lambda: live.notes),
        sizes=Sizes(steering, loop),
        audit=AuditLog(settings, clock, ledger, chat, live.faults),
    )
