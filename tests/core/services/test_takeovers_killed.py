"""Takeovers that a kill cuts off, and champions that are made while the bot is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.domain.messages import ApprovalAsked, ApprovalEnded, ModelTrained, Notice
from core.errors import ModelError
from core.ml.challenge import Comparison
from core.services.takeovers import Takeovers
from tests.thrones import ANN, OLE, VAL, better, saved, throne, trained


class PowerCutError(Exception):
    pass


def cut(*_: Any, **__: Any) -> Any:
    raise PowerCutError


@pytest.mark.parametrize("moment", ["before the files", "between the two files", "before the book"])
async def test_a_promotion_that_was_granted_is_finished_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    async with throne(tmp_path) as at:
        await at.give_weight(0.25)
        saved(at.files, "new", parent="first", challenge=better("first", "new"))
        await at.takeovers.ask("new", OLE)
        with monkeypatch.context() as patched:
            if moment == "before the files":
                patched.setattr(Takeovers, "_crown", cut)
            elif moment == "between the two files":
                write = type(at.files)._write
                patched.setattr(
                    type(at.files), "_write", lambda s, p, c: cut() if p.name == "champion.json" else write(s, p, c)
                )
            else:
                patched.setattr(type(at.registry), "note", cut)
            with pytest.raises(PowerCutError):
                await at.approvals.answer(1, True, ANN)
        assert (await at.kept.ledger.controls()).approved_weight == 0, "no weight for a model nobody granted it to"

    async with throne(tmp_path) as at:
        assert at.files.champion() is not None, "the old one or the new one, and whole"
        await at.takeovers.start()
        await at.takeovers.start()
        await at.keeper.review()

        assert at.files.champion_id() == "new"
        assert await at.reigns() == ["first", "new"]
        assert sum(isinstance(e, Notice) for e in await at.told()) == 1
        assert [type(e) for e in await at.told()].count(ModelTrained) == 1


async def test_a_rollback_killed_before_the_book_is_in_the_book_at_the_start_and_the_weight_goes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        await at.give_weight(0.25)
        monkeypatch.setattr(type(at.registry), "note", cut)
        with pytest.raises(PowerCutError):
            await at.takeovers.rollback("first", ANN)
        monkeypatch.undo()
    async with throne(tmp_path, ("first", "second")) as at:
        await at.takeovers.start()
        await at.keeper.review()
        await at.keeper.review()

        assert await at.reigns() == ["first", "second", "first"]
        assert await at.weights() == (0, 0)
        titles = [e.title for e in await at.told() if isinstance(e, Notice)]
        assert titles == ["Ann went back to first", "The model's weight 0.25 is taken away"]


async def test_the_first_champion_is_told_of_and_named_rightly_though_a_kill_came_before_the_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained("new", Comparison(None, "new", 0, True, "it is the first model and becomes champion"))
    again = trained("new", Comparison("new", "new", 0, False, "the champion again"))
    for moment in ("promote", "note"):
        folder = tmp_path / moment
        async with throne(folder, ()) as at:
            model_id = saved(at.files, "new")
            with monkeypatch.context() as patched:
                patched.setattr(type(at.files if moment == "promote" else at.registry), moment, cut)
                with pytest.raises(PowerCutError):
                    await at.takeovers.after_training(first)
        async with throne(folder, ()) as at:
            await at.takeovers.start()
            # The training is taken up, and comes to the same model.
            await at.takeovers.after_training(again if at.files.champion_id() else first)
            listed = await at.registry.list()

            assert listed.champion == model_id
            assert [r.reason for r in listed.models[0].reigns][-1] == "it is the first model and becomes champion"
            assert [type(e) for e in await at.told()].count(ModelTrained) == 1


async def test_a_champion_made_by_the_command_line_is_noticed_and_takes_the_weight(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        await at.give_weight(0.25)
        saved(at.files, "by-hand", parent="first")
        at.files.promote("by-hand")
        for _ in range(2):
            await at.takeovers.follow()
            await at.keeper.review()

        assert await at.reigns() == ["first", "by-hand"]
        assert [e.model_id for e in await at.told() if isinstance(e, ModelTrained)] == ["by-hand"]
        assert await at.weights() == (0, 0)


async def test_a_model_that_cannot_be_loaded_never_becomes_champion(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new", parent="first")
        (at.files.root / "new.json").write_bytes(b"hello")
        with pytest.raises(ModelError, match="not the file its manifest describes"):
            await at.takeovers.after_training(trained("new", better("first", "new")))

        assert (at.files.champion_id(), await at.reigns()) == ("first", ["first"])


async def test_the_card_of_a_promotion_names_the_hash(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "new")
        await at.takeovers.ask("new", VAL)
        stored = (await at.approvals.open("promote"))[0]

        assert json.loads(stored.body) == {
            "model_id": "new",
            "sha256": at.files.manifest("new").model_sha256,
            "champion": "first",
        }
        assert [type(e) for e in await at.told()] == [ApprovalAsked]
        await at.approvals.answer(1, False, ANN)
        assert ApprovalEnded in [type(e) for e in await at.told()]
