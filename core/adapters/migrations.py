"""The database's history: a list of functions whose names are their ids. One that has shipped is never edited."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

_LEDGER = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cash REAL NOT NULL, day INTEGER NOT NULL, day_start_equity REAL NOT NULL, peak_equity REAL NOT NULL,
    paused_day INTEGER NOT NULL, drawdown_warned INTEGER NOT NULL, drawdown_paused INTEGER NOT NULL
) STRICT;
CREATE TABLE equity (time INTEGER PRIMARY KEY, cash REAL NOT NULL, equity REAL NOT NULL) STRICT;
CREATE TABLE cursors (
    step TEXT NOT NULL, pair TEXT NOT NULL, open_time INTEGER NOT NULL, PRIMARY KEY (step, pair)
) STRICT;
CREATE TABLE decisions (
    decision_id INTEGER PRIMARY KEY, pair TEXT NOT NULL, timeframe TEXT NOT NULL, open_time INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('LONG', 'SHORT')),
    is_signal INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, snapshot TEXT NOT NULL,
    decided_at INTEGER NOT NULL, quantity REAL NOT NULL, risk_amount REAL NOT NULL,
    gemini_approve INTEGER, gemini_confidence REAL, gemini_reasoning TEXT NOT NULL, gemini_source TEXT NOT NULL,
    ml_probability REAL, ml_average REAL, model_id TEXT, influence_weight REAL NOT NULL, combined_confidence REAL,
    btc_correlation REAL, timeframe_alignment REAL,
    UNIQUE (pair, timeframe, open_time)
) STRICT;
CREATE INDEX decisions_by_time ON decisions (open_time);
CREATE INDEX decisions_signals ON decisions (pair, open_time) WHERE is_signal;
CREATE TABLE verdicts (
    decision_id INTEGER NOT NULL REFERENCES decisions, seq INTEGER NOT NULL, layer TEXT NOT NULL, rule TEXT NOT NULL,
    ruling TEXT NOT NULL, number REAL, sentence TEXT NOT NULL, PRIMARY KEY (decision_id, seq)
) STRICT;
CREATE TABLE follows (
    follow_id INTEGER PRIMARY KEY, decision_id INTEGER NOT NULL REFERENCES decisions,
    kind TEXT NOT NULL CHECK (kind IN ('trade', 'shadow_signal', 'shadow_candidate')),
    pair TEXT NOT NULL, direction TEXT NOT NULL, entry_time INTEGER NOT NULL, last_time INTEGER NOT NULL,
    entry REAL NOT NULL, stop REAL NOT NULL, tp1 REAL NOT NULL, tp2 REAL NOT NULL, tp3 REAL NOT NULL,
    bars INTEGER NOT NULL, remaining REAL NOT NULL CHECK (remaining BETWEEN 0 AND 1),
    targets_hit INTEGER NOT NULL, realized_r REAL NOT NULL, mfe_r REAL NOT NULL, mae_r REAL NOT NULL,
    ambiguous INTEGER NOT NULL, exit_reason TEXT, exit_price REAL, exit_time INTEGER,
    quantity REAL NOT NULL, entry_fill REAL NOT NULL, risk_amount REAL NOT NULL, mark REAL NOT NULL,
    pnl REAL NOT NULL, r_net REAL
) STRICT;
CREATE INDEX follows_open ON follows (follow_id) WHERE exit_reason IS NULL;
CREATE INDEX follows_by_decision ON follows (decision_id);
CREATE TABLE legs (
    follow_id INTEGER NOT NULL REFERENCES follows, seq INTEGER NOT NULL, name TEXT NOT NULL, time INTEGER NOT NULL,
    price REAL NOT NULL, fraction REAL NOT NULL, r REAL NOT NULL, pnl REAL NOT NULL, PRIMARY KEY (follow_id, seq)
) STRICT;
CREATE TABLE outbox (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, urgent INTEGER NOT NULL,
    payload TEXT NOT NULL, created_at INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT, chat_id INTEGER, message_id INTEGER, trade_id INTEGER
) STRICT;
CREATE INDEX outbox_by_trade ON outbox (trade_id) WHERE trade_id IS NOT NULL;
CREATE INDEX outbox_pending ON outbox (urgent DESC, item_id) WHERE state = 'pending';
CREATE TABLE messages (subject TEXT PRIMARY KEY, chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL) STRICT;
CREATE INDEX messages_by_place ON messages (chat_id, message_id);
CREATE TABLE controls (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE switches (pair TEXT PRIMARY KEY, enabled INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE approvals (
    approval_id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, state TEXT NOT NULL, title TEXT NOT NULL,
    lines TEXT NOT NULL, evidence_hash TEXT NOT NULL, weight REAL, line TEXT, model_id TEXT, asked_by TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, answered_by TEXT, answered_at INTEGER,
    answer_note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE looks (
    line TEXT NOT NULL, look INTEGER NOT NULL, n INTEGER NOT NULL, looked_at INTEGER NOT NULL, alpha REAL NOT NULL,
    state TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (line, look)
) STRICT;
CREATE TABLE updates (update_id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE audit (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, user_id INTEGER NOT NULL,
    user_name TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
"""


