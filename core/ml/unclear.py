"""On how many signals a layer could not tell: counted, because a rule that never knows is a rule that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.domain.ledger import DecisionRecord
from core.domain.trading import Ruling, Verdict

NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Unclear:
    """``counts`` by rule (alignment, btc, correlated, gemini), of ``signals`` that were put before the layers."""

    signals: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """``Not known: alignment 3, BTC 1 of 40 signals; Gemini without an opinion on 2``; empty where all was."""
        names = {"alignment": "alignment", "btc": "BTC", "correlated": "correlation"}
        rules = ", ".join(f"{name} {self.counts[rule]}" for rule, name in names.items() if rule in self.counts)
        silent = f"Gemini without an opinion on {self.counts['gemini']}" if "gemini" in self.counts else ""
        if rules:
            return f"Not known: {rules} of {self.signals} signals{f'; {silent}' if silent else ''}"
        return f"{silent} of {self.signals} signals" if silent else ""


def could_not_tell(verdict: Verdict) -> bool:
    """It was asked and did not know: kept as unknown, or as a refusal where the settings refuse what is unknown."""
    if verdict.layer == "gemini":
        silent = verdict.number is None and verdict.ruling is not Ruling.ABSENT
        return silent and not verdict.sentence.endswith(NOT_ASKED)
    return verdict.ruling is Ruling.UNKNOWN or (
        verdict.ruling is Ruling.REFUSE and verdict.sentence.startswith("too few")
    )


def unclear_of(decisions: Iterable[DecisionRecord]) -> Unclear:
    """What the layers did not know of these decisions; one that never came before them does not count."""
    spoken = [d.verdicts for d in decisions if any(v.layer == "rules" for v in d.verdicts)]
    counts = Counter(v.rule for verdicts in spoken for v in verdicts if could_not_tell(v))
    return Unclear(len(spoken), dict(sorted(counts.items())))
