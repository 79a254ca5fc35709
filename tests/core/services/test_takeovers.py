"""Takeovers: by itself at weight 0, by an approver above it, and the way back; whole also when the power fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.domain.messages import ModelTrained, Notice
from core.errors import UsageError
from core.ml.challenge import Comparison
from tests.core.services.test_gatekeeper import live
from tests.ledgers import settings
from tests.thrones import ANN, OLE, better, no_better, saved, throne, trained

ASKS = settings(ml={"auto_takeover": False})


async def test_the_first_model_becomes_champion_and_is_written_into_the_book(tmp_path: Path) -> None:
    async with throne(tmp_path, ()) as at:
        saved(at.files, "new")
        alone = Comparison(None, "new", 0, True, "it is the first model and becomes champion")
        view = await at.takeovers.after_training(trained("new", alone))

        assert view.champion
        assert at.files.champion_id() == "new"
        assert await at.reigns() == ["new"]
        assert [type(e) for e in await at.told()] == [ModelTrained]


async def test_with_weight_0_a_clearly_better_challenger_takes_over_by_itself(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", parent="first")
        view = await at.takeovers.after_training(trained("new", better("first", "new")))

        assert view.champion
        assert view.sentence.endswith("it takes over")
        assert at.files.champion_id() == "new"
        assert await at.reigns() == ["first", "new"]
        assert [e.model_id for e in await at.told() if isinstance(e, ModelTrained)] == ["new"]


async def test_a_takeover_and_a_rollback_keep_the_evidence_and_the_looks_of_the_line(tmp_path: Path) -> None:
    async with throne(tmp_path, ("m1",)) as at:
        await live(at, 60, skilled=True)
        await at.keeper.review()
        before = await at.keeper.evidence(), await at.keeper.looks()
        saved(at.files, "new", parent="m1")
        await at.takeovers.after_training(trained("new", better("m1", "new")))
        after = await at.keeper.evidence(), await at.keeper.looks()
        await at.takeovers.rollback("m1", OLE)
        back = await at.keeper.evidence(), await at.keeper.looks()

    assert (len(before[0]), len(before[1])) == (60, 1)
    assert before == after == back


async def test_a_challenger_that_is_no_better_stays_a_challenger(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", parent="first")
        view = await at.takeovers.after_training(trained("new", no_better("first", "new")))

        assert not view.champion
        assert (at.files.champion_id(), await at.reigns()) == ("first", ["first"])
        assert await at.told() == []


async def test_a_training_clears_old_challengers_away_but_not_the_one_that_is_asked_for(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        for number in range(22):
            saved(at.files, f"c{number:02d}", day=number, parent="first")
        await at.takeovers.ask("c00", OLE)
        saved(at.files, "new", day=30, parent="first")
        await at.takeovers.after_training(trained("new", no_better("first", "new")))

        assert set(at.files.ids()) == {"first", "new", "c00", *(f"c{n:02d}" for n in range(2, 22))}


async def test_a_challenger_trained_on_the_same_samples_is_no_challenger(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        same = trained("first", no_better("first", "first"))
        assert await at.takeovers.after_training(same) == same
        assert await at.reigns() == ["first"]


@pytest.mark.parametrize(("days", "high", "takes_over"), [(89, 0.01, False), (91, 0.01, True), (91, -0.001, False)])
async def test_a_champion_too_old_for_a_weight_gives_way_to_a_challenger_that_is_not_worse(
    tmp_path: Path, days: int, high: float, takes_over: bool
) -> None:
    async with throne(tmp_path) as at:
        at.pass_by(days=days - 30)  # it was trained 30 days before the first candle
        saved(at.files, "new", parent="first", day=days - 30)
        view = await at.takeovers.after_training(trained("new", replace(no_better("first", "new"), high=high)))

        assert view.champion == takes_over
        assert at.files.champion_id() == ("new" if takes_over else "first")
        if takes_over:
            reason = (await at.registry.list()).find("new").reigns[0].reason
            assert reason.endswith("but first was trained more than 90 days ago")


async def test_where_the_setting_says_so_a_better_challenger_asks_instead(tmp_path: Path) -> None:
    async with throne(tmp_path, config=ASKS) as at:
        saved(at.files, "new", parent="first", challenge=better("first", "new"))
        view = await at.takeovers.after_training(trained("new", better("first", "new")))
        card = await at.approvals.view(1)

        assert not view.champion
        assert "approval 1 asks" in view.sentence
        assert at.files.champion_id() == "first"
        assert card is not None
        assert (card.kind, card.title, card.model_id) == ("promote", "May new become champion?", "new")
        assert any("squared error lower by 0.0120" in line for line in card.lines)
        assert not any("weight" in line for line in card.lines)


async def test_with_a_weight_only_an_approver_promotes_and_the_weight_goes_once(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        await at.give_weight(0.25)
        saved(at.files, "new", parent="first", challenge=better("first", "new"))
        await at.takeovers.after_training(trained("new", better("first", "new")))
        assert at.files.champion_id() == "first"
        with pytest.raises(UsageError, match="only an approver"):
            await at.approvals.answer(1, True, OLE)
        assert await at.weights() == (0.25, 0.25)
        view = await at.approvals.answer(1, True, ANN)
        await at.keeper.review()
        told = await at.told()

        assert view.state == "approved"
        assert at.files.champion_id() == "new"
        assert await at.weights() == (0, 0)
        assert [n.title for n in told if isinstance(n, Notice)] == ["The model's weight 0.25 is taken away"]
        assert await at.reigns() == ["first", "new"]
        with pytest.raises(UsageError, match="Ann approved this"):
            await at.approvals.answer(1, True, ANN)


async def test_the_news_of_a_promotion_names_the_model_in_its_first_line(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", challenge=better("first", "new"))
        await at.takeovers.ask("new", OLE)
        await at.approvals.answer(1, True, ANN)

        assert [e.summary for e in await at.told() if isinstance(e, ModelTrained)] == ["Ann made new champion"]


async def test_a_no_leaves_the_champion_and_its_weight(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        await at.give_weight(0.5)
        saved(at.files, "new", challenge=better("first", "new"))
        await at.takeovers.ask("new", OLE)
        await at.approvals.answer(1, False, ANN)

        assert at.files.champion_id() == "first"
        assert await at.weights() == (0.5, 0.5)


async def test_a_promotion_card_survives_a_restart_and_expires_unanswered(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", challenge=better("first", "new"))
        await at.takeovers.ask("new", OLE)
        asked = await at.approvals.view(1)
    async with throne(tmp_path) as at:
        assert await at.approvals.view(1) == asked
        at.pass_by(hours=73)
        await at.keeper.review()
        with pytest.raises(UsageError, match=r"expired .*; ask again with /models"):
            await at.approvals.answer(1, True, ANN)

        assert at.files.champion_id() == "first"


async def test_asking_twice_gives_the_card_that_waits_and_another_model_takes_its_place(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new")
        saved(at.files, "newer")
        first = await at.takeovers.ask("new", OLE)
        again = await at.takeovers.ask("new", ANN)
        other = await at.takeovers.ask("newer", ANN)
        ended = await at.approvals.view(first.approval_id)

        assert again.approval_id == first.approval_id != other.approval_id
        assert ended is not None
        assert ended.state == "withdrawn"


async def test_a_card_whose_champion_is_gone_or_whose_file_has_changed_grants_nothing(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new")
        await at.takeovers.ask("new", OLE)
        saved(at.files, "other")
        at.files.promote("other")
        with pytest.raises(UsageError, match="compared with first, which is no longer the champion"):
            await at.approvals.answer(1, True, ANN)
        at.files.promote("first")
        await at.takeovers.ask("new", OLE)
        (at.files.root / "new.json").write_bytes(b"hello")
        with pytest.raises(UsageError, match=r"new\.json is not the file its manifest describes"):
            await at.approvals.answer(2, True, ANN)

        assert at.files.champion_id() == "first"


async def test_what_cannot_be_asked_for_is_one_sentence(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "broken")
        (at.files.root / "broken.json").write_bytes(b"hello")
        for name, sentence in (
            ("first", "the champion already"),
            ("nobody", "there is no model nobody; /models"),
            ("broken", "broken cannot become champion: broken.json is not"),
        ):
            with pytest.raises(UsageError, match=sentence):
                await at.takeovers.ask(name, OLE)


async def test_a_card_says_when_the_two_were_never_compared(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        saved(at.files, "new", challenge=better("first", "new"))
        await at.takeovers.ask("new", OLE)
        card = await at.approvals.view(1)

        assert card is not None
        assert "It was compared with first at its training, never with second." in card.lines


async def test_after_a_promotion_that_cost_a_weight_the_bot_asks_again_where_the_gate_is_ready(tmp_path: Path) -> None:
    async with throne(tmp_path, ("m1",), settings(ml={"max_age_days": 1000})) as at:
        await live(at, 310, skilled=True)
        await at.keeper.review()
        offered = (await at.approvals.open("weight"))[0]
        await at.approvals.answer(offered.approval_id, True, ANN)
        saved(at.files, "new", parent="m1", day=300, challenge=better("m1", "new"))
        asked = await at.takeovers.ask("new", OLE)
        await at.approvals.answer(asked.approval_id, True, ANN)
        again = await at.approvals.open("weight")

        assert (offered.asked_by, offered.weight, offered.model_id) == ("Julaba", 0.25, "m1")
        assert at.files.champion_id() == "new"
        assert await at.weights() == (0, 0)
        assert [(a.model_id, a.weight, a.asked_by) for a in again] == [("new", 0.25, "Julaba")]
        await at.approvals.answer(again[0].approval_id, False, ANN)
        await at.keeper.review()
        assert await at.approvals.open("weight") == (), "a no stands until the next look or champion"


async def test_a_rollback_goes_back_one_champion_at_a_time_and_then_there_is_nothing(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second", "third")) as at:
        plan = await at.takeovers.plan_rollback(OLE)
        assert (plan.champion, plan.target.model_id, plan.weight) == ("third", "second", 0)
        assert at.files.champion_id() == "third"
        await at.takeovers.rollback("second", OLE)
        assert at.files.champion_id() == "second"
        at.pass_by(hours=1)
        await at.takeovers.rollback("first", OLE)
        assert at.files.champion_id() == "first"
        with pytest.raises(UsageError, match="nothing to go back to"):
            await at.takeovers.plan_rollback(OLE)

        assert await at.reigns() == ["first", "second", "third", "second", "first"]
        assert [e.title for e in await at.told() if isinstance(e, Notice)] == [
            "Ole went back to second",
            "Ole went back to first",
        ]


async def test_a_tap_on_an_old_rollback_button_does_nothing(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second", "third")) as at:
        await at.takeovers.rollback("second", OLE)
        with pytest.raises(UsageError, match="now goes back to first, not second"):
            await at.takeovers.rollback("second", OLE)

        assert at.files.champion_id() == "second"


async def test_with_a_weight_a_rollback_takes_an_approver_and_the_weight_with_one_alert(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        await at.give_weight(0.25)
        with pytest.raises(UsageError, match=r"a weight of 0\.25: only an approver"):
            await at.takeovers.rollback("first", OLE)
        assert at.files.champion_id() == "second"
        await at.takeovers.rollback("first", ANN)
        await at.keeper.review()
        alerts = [e for e in await at.told() if isinstance(e, Notice)]

        assert await at.weights() == (0, 0)
        assert [(e.topic, e.title) for e in alerts] == [("weight", "Ann went back to first")]
        assert alerts[0].detail.startswith("The weight 0.25 is taken away.")


async def test_a_rollback_skips_a_champion_whose_files_are_damaged(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second", "third")) as at:
        (at.files.root / "second.json").write_bytes(b"hello")
        assert (await at.takeovers.plan_rollback(OLE)).target.model_id == "first"


async def test_a_model_that_was_rolled_back_from_does_not_come_back_by_itself(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        await at.takeovers.rollback("first", OLE)
        view = await at.takeovers.after_training(trained("second", better("first", "second")))

        assert not view.champion
        assert at.files.champion_id() == "first"
        assert "asks whether it may take over" in view.sentence


async def test_a_weight_granted_while_the_challenger_was_looked_at_makes_it_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", parent="first")
        check = at.registry.check

        async def slow(model_id: str) -> None:
            await check(model_id)
            await at.give_weight(0.25)

        monkeypatch.setattr(at.registry, "check", slow)
        view = await at.takeovers.after_training(trained("new", better("first", "new")))

        assert not view.champion
        assert at.files.champion_id() == "first"
        assert await at.weights() == (0.25, 0.25)


async def test_upkeep_in_the_middle_of_a_takeover_neither_writes_it_twice_nor_alerts_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        await at.takeovers.follow()
        await at.give_weight(0.25)
        run = at.registry._run
        half_way = asyncio.Event()

        async def slow(function: Any, /, *arguments: Any) -> Any:
            found = await run(function, *arguments)
            if function == at.files.promote:
                half_way.set()
                await asyncio.sleep(0.05)
            return found

        monkeypatch.setattr(at.registry, "_run", slow)
        back = asyncio.create_task(at.takeovers.rollback("first", ANN))
        await half_way.wait()
        await asyncio.gather(at.takeovers.follow(), at.keeper.review())
        await back

        assert await at.reigns() == ["first", "second", "first"]
        assert sum(isinstance(e, Notice) for e in await at.told()) == 1
