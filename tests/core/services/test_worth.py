"""What layers and Gemini are worth, from a real ledger: counts equal to plain SQL, and each finding told once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.ledger import Controls, Effect
from core.domain.trading import Candidate, Direction, GeminiOpinion
from core.ports import Prediction
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.rules import RuleKeeper
from core.services.views import Actor
from core.services.worth import Evidence, WorthDesk, evidence
from tests.ledgers import Books, Stage, books, market, settings
from tests.lived import AGAINST, AGREES, BTC_AGAINST, BTC_FINE, Row, outcomes, signal
from tests.markets import M15, START

LINK = Pair.parse("LINK/USDT")
NOW = to_datetime(START + 40_000 * M15.ms)


async def keep(kept: Books, rows: Sequence[Row]) -> None:
    """Puts planted signals into the ledger, in one piece."""
    await kept.ledger.commit(
        Effect(
            step="entries",
            cursors={LINK: rows[-1][0].open_time},
            decisions=tuple(d for d, _ in rows),
            follows=tuple(f for _, f in rows),
        )
    )


@dataclass
class Questions:
    """Where a rule is asked about."""

    asked: list[tuple[Mapping[str, object], str, tuple[str, ...]]] = field(default_factory=list)
    open: int | None = None

    async def ask(self, values: Mapping[str, object], title: str, lines: tuple[str, ...], asked_by: str) -> int:
        self.asked.append((values, title, lines))
        return 1

    async def waiting(self) -> int | None:
        return self.open


@dataclass
class Office:
    kept: Books
    desk: WorthDesk
    rules: Questions

    async def told(self) -> list[tuple[str, str, str]]:
        """Key, title and detail of every notice, in order."""
        items = await self.kept.chat.pending(50)
        return [(e.key, e.title, e.detail) for i in items if (e := i.event).kind == "notice"]

    async def again(self) -> WorthDesk:
        """The desk after a restart."""
        clock = ReplayClock(NOW)
        return WorthDesk(
            Settings(), clock, self.kept.ledger, self.kept.chat, Bell(), gemini_present=True, rules=self.rules
        )


@asynccontextmanager
async def office(
    folder: Path, rows: Sequence[Row], config: Settings | None = None, *, present: bool = True
) -> AsyncIterator[Office]:
    async with books(folder) as kept:
        if rows:
            await keep(kept, rows)
        rules = Questions()
        clock = ReplayClock(NOW)
        desk = WorthDesk(
            config or Settings(), clock, kept.ledger, kept.chat, Bell(), gemini_present=present, rules=rules
        )
        yield Office(kept, desk, rules)


def opinionated(n: int, seed: int = 1) -> list[Row]:
    """Opinions whose confidence means nothing."""
    rng = np.random.default_rng(seed)
    return [
        signal(i, g, gemini=(bool(rng.random() < 0.6), float(rng.uniform(0.55, 0.95))))
        for i, g in enumerate(outcomes(n, seed), 1)
    ]


def traded(n: int, lost: float = 0.5, won: float = 0.5, seed: int = 1) -> list[Row]:
    """Closed trades of which both rules object to these shares of the losers and the winners."""
    rng = np.random.default_rng(seed)

    def objects(gross: float) -> bool:
        return bool(rng.random() < (won if gross > 0 else lost))

    return [
        signal(
            i,
            g,
            status="taken",
            alignment=AGAINST if objects(g) else AGREES,
            btc=BTC_AGAINST if rng.random() < 0.5 else BTC_FINE,
        )
        for i, g in enumerate(outcomes(n, seed), 1)
    ]


class Oracle:
    """Speaks of every signal by its RSI, and sometimes not at all."""

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        rsi = candidate.snapshot.rsi
        if rsi % 1 < 0.2:
            return "no answer within 20 s"
        return GeminiOpinion(int(rsi * 10) % 3 != 0, round(rsi % 1, 3), "because", (), "oracle", 100, 10)


class Coin:
    model_id = "coin"

    async def predict(self, features: Mapping[str, float], direction: Direction, decided_at: int) -> Prediction | str:
        return Prediction("coin", (features["entry_rsi"] % 1) if not math.isnan(features["entry_rsi"]) else 0.5, ())


FROM_SIGNALS = (
    "FROM follows f JOIN decisions d USING (decision_id) WHERE d.is_signal AND f.exit_reason IS NOT NULL "
    "AND f.exit_reason NOT IN ('GAP', 'MANUAL') AND d.status IN ('taken', 'refused')"
)


async def count(kept: Books, what: str, where: str = "1") -> Any:
    row = await kept.db.row(f"SELECT {what} AS found {FROM_SIGNALS} AND {where}")
    assert row is not None
    return row["found"]


def ruled(rule: str, *rulings: str) -> str:
    wanted = ", ".join(f"'{r}'" for r in rulings)
    return (
        f"EXISTS (SELECT 1 FROM verdicts v WHERE v.decision_id = d.decision_id AND v.rule = '{rule}' "
        f"AND v.ruling IN ({wanted}))"
    )


async def test_a_replayed_ledger_is_counted_as_plain_sql_counts_it(tmp_path: Path) -> None:
    loose = {"adx_min": 0.0, "volume_ratio_min": 0.0, "rsi_long_max": 100.0, "rsi_short_min": 0.0, "cooldown_bars": 0}
    config = settings(strategy=loose, portfolio={"max_positions": 2})
    candles = market(1_800)
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 400, config, advisor=Oracle(), predictor=Coin())
        for window in candles.values():
            stage.loop.warm(window.rows(0, 400))
        await stage.play(candles, 400, 1_800)
        found: Evidence = await evidence(kept.ledger, config)
        every = await kept.ledger.trade_rows()

        assert await kept.ledger.trade_rows(signals_only=True) == [r for r in every if r.decision.is_signal]
        assert len(every) > len(found.decisions) > 0
        report, board = found.report(whole=True), found.board(START + 1_800 * M15.ms, whole=True)

        assert report.outcomes == await count(kept, "count(*)") == await kept.ledger.outcome_count() > 20
        assert report.trades == await count(kept, "count(*)", "f.kind = 'trade'") > 0
        for rule in ("alignment", "btc"):
            layer = report.layer(rule)
            assert layer.asked == await count(kept, "count(*)", ruled(rule, "half", "pass", "unknown"))
            assert layer.unknown == await count(kept, "count(*)", ruled(rule, "unknown"))
            assert layer.apart == await count(kept, "count(*)", ruled(rule, "half"))
        gemini = report.layer("gemini")
        kept_by_it = "d.gemini_approve AND d.gemini_confidence >= 0.7"
        assert gemini.asked == report.outcomes
        assert gemini.with_it is not None
        assert gemini.with_it.n == await count(kept, "count(*)", kept_by_it)
        assert gemini.with_it.total == pytest.approx(await count(kept, "coalesce(sum(f.r_net), 0.0)", kept_by_it))
        assert gemini.without is not None
        assert gemini.without.net == pytest.approx(await count(kept, "avg(f.r_net)"))
        assert gemini.without.win_rate == pytest.approx(await count(kept, "avg(f.realized_r > 0)"))
        model = report.layer("model")
        formula = "d.gemini_approve AND d.gemini_confidence * 0.5 + d.ml_rank * 0.5 >= 0.7"
        assert model.asked == await count(kept, "count(*)", "d.ml_rank IS NOT NULL") == report.outcomes
        assert model.with_it is not None
        assert model.with_it.n == await count(kept, "count(*)", formula)
        row = await kept.db.row(
            "SELECT count(*) AS asked, sum(gemini_confidence IS NOT NULL) AS answered, sum(gemini_approve = 0) AS no, "
            "sum(gemini_prompt_tokens) AS prompt, sum(gemini_output_tokens) AS output FROM decisions WHERE is_signal"
        )
        assert row is not None
        assert (board.asked, board.answered, board.refused) == (row["asked"], row["answered"], row["no"])
        assert (board.cost.prompt_tokens, board.cost.output_tokens) == (row["prompt"], row["output"])
        assert board.reasons == (("no answer within 20 s", row["asked"] - row["answered"]),)
        assert board.score is not None
        assert board.score.base == pytest.approx(
            await count(kept, "avg(f.realized_r > 0)", "d.gemini_confidence IS NOT NULL")
        )


async def test_a_confidence_worse_than_the_base_rate_is_told_once_also_after_a_restart(tmp_path: Path) -> None:
    async with office(tmp_path, opinionated(120)) as there:
        await there.desk.review()
        await there.desk.review()
        await (await there.again()).review()

        [(key, title, detail)] = await there.told()
        assert key == "gemini:worse:1"
        assert title == "Gemini does worse than the base rate on 100 closed opinions"
        assert "at most 5%" in detail


async def test_it_is_told_again_a_hundred_outcomes_later(tmp_path: Path) -> None:
    rows = opinionated(220)
    async with office(tmp_path, rows[:120]) as there:
        await there.desk.review()
        await keep(there.kept, rows[120:])
        await there.desk.review()

        assert [key for key, _, _ in await there.told()] == ["gemini:worse:1", "gemini:worse:2"]


@pytest.mark.parametrize("confidence", [0.4, None])
async def test_a_confidence_as_good_as_the_base_rate_is_not_blamed(tmp_path: Path, confidence: float | None) -> None:
    rows = [
        signal(i, g, gemini=(True, confidence or (0.8 if g > 0 else 0.2))) for i, g in enumerate(outcomes(120, 1), 1)
    ]
    async with office(tmp_path, rows) as there:
        await there.desk.review()

        assert await there.told() == []


async def test_after_fifty_trades_the_rules_are_shown_once_and_nothing_is_asked_without_support(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, traded(60)) as there:
        await there.desk.review()
        await (await there.again()).review()

        [(key, title, detail)] = await there.told()
        assert (key, title) == ("rules:worth:50", "60 closed trades: what the rules were worth")
        assert detail.startswith("Alignment: ")
        assert "\nBTC: " in detail
        assert "Nothing here speaks for a change: they stay at half size." in detail
        assert there.rules.asked == []


async def test_a_rule_that_helps_beyond_chance_is_asked_about_once(tmp_path: Path) -> None:
    async with office(tmp_path, traded(120, lost=0.9, won=0.05)) as there:
        await there.desk.review()
        await (await there.again()).review()

        [(values, title, lines)] = there.rules.asked
        assert values == {"rules.alignment": "veto"}
        assert title == "May rules.alignment become veto?"
        assert lines[0].startswith("Alignment: ")
        assert lines[0].endswith(": helps.")
        assert "This speaks for rules.alignment: veto." in (await there.told())[0][2]


async def test_a_yes_to_the_card_changes_the_rule_from_then_on(tmp_path: Path) -> None:
    config = settings()
    async with books(tmp_path) as kept:
        await keep(kept, traded(120, lost=0.9, won=0.05))
        stage, bell = await Stage.begin(kept, 40_000, config), Bell()
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        rules = RuleKeeper(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, approvals)
        desk = WorthDesk(config, stage.clock, kept.ledger, kept.chat, bell, gemini_present=False, rules=rules)
        await desk.review()
        [card] = await kept.chat.open_approvals()
        await approvals.answer(card.approval_id, True, Actor(1001, "Ann", "approver"))
        report = (await desk.layers()).report

    assert card.kind == "rule"
    assert card.lines[0].startswith("Alignment: ")
    assert rules.in_force.rules.alignment == "veto"
    assert report.layer("alignment").words == "alignment (refuses)"


async def test_a_rule_that_costs_is_asked_to_note_only(tmp_path: Path) -> None:
    async with office(tmp_path, traded(120, lost=0.05, won=0.9)) as there:
        await there.desk.review()

        assert [values for values, _, _ in there.rules.asked] == [{"rules.alignment": "record"}]


@pytest.mark.parametrize(
    "rows", [traded(49), opinionated(60), [*traded(49), *(signal(i, 1.0, alignment=AGAINST) for i in range(50, 80))]]
)
async def test_before_fifty_trades_the_rules_are_not_shown(tmp_path: Path, rows: list[Row]) -> None:
    async with office(tmp_path, rows) as there:
        await there.desk.review()

        assert not [key for key, _, _ in await there.told() if key.startswith("rules")]


async def test_rules_that_are_no_longer_at_half_size_are_not_asked_about(tmp_path: Path) -> None:
    config = Settings.model_validate({"rules": {"alignment": "veto", "btc": "record"}})
    async with office(tmp_path, traded(60), config) as there:
        await there.desk.review()

        assert await there.told() == []


async def test_an_approved_weight_and_a_changed_rule_are_what_is_counted(tmp_path: Path) -> None:
    rows = [signal(i, 1.0, gemini=(True, 0.8), rank=0.1, alignment=AGAINST) for i in range(1, 61)]
    changes = {"rules.alignment": {"from": "half", "to": "veto", "by": "Ann", "at": 1}}
    async with office(tmp_path, rows) as there:
        before = (await there.desk.layers()).report
        await there.kept.ledger.set_controls(Controls(approved_weight=0.25, approved_model="xgb-1", changes=changes))
        after = (await there.desk.layers()).report

    assert (before.what_if, before.layer("alignment").words) == (True, "alignment (halves)")
    assert (after.weight, after.what_if) == (0.25, False)
    assert after.layer("alignment").words == "alignment (refuses)"


async def test_views_carry_a_picture_from_the_first_look_on(tmp_path: Path) -> None:
    async with office(tmp_path, opinionated(49)) as there:
        early = await there.desk.layers(), await there.desk.gemini()
        row = opinionated(50)[-1]
        await keep(there.kept, [(replace(row[0], decision_id=50), replace(row[1], follow_id=50, decision_id=50))])
        late = await there.desk.layers(), await there.desk.gemini()

    assert [view.picture for view in early] == [None, None]
    assert all(view.picture and view.picture.startswith(b"\x89PNG") for view in late)


async def test_an_empty_ledger_and_no_key_are_no_trouble(tmp_path: Path) -> None:
    async with office(tmp_path, [], present=False) as there:
        await there.desk.review()
        gemini, layers = await there.desk.gemini(), await there.desk.layers()

    assert (gemini.present, gemini.board.asked) == (False, 0)
    assert layers.report.outcomes == 0
