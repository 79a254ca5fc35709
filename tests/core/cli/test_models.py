"""``julaba models``: what it lists, and a rollback that only runs where no bot does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from core.adapters.instance_lock import instance_lock
from core.adapters.model_files import ModelFiles
from tests.core.cli.calling import answer, called, refused
from tests.thrones import Throne, saved, throne


def lived(path: Path, *champions: str, then: Callable[[Throne], Awaitable[None]] | None = None) -> None:
    """A data directory in which these champions have followed one another."""

    async def live() -> None:
        async with throne(path, champions) as at:
            if then is not None:
                await then(at)

    asyncio.run(live())


def test_without_a_model_the_list_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "models", "--data-dir", str(tmp_path)) == {"champion": None, "before": None, "models": []}
    assert "julaba pipeline" in called(capsys, "models", "--data-dir", str(tmp_path))[1]
    assert list(tmp_path.iterdir()) == []


def test_models_are_listed_and_one_is_shown_with_its_lineage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(tmp_path, "first", "second")
    found = answer(capsys, "models", "--data-dir", str(tmp_path))
    shown = called(capsys, "models", "show", "second", "--data-dir", str(tmp_path))[1]

    assert (found["champion"], found["before"]) == ("second", "first")
    assert [(m["model_id"], m["state"]) for m in found["models"]] == [
        ("second", "champion"),
        ("first", "former champion"),
    ]
    assert "lineage: first -> second" in shown
    assert "to now, by Julaba: it was better" in shown
    assert "a rollback goes back to first" in called(capsys, "models", "--data-dir", str(tmp_path))[1]


@pytest.mark.parametrize("pointer", ["{", '{"model_id": "../../secret"}', '{"model_id": "gone"}'])
def test_where_nobody_can_be_champion_the_list_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pointer: str
) -> None:
    lived(tmp_path, "first")
    assert "there is no champion" not in called(capsys, "models", "--data-dir", str(tmp_path))[1]
    (tmp_path / "models" / "champion.json").write_text(pointer)

    said = called(capsys, "models", "--data-dir", str(tmp_path))[1]

    assert "there is no champion: models/champion.json is missing or damaged" in said
    assert "`julaba train`" in said


def test_a_rollback_says_what_it_would_do_and_with_yes_does_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(tmp_path, "first", "second", then=lambda at: at.give_weight(0.25))
    files = ModelFiles(tmp_path / "models")
    told = called(capsys, "models", "rollback", "--data-dir", str(tmp_path))[1]
    assert (
        told == "a rollback would go back to first, in the place of second; the weight 0.25 would end; --yes does it\n"
    )
    assert files.champion_id() == "second"
    done = answer(capsys, "models", "rollback", "--yes", "--data-dir", str(tmp_path))
    assert done == {"done": True, "champion": "first", "before": "first", "weight": 0.25}
    assert files.champion_id() == "first"
    refused(capsys, 2, "nothing to go back to", "models", "rollback", "--yes", "--data-dir", str(tmp_path))

    async def look(at: Throne) -> None:
        assert await at.weights() == (0, 0)
        assert await at.reigns() == ["first", "second", "first"]
        assert [r["action"] for r in await at.kept.chat.audit_rows()] == ["rollback"]
        assert len(await at.told()) == 1

    lived(tmp_path, then=look)


def test_while_a_bot_runs_a_rollback_is_refused_and_pointed_to_the_chat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(tmp_path, "first", "second")
    with instance_lock(tmp_path):
        refused(capsys, 1, "or say /rollback in the chat", "models", "rollback", "--yes", "--data-dir", str(tmp_path))
        assert answer(capsys, "models", "--data-dir", str(tmp_path))["champion"] == "second"


def test_where_no_bot_has_run_a_rollback_follows_the_parents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ModelFiles(tmp_path / "models")
    saved(files, "first")
    files.promote(saved(files, "second", parent="first", day=1))
    answer(capsys, "models", "rollback", "--yes", "--data-dir", str(tmp_path))

    assert files.champion_id() == "first"
    refused(capsys, 2, "nothing to go back to", "models", "rollback", "--data-dir", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show",), "which model?"),
        (("show", "nothing"), "there is no model nothing; `julaba models` lists them"),
        (("list", "first"), "takes no ID"),
        (("rollback", "first"), "takes no ID"),
        (("list", "--yes"), "--yes belongs to julaba models rollback"),
    ],
)
def test_wrong_use_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    refused(capsys, 2, sentence, "models", *arguments, "--data-dir", str(tmp_path))
