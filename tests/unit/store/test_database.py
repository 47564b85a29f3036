"""The database on bad days: nothing that a disk does stops the agent."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.errors import NewerStateError, StoreError
from brainkernel.model import DecisionKind, Feedback, Identity
from brainkernel.store import Database, Habit
from brainkernel.store.files import ASIDE_KEPT, FILE_NAME
from brainkernel.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate, version_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.nouns import SECOND_NS, a_verdict
from support.stores import Opened, a_decision, an_action, opened, until

TESTS = Path(__file__).parents[2]


def use_everything(opened_store: Opened, number: int) -> None:
    """Write and read in every way once."""
    store = opened_store.store
    store.decisions.save(a_decision(number, kind=DecisionKind.LIMIT))
    store.decisions.attach_action(an_action(number))
    store.decisions.attach_feedback(number, Feedback(time_ns=1, good=True))
    store.baselines.meet(Identity("/usr/bin/tool", None, "/bin/sh", None, 0), number)
    store.baselines.keep_habit(Habit(exe="/usr/bin/tool", mean_pct=1, deviation_pct=1, samples=1), number)
    store.verdicts.put(f"key{number}", a_verdict(), 60)
    store.flush()
    store.decisions.page(10)
    store.decisions.get(number)
    store.decisions.prune()
    list(store.baselines.identities())
    list(store.baselines.habits())
    store.lessons.since(0)
    store.verdicts.get("key1")
    store.flush()


def test_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """Command lines hold secrets."""
    with opened(tmp_path / "state") as opened_store:
        opened_store.store.decisions.save(a_decision())
        opened_store.store.flush()
        modes = {f.name: oct(f.stat().st_mode & 0o777) for f in (tmp_path / "state").iterdir()}

    assert oct((tmp_path / "state").stat().st_mode & 0o777) == "0o700"
    assert set(modes.values()) == {"0o600"}


def test_second_process_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Two agents never write one state."""
    with opened(tmp_path), pytest.raises(StoreError, match=r"in use by another brainkernel.*--state-dir"), opened(tmp_path):
        pass
    with opened(tmp_path) as again:
        assert again.said == []


def test_newer_schema_is_refused_and_left_untouched(tmp_path: Path) -> None:
    """A downgrade says which versions are meant and harms nothing."""
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE future (x)")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 3}")
    connection.close()

    with pytest.raises(NewerStateError, match=rf"version {SCHEMA_VERSION + 3}.*up to {SCHEMA_VERSION}") as refused, opened(tmp_path):
        pass
    assert refused.value.exit_code == 2  # the service is not started again: its unit says so

    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT count(*) FROM future").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_state_of_each_earlier_version_is_migrated_with_its_rows(tmp_path: Path, version: int) -> None:
    """An upgrade keeps what was known."""
    connection = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    migrate(connection, to=version)
    assert version_of(connection) == version
    with opened(tmp_path / "other") as other:
        other.store.decisions.save(a_decision())
        [row] = other.store.database.rows("SELECT id, time_ns, tgid, kind, category, exe, comm, decision FROM decisions")
    connection.execute("INSERT INTO decisions (id, time_ns, tgid, kind, category, exe, comm, decision) VALUES (?,?,?,?,?,?,?,?)", row)
    connection.close()

    with opened(tmp_path) as opened_store:
        record = opened_store.store.decisions.get(1)
        use_everything(opened_store, 2)

    assert opened_store.said == []
    assert record is not None
    assert record.decision == a_decision()


def test_migration_that_fails_leaves_the_version_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step happens whole or not at all."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, to=1)
    broken = (MIGRATIONS[0], ("CREATE TABLE half (x)", "NOT SQL"))
    monkeypatch.setattr("brainkernel.store.migrations.MIGRATIONS", broken)

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, to=2)

    assert version_of(connection) == 1
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize(
    "content", [b"", b"not a database at all" * 500, b"SQLite format 3\x00" + bytes(4080)], ids=["empty", "text", "torn"]
)
def test_file_that_is_no_database_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    """The agent starts, says in one sentence what it did, and keeps the damaged file for a person."""
    (tmp_path / FILE_NAME).write_bytes(content)

    with opened(tmp_path) as opened_store:
        use_everything(opened_store, 1)

    aside = list(tmp_path.glob(f"{FILE_NAME}.corrupt-*"))
    assert [f.read_bytes() for f in aside] == ([content] if content else [])
    assert len(opened_store.said) == len(aside)
    assert all("is damaged" in said and aside[0].name in said for said in opened_store.said)


