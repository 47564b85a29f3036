"""The database that fails a second time: each attempt goes one further, and none goes round in a circle."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.errors import StoreError
from brainkernel.store import Database
from brainkernel.store.files import FILE_NAME
from support.nouns import SECOND_NS

if TYPE_CHECKING:
    from pathlib import Path


class Damage:
    """A value at which the database is found damaged, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __conform__(self, _protocol: object) -> int:
        if self.times:
            self.times -= 1
            msg = "database disk image is malformed"
            raise sqlite3.DatabaseError(msg)
        return 7


def test_damage_that_comes_back_with_the_fresh_file_means_memory(tmp_path: Path) -> None:
    """One file is moved aside, not one after the other for ever; and the work is done."""
    said: list[str] = []
    database = Database(tmp_path, SimulatedClock(), said.append)

    rows = database.rows("SELECT ?", (Damage(times=2),))

    assert rows == [(7,)]
    assert "malformed" in database.in_memory_because
    assert ["is damaged" in text for text in said] == [True, False]
    assert len(list(tmp_path.glob(f"{FILE_NAME}.corrupt-*"))) == 1
    database.close()


def test_statement_that_is_wrong_is_no_damage(tmp_path: Path) -> None:
    """A mistake of ours costs nobody their state: the file stays where it is, and is used again as soon as it is tried."""
    clock = SimulatedClock()
    database = Database(tmp_path, clock, lambda _text: None)
    database.write("INSERT INTO audit (time_ns, deed, entry) VALUES (1, 'pause', x'00')")
    database.flush()

    with pytest.raises(StoreError, match="no such table"):
        database.rows("SELECT * FROM nowhere")
    clock.advance_to(61 * SECOND_NS)
    database.flush()

    assert database.rows("SELECT deed FROM audit") == [("pause",)]
    assert (database.in_memory_because, list(tmp_path.glob("*.corrupt-*"))) == ("", [])
    database.close()


def test_file_found_damaged_when_it_is_tried_again_is_begun_anew(tmp_path: Path) -> None:
    """What was written to memory meanwhile is in the new one."""
    clock, said = SimulatedClock(), list[str]()
    database = Database(tmp_path, clock, said.append)
    with pytest.raises(StoreError):
        database.rows("SELECT * FROM nowhere")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
    (tmp_path / FILE_NAME).write_bytes(b"damage" * 1000)
    database.write("INSERT INTO audit (time_ns, deed, entry) VALUES (1, 'pause', x'00')")
    database.flush()
    clock.advance_to(61 * SECOND_NS)

    database.flush()

    assert database.in_memory_because == ""
    assert any("is damaged" in text for text in said)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        assert file.execute("SELECT deed FROM audit").fetchall() == [("pause",)]
    database.close()
