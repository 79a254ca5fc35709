"""``julaba worth`` as it is typed: tables, one JSON object, a picture, and a sentence where there is nothing yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.core.cli.calling import answer, called, refused
from tests.core.services.test_worth import keep
from tests.fakes.worth import opinionated
from tests.ledgers import books
from tests.lived import Row


async def _stored(folder: Path, rows: Sequence[Row]) -> None:
    async with books(folder) as kept:
        if rows:
            await keep(kept, rows)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def test_the_tables_fit_a_hundred_columns_and_say_what_helps(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", opinionated(120)))
    code, out, _ = called(capsys, "worth")

    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "120 closed signals, 39 of them trades; what follows is of the first 100, the next look at 150"
    assert next(line for line in lines if line.startswith("alignment (halves)")).endswith("helps")
    assert "Beyond chance: alignment (halves) helps" in out
    assert "no opinion 12 times: no answer within 20 s" in out
    assert "Its confidence is worse than always saying 36%, beyond chance." in out


def test_all_takes_what_has_closed_as_one_look(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", opinionated(31)))
    few = answer(capsys, "worth")
    every = answer(capsys, "worth", "--all")

    assert few["layers"]["look"] is None
    assert (every["layers"]["look"]["n"], every["layers"]["look"]["error"]) == (31, 0.05)
    assert every["gemini"]["score"]["look"]["n"] == 28


def test_before_the_first_look_only_counts_are_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", opinionated(31)))
    code, out, err = called(capsys, "worth", "--png", "w.png")

    assert code == 0
    assert "31 of 50 closed signals: nothing can be said yet." in out
    assert "total R" not in out
    assert "no picture yet" in err
    assert not (place / "w.png").exists()


def test_a_picture_is_drawn_and_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", opinionated(60)))

    assert answer(capsys, "worth", "--png", "w.png")["png"] == "w.png"
    assert (place / "w.png").read_bytes().startswith(b"\x89PNG")


def test_another_ledger_can_be_named_such_as_a_replay_s(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "replay").mkdir()
    asyncio.run(_stored(place / "replay", opinionated(60)))

    assert answer(capsys, "worth", "--ledger", "replay/julaba.sqlite")["layers"]["outcomes"] == 60


def test_another_ledger_s_days_end_when_it_ended(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", opinionated(60)))
    own = answer(capsys, "worth")["gemini"]["cost"]["days"]
    ended = answer(capsys, "worth", "--ledger", "data/julaba.sqlite")["gemini"]["cost"]["days"]

    assert ended < own


def test_an_empty_ledger_is_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_stored(place / "data", []))
    code, out, _ = called(capsys, "worth")

    assert code == 0
    assert out.startswith("No signal has closed yet: ")


def test_no_ledger_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 1, "there is no ledger data/julaba.sqlite", "worth")
    refused(capsys, 1, "there is no ledger none", "worth", "--ledger", "none")