def test_damaged_files_are_kept_in_a_bounded_number(tmp_path: Path) -> None:
    """A disk that damages every file does not fill up with copies."""
    for day in range(ASIDE_KEPT + 2):
        (tmp_path / FILE_NAME).write_bytes(b"damage" * 1000)
        os.utime(tmp_path / FILE_NAME, (day, day))
        with opened(tmp_path, at_ns=day * SECOND_NS):
            pass

    assert len(list(tmp_path.glob(f"{FILE_NAME}.corrupt-*"))) == ASIDE_KEPT


@given(st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=64)), min_size=1, max_size=8), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_damage_anywhere_never_stops_the_agent(
    tmp_path_factory: pytest.TempPathFactory, wounds: list[tuple[int, bytes]], while_open: bool
) -> None:
    """Random bytes at random offsets: it reads on, or moves the file aside and says so; it never raises."""
    directory = tmp_path_factory.mktemp("state")
    with opened(directory) as first:
        for number in range(1, 40):
            use_everything(first, number)
    if while_open:
        with opened(directory) as second:
            wound(directory / FILE_NAME, wounds)
            use_everything(second, 100)
    else:
        wound(directory / FILE_NAME, wounds)
    with opened(directory) as third:
        rounds = [used_and_kept(third, number) for number in range(101, 104)]

    assert True in rounds  # a wound that only shows amid a round may cost what that round wrote


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 255, 1 << 24, -1, -(1 << 31)])
def test_damaged_schema_version_is_damage_and_no_newer_agent(tmp_path: Path, version: int) -> None:
    """A flipped bit in the number does not end the agent; the file is kept aside."""
    with opened(tmp_path) as first:
        use_everything(first, 1)
    wound(tmp_path / FILE_NAME, [(60, version.to_bytes(4, signed=True))])  # where SQLite keeps it, https://sqlite.org/fileformat.html

    with opened(tmp_path) as second:
        assert used_and_kept(second, 2)

    assert len(list(tmp_path.glob(f"{FILE_NAME}.corrupt-*"))) == 1
    assert "is damaged" in second.said[0]


def used_and_kept(opened_store: Opened, number: int) -> bool:
    """Use everything; whether the decision is there afterwards."""
    use_everything(opened_store, number)
    return opened_store.store.decisions.get(number) is not None


def wound(file: Path, wounds: list[tuple[int, bytes]]) -> None:
    """Overwrite bytes in place."""
    size = file.stat().st_size
    with file.open("r+b") as opened_file:
        for offset, data in wounds:
            opened_file.seek(offset % size)
            opened_file.write(data)


def test_full_disk_is_said_once_and_the_agent_goes_on(tmp_path: Path) -> None:
    """What is decided while the disk is full is there, in memory; when there is room again it is on the disk."""
    with opened(tmp_path) as opened_store:
        opened_store.store.decisions.save(a_decision(1))
        opened_store.store.flush()
        database = opened_store.store.database
        [(pages,)] = database.rows("PRAGMA page_count")
        database._connection.execute(f"PRAGMA max_page_count = {pages}")

        for number in range(2, 60):
            use_everything(opened_store, number)

        assert "full" in database.in_memory_because
        assert [said for said in opened_store.said if "going on in memory" in said] == opened_store.said[:1]
        assert opened_store.store.decisions.get(59) is not None

        opened_store.clock.advance_to(61 * SECOND_NS)
        opened_store.store.flush()

        assert database.in_memory_because == ""
        assert "can be used again" in opened_store.said[-1]
    with opened(tmp_path) as again:
        assert [r.decision.id for r in again.store.decisions.page(100)] == list(range(59, 0, -1))
        [known] = again.store.baselines.identities()
        assert known.count == 58


def test_counts_are_right_after_a_disk_was_away(tmp_path: Path) -> None:
    """A write is replayed once: neither lost nor doubled, in whichever statement the disk failed."""
    for spare in range(4):
        directory = tmp_path / str(spare)
        identity = Identity("/usr/bin/tool", None, "", None, 0)
        with opened(directory) as opened_store:
            database = opened_store.store.database
            [(pages,)] = database.rows("PRAGMA page_count")
            database._connection.execute(f"PRAGMA max_page_count = {pages + spare}")
            for number in range(1, 50):
                opened_store.store.baselines.meet(identity, number)
                opened_store.store.decisions.save(a_decision(number))
                opened_store.store.flush()
            opened_store.clock.advance_to(61 * SECOND_NS)
            opened_store.store.flush()
        with opened(directory) as again:
            assert again.store.decisions.count() == 49
            assert [k.count for k in again.store.baselines.identities()] == [49]