def ledger_first_form(db: sqlite3.Connection) -> None:
    _run(db, _LEDGER)


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)


_LEARNING = """
ALTER TABLE decisions ADD COLUMN gemini_prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN gemini_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN ml_rank REAL;
ALTER TABLE decisions ADD COLUMN ml_size_rank REAL;
ALTER TABLE decisions ADD COLUMN features TEXT NOT NULL DEFAULT '{}';
ALTER TABLE decisions ADD COLUMN reasons TEXT NOT NULL DEFAULT '[]';
ALTER TABLE decisions ADD COLUMN neighbours TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN body TEXT NOT NULL DEFAULT '';
CREATE TABLE champions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL, model_id TEXT NOT NULL, since INTEGER NOT NULL,
    chosen_by TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
"""


def what_models_saw(db: sqlite3.Connection) -> None:
    """Features, reasons and neighbours beside each decision, what Gemini cost, and the line of champions."""
    _run(db, _LEARNING)


_SAFETY = """
ALTER TABLE account ADD COLUMN loss_streak INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN cooldown_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE follows ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX follows_outcomes ON follows (decision_id)
    WHERE exit_reason IS NOT NULL AND kind IN ('trade', 'shadow_signal');
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE opinions (
    pair TEXT NOT NULL, open_time INTEGER NOT NULL, asked_at INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (pair, open_time)
) STRICT;
"""


def what_a_restart_must_know(db: sqlite3.Connection) -> None:
    """The run of losses, holes in a trade's candles, Gemini's words before their decision, small facts by name."""
    _run(db, _SAFETY)


_INTAKE = """
ALTER TABLE updates ADD COLUMN body TEXT;
ALTER TABLE updates ADD COLUMN given_out INTEGER NOT NULL DEFAULT 0;
CREATE INDEX updates_kept ON updates (update_id) WHERE body IS NOT NULL;
"""


def what_was_said_and_not_done(db: sqlite3.Connection) -> None:
    """What a person said or pressed is kept (``body``) until it is dealt with."""
    _run(db, _INTAKE)


_QUICK = """
DROP INDEX follows_outcomes;
CREATE INDEX follows_outcomes ON follows (decision_id, kind, exit_reason)
    WHERE exit_reason IS NOT NULL AND kind IN ('trade', 'shadow_signal');
CREATE INDEX follows_trades ON follows (exit_time, follow_id, pnl, kind, exit_reason)
    WHERE exit_reason IS NOT NULL AND kind = 'trade';
DROP INDEX decisions_signals;
CREATE INDEX decisions_signals ON decisions (pair, open_time, is_signal, status) WHERE is_signal;
CREATE INDEX decisions_in_short ON decisions (decision_id, status, pair);
CREATE INDEX decisions_crossovers ON decisions (model_id, open_time)
    WHERE NOT is_signal AND ml_probability IS NOT NULL AND features <> '{}';
CREATE INDEX verdicts_variants ON verdicts (decision_id, rule, sentence) WHERE layer = 'variant' AND number = 1;
"""


def what_is_asked_often(db: sqlite3.Connection) -> None:
    """What upkeep and the chat count is read from indexes alone: a decision's row is a page of its own.

    A column that an index is limited by stands in it too; SQLite would else look it up in the row.
    """
    _run(db, _QUICK)


_PEOPLE = """
CREATE TABLE deeds (
    deed_id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, user_id INTEGER NOT NULL,
    user_name TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    undone_by INTEGER REFERENCES deeds (deed_id)
) STRICT;
CREATE TABLE people (user_id INTEGER PRIMARY KEY, wishes TEXT NOT NULL) STRICT;
"""


def what_people_do_and_wish(db: sqlite3.Connection) -> None:
    """What a person has changed, so that it can be taken back (``deeds``), and how each wants to be talked to."""
    _run(db, _PEOPLE)


def what_a_card_shows(db: sqlite3.Connection) -> None:
    """A question's picture, frozen with its evidence."""
    _run(db, "ALTER TABLE approvals ADD COLUMN picture BLOB;\n")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    ledger_first_form,
    what_models_saw,
    what_a_restart_must_know,
    what_was_said_and_not_done,
    what_is_asked_often,
    what_people_do_and_wish,
    what_a_card_shows,
)
"""Applied in order; ``PRAGMA user_version`` holds how many have been."""


def migrate(db: sqlite3.Connection) -> int:
    """Brings the database to this version, each step in a transaction of its own; gives how many ran.

    Raises ValueError when the database is newer than this program, or holds somebody else's tables.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise ValueError("it holds tables that are not Julaba's")
    if version > len(MIGRATIONS):
        raise ValueError(f"the database has version {version}, this program knows {len(MIGRATIONS)}")
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] < number:  # else another process was quicker
                step(db)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    return len(MIGRATIONS) - version
