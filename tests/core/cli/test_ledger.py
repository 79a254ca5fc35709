"""``julaba export``: the ledger as CSV, in the promised columns."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.cli import main
from core.services.exports import AUDIT_COLUMNS, DECISION_COLUMNS, KINDS, TRADE_COLUMNS
from core.services.records import LEDGER_COLUMNS
from tests.ledgers import Stage, books, market, settings

FIRST, LAST = 400, 800


async def lived(folder: Path, last: int) -> tuple[int, int, int]:
    """A ledger after some candles; how many trades, shadows and decisions it holds."""
    async with books(folder) as kept:
        stage = await Stage.begin(kept, FIRST, settings())
        for candles in market(LAST).values():
            stage.loop.warm(candles.rows(0, FIRST))
        await stage.play(market(LAST), FIRST, last)
        rows = await kept.ledger.trade_rows()
        trades = sum(r.follow.kind == "trade" for r in rows)
        return trades, len(rows) - trades, len(await kept.ledger.decisions())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(path: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    with path.open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return tuple(reader.fieldnames or ()), rows


def test_the_bot_s_own_ledger_is_exported_beside_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trades, shadows, decisions = asyncio.run(lived(place / "data", LAST))
    counted = {}
    for what in ("trades", "shadows", "decisions"):
        assert main(["export", what, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["out"] == f"data/export/{what}.csv"
        counted[what] = found["rows"]

    assert counted == {"trades": trades, "shadows": shadows, "decisions": decisions}
    assert min(counted.values()) > 0


def test_trades_have_the_trade_record_s_columns_and_open_ones_no_exit(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(lived(place / "data", LAST))
    main(["export", "trades", "--out", "t.csv"])

    columns, rows = table(place / "t.csv")
    assert columns == TRADE_COLUMNS
    assert [int(row["trade_id"]) for row in rows] == sorted(int(row["trade_id"]) for row in rows)
    for row in rows:
        assert row["pair"] in ("LINK/USDT", "ETH/USDT", "SOL/USDT")
        assert (row["exit_reason"] == "") == (row["outcome"] == "") == (row["pnl_r_multiple"] == "")
    assert "trades written to t.csv" in capsys.readouterr().out


def test_each_decision_shows_every_verdict_with_its_sentence(place: Path) -> None:
    asyncio.run(lived(place / "data", LAST))
    main(["export", "decisions", "--out", "d.csv"])

    columns, rows = table(place / "d.csv")
    assert columns[: len(DECISION_COLUMNS)] == DECISION_COLUMNS
    assert {"signal.adx", "rules.alignment", "rules.btc", "gemini.gemini", "portfolio.leverage"} <= set(columns)
    taken = [row for row in rows if row["status"] == "taken"]
    assert taken
    assert all(row["portfolio.pause"] == "pass: not paused" for row in taken)
    assert all(row["gemini.gemini"] == "absent: no Gemini key: the rules decide" for row in taken)


def test_signals_are_the_decisions_that_were_one(place: Path) -> None:
    asyncio.run(lived(place / "data", LAST))
    main(["export", "decisions", "--out", "d.csv"])
    main(["export", "signals", "--out", "s.csv"])
    wanted = [row for row in table(place / "d.csv")[1] if row["is_signal"] == "True"]
    found = table(place / "s.csv")[1]

    assert wanted
    assert [(row["decision_id"], row["signal.adx"]) for row in found] == [
        (row["decision_id"], row["signal.adx"]) for row in wanted
    ]


async def audited(folder: Path, change: str = "") -> None:
    async with books(folder) as kept:
        for n in range(4):
            await kept.chat.audit(n, 1001, "Ann", "command", f"/status {n}")
        if change:
            await kept.db.write(change)


def test_the_audit_log_says_who_did_what_and_that_its_chain_holds(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(audited(place / "data"))
    assert main(["export", "audit"]) == 0
    assert "4 audit entries written to data/export/audit.csv; the audit log's chain holds" in capsys.readouterr().out
    columns, rows = table(place / "data/export/audit.csv")

    assert columns == AUDIT_COLUMNS
    assert [(row["user_name"], row["detail"]) for row in rows] == [("Ann", f"/status {n}") for n in range(4)]
    assert [row["previous"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]


@pytest.mark.parametrize(
    ("change", "entry"),
    [("UPDATE audit SET detail = '/panic' WHERE entry_id = 3", 3), ("DELETE FROM audit WHERE entry_id = 2", 3)],
)
def test_a_changed_or_missing_entry_is_named_with_exit_one(
    place: Path, capsys: pytest.CaptureFixture[str], change: str, entry: int
) -> None:
    asyncio.run(audited(place / "data", change))
    for what in ("audit", "all"):
        assert main(["export", what]) == 1
        assert f"chain is broken: entry {entry} was changed" in capsys.readouterr().out
    assert main(["export", "audit", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["broken_at"] == entry


def test_all_is_every_export_and_every_table_as_it_is_stored(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trades, shadows, decisions = asyncio.run(lived(place / "data", LAST))
    assert main(["export", "all", "--out", "out", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["rows"]
    with closing(sqlite3.connect(place / "data/julaba.sqlite")) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        legs = db.execute("SELECT follow_id, seq, name, price FROM legs ORDER BY follow_id, seq").fetchall()

    assert {path.stem for path in (place / "out/tables").iterdir()} == tables - {"sqlite_sequence"}
    assert {path.name for path in (place / "out").glob("*.csv")} == {f"{what}.csv" for what in KINDS}
    assert (counts["trades"], counts["shadows"], counts["decisions"]) == (trades, shadows, decisions)
    assert counts["tables/follows"] == trades + shadows
    stored = table(place / "out/tables/legs.csv")[1]
    assert sorted((int(r["follow_id"]), int(r["seq"]), r["name"], float(r["price"])) for r in stored) == legs


@pytest.mark.parametrize(
    ("what", "columns"),
    [
        ("trades", TRADE_COLUMNS),
        ("shadows", LEDGER_COLUMNS),
        ("decisions", DECISION_COLUMNS),
        ("signals", DECISION_COLUMNS),
        ("audit", AUDIT_COLUMNS),
    ],
)
def test_an_empty_ledger_gives_the_header_alone(place: Path, what: str, columns: tuple[str, ...]) -> None:
    asyncio.run(lived(place / "data", FIRST))
    assert main(["export", what, "--out", "e.csv"]) == 0
    assert (place / "e.csv").read_text() == ",".join(columns) + "\n"


def test_what_cannot_be_exported_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "text.csv").write_text("a,b\n" * 2000)
    for arguments, code, words in (
        (["export", "trades"], 1, "there is no ledger data/julaba.sqlite"),
        (["export", "trades", "--ledger", "none"], 1, "there is no ledger none"),
        (["export", "trades", "--ledger", "text.csv"], 1, "cannot be used: file is not a database"),
        (["export", "trades", "--ledger", "."], 1, "cannot be used"),
        (["export", "everything"], 2, "invalid choice"),
    ):
        assert main(arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert words in err
        assert err.count("\n") == 1
    assert not (place / "data/export").exists()