def test_disk_still_full_at_the_next_try_loses_nothing(tmp_path: Path) -> None:
    """A try that fails half-way leaves all in memory, for the try after it."""
    with opened(tmp_path) as opened_store:
        database = opened_store.store.database
        [(pages,)] = database.rows("PRAGMA page_count")
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(1, 50):
            opened_store.store.decisions.save(a_decision(number))
        opened_store.store.flush()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
        try:
            opened_store.clock.advance_to(61 * SECOND_NS)
            opened_store.store.flush()
            still = database.in_memory_because
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        opened_store.clock.advance_to(122 * SECOND_NS)
        opened_store.store.flush()

        assert still
        assert database.in_memory_because == ""
        assert opened_store.store.decisions.count() == 49


def test_directory_that_cannot_be_made_means_memory(tmp_path: Path) -> None:
    """A read-only or missing /var does not stop the agent."""
    (tmp_path / "file").write_text("in the way")

    with opened(tmp_path / "file" / "state") as opened_store:
        use_everything(opened_store, 1)

        assert opened_store.store.decisions.get(1) is not None
    assert "going on in memory" in opened_store.said[0]


def test_read_only_file_means_memory(tmp_path: Path) -> None:
    """So does a file system that was remounted read-only under us."""
    with opened(tmp_path) as opened_store:
        opened_store.store.database._connection.execute("PRAGMA query_only = ON")
        use_everything(opened_store, 1)

        assert opened_store.store.database.in_memory_because
        assert opened_store.store.decisions.get(1) is not None


def test_memory_is_bounded_while_the_disk_is_away(tmp_path: Path) -> None:
    """A month without a disk costs no more memory than an hour."""
    (tmp_path / "file").write_text("in the way")
    with opened(tmp_path / "file" / "state", decisions_max=50_000) as opened_store:
        for number in range(1, 3000):
            opened_store.store.decisions.save(a_decision(number))
            opened_store.store.flush()

        assert opened_store.store.decisions.count() < 1000
        assert len(opened_store.store.database._kept) <= 2000


def test_log_is_folded_into_the_file_by_a_thread(tmp_path: Path) -> None:
    """The write-ahead log stays bounded, and the loop never waits for the disk's sync."""
    with opened(tmp_path, decisions_max=100_000) as opened_store:
        for number in range(1, 6001):
            opened_store.store.decisions.save(a_decision(number))
            if number % 50 == 0:
                opened_store.store.flush()
            if number % 1000 == 0 and (thread := opened_store.store.database._checkpoint) is not None:
                until(lambda t=thread: not t.is_alive())

        log_bytes = (tmp_path / f"{FILE_NAME}-wal").stat().st_size
        file_bytes = (tmp_path / FILE_NAME).stat().st_size

    assert log_bytes < 8 << 20 < 2 * file_bytes


_VICTIM = """
import sys
from pathlib import Path
from support.stores import a_decision, opened
with opened(Path(sys.argv[1]), decisions_max=50_000) as o:
    number = o.store.decisions.next_id()
    while True:
        for _ in range(7):
            o.store.decisions.save(a_decision(number))
            number += 1
        o.store.flush()
        print(number - 1, flush=True)
"""


def test_kill_at_any_moment_loses_at_most_the_tick(tmp_path: Path) -> None:
    """Kill -9 amid the writes, five times: what was flushed is there, without holes, and the file is whole."""
    promised = 0
    for round_number in range(5):
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(tmp_path)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)}
        )
        assert victim.stdout is not None
        for _ in range(3 + 40 * round_number):
            promised = int(victim.stdout.readline())
        victim.kill()
        promised = max([promised, *map(int, victim.stdout.read().split())])
        victim.wait()
        victim.stdout.close()

        with opened(tmp_path, decisions_max=50_000) as opened_store:
            ids = sorted(r.decision.id for r in opened_store.store.decisions.page(100_000))

            assert opened_store.said == []
            assert ids == list(range(1, len(ids) + 1))
            assert promised <= len(ids) <= promised + 7


def test_database_raises_for_our_own_mistakes(tmp_path: Path) -> None:
    """A wrong number of parameters is a bug, not a bad disk."""
    database = Database(tmp_path, SimulatedClock(), pytest.fail)

    with pytest.raises(sqlite3.ProgrammingError):
        database.rows("SELECT ?")

    database.close()
