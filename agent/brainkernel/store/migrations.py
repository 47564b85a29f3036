"""The schema, as numbered steps. A step that was released is never edited: the next one changes what it made.

STRICT tables refuse a value of the wrong type, so a bug of ours shows where it is made. Columns exist for what
is searched or sorted by; the rest of a decision is one JSON value, which older and newer fields pass unharmed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.errors import NewerStateError

if TYPE_CHECKING:
    import sqlite3

_DECISIONS = (
    """
    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        time_ns INTEGER NOT NULL,
        tgid INTEGER NOT NULL,
        kind TEXT NOT NULL,
        category TEXT NOT NULL,
        exe TEXT NOT NULL,
        comm TEXT NOT NULL,
        decision BLOB NOT NULL,
        action BLOB,
        refusals BLOB,
        outcome BLOB,
        released_ns INTEGER,
        release TEXT
    ) STRICT
    """,
    # Few rows have an action: the list of limits that stand is then read without touching the others.
    "CREATE INDEX decisions_limited ON decisions (id) WHERE action IS NOT NULL",
    # A search for a program then reads a tenth of the bytes: the daemon's loop waits for it.
    "CREATE INDEX decisions_searched ON decisions (exe, comm, tgid)",
    """
    CREATE TABLE feedback (
        id INTEGER PRIMARY KEY,
        decision_id INTEGER NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
        feedback BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX feedback_of ON feedback (decision_id)",
)

# ANY keeps a path that is not UTF-8 as bytes beside those that are text.
_BASELINES = (
    """
    CREATE TABLE identities (
        digest INTEGER PRIMARY KEY,
        exe ANY NOT NULL,
        dev INTEGER, ino INTEGER, ctime_ns INTEGER,
        parent_exe ANY NOT NULL,
        parent_dev INTEGER, parent_ino INTEGER, parent_ctime_ns INTEGER,
        uid INTEGER NOT NULL,
        always INTEGER NOT NULL,
        count INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX identities_by_age ON identities (last_ns)",
    "CREATE INDEX identities_by_file ON identities (ino, dev, ctime_ns)",
    "CREATE TABLE shapes (digest INTEGER PRIMARY KEY, last_ns INTEGER NOT NULL) STRICT",
    "CREATE INDEX shapes_by_age ON shapes (last_ns)",
    """
    CREATE TABLE habits (
        exe ANY PRIMARY KEY NOT NULL,
        mean_pct REAL NOT NULL,
        deviation_pct REAL NOT NULL,
        samples INTEGER NOT NULL,
        last_ns INTEGER NOT NULL
    ) STRICT
    """,
)

_VERDICTS = (
    """
    CREATE TABLE verdicts (
        key ANY PRIMARY KEY NOT NULL,
        verdict BLOB NOT NULL,
        expires_ns INTEGER NOT NULL,
        dev INTEGER, ino INTEGER, ctime_ns INTEGER,
        hits INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX verdicts_by_expiry ON verdicts (expires_ns)",
    "CREATE INDEX verdicts_by_file ON verdicts (ino, dev, ctime_ns)",
)

_LESSONS = (
    "CREATE TABLE lessons (id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, exe ANY NOT NULL, lesson BLOB NOT NULL) STRICT",
    "CREATE INDEX lessons_by_time ON lessons (time_ns)",
)

_JUDGEMENTS = (
    "CREATE TABLE judgements (id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, judgement BLOB NOT NULL) STRICT",
    # Who did what: only ever added to, also by whoever opens the file with another program.
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, deed TEXT NOT NULL, entry BLOB NOT NULL) STRICT",
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END",
)

_EXAMS = (
    """
    CREATE TABLE exams (
        backend TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt_version TEXT NOT NULL,
        time_ns INTEGER NOT NULL,
        result BLOB NOT NULL,
        PRIMARY KEY (backend, model, prompt_version)
    ) STRICT
    """,
)

# What models learn from. One word of a source on one occasion, however often it is said.
_WORDS = (
    """
    CREATE TABLE words (
        id INTEGER PRIMARY KEY,
        task TEXT NOT NULL,
        source TEXT NOT NULL,
        occasion INTEGER NOT NULL,
        subject INTEGER NOT NULL,
        label INTEGER NOT NULL,
        weight REAL NOT NULL,
        protected INTEGER NOT NULL,
        traits BLOB NOT NULL,
        UNIQUE (task, source, occasion)
    ) STRICT
    """,
    "CREATE INDEX words_by_subject ON words (task, source, subject, id)",
)

_FORESIGHT = ("CREATE TABLE foresight (id INTEGER PRIMARY KEY CHECK (id = 1), habits BLOB NOT NULL) STRICT",)

# Of one source about one decision only the newest word counts: only that is kept, so that shouting pushes out nobody else's.
_JUDGED_ONCE = (
    """
    CREATE TABLE judged_once (
        id INTEGER PRIMARY KEY,
        time_ns INTEGER NOT NULL,
        decision_id INTEGER NOT NULL,
        source TEXT NOT NULL,
        judgement BLOB NOT NULL,
        UNIQUE (decision_id, source)
    ) STRICT
    """,
    """
    INSERT OR REPLACE INTO judged_once (id, time_ns, decision_id, source, judgement)
        SELECT id, time_ns, json_extract(text, '$.decision_id'), json_extract(text, '$.source'), judgement
        FROM (SELECT *, CAST(judgement AS TEXT) AS text FROM judgements) WHERE json_valid(text) ORDER BY id
    """,
    "DROP TABLE judgements",
    "ALTER TABLE judged_once RENAME TO judgements",
)

# Step n brings version n - 1 to version n.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _DECISIONS,
    _BASELINES + _VERDICTS + _LESSONS,
    _JUDGEMENTS,
    _EXAMS,
    _WORDS,
    _FORESIGHT,
    _JUDGED_ONCE,
)
SCHEMA_VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """Read the schema version of an open database; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, to: int = SCHEMA_VERSION) -> int:
    """Bring the schema to version `to`, each step in a transaction of its own; returns the version it had.

    Raises NewerStateError for a database of a newer version, which is left untouched.
    """
    had = version_of(connection)
    if had > SCHEMA_VERSION:
        msg = (
            f"the state database has schema version {had}, this brainkernel knows versions up to {SCHEMA_VERSION}: "
            "install the newer brainkernel again, or move the file away to start with an empty one"
        )
        raise NewerStateError(msg)
    for version in range(had + 1, to + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[version - 1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return had
