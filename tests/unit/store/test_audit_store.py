"""The audit log is only ever added to."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import AuditEntry
from support.stores import NOON_NS, opened

if TYPE_CHECKING:
    from pathlib import Path


def test_audit_outlives_a_restart_in_order(tmp_path: Path) -> None:
    """Newest first for people, oldest first for what is to be taken up again."""
    with opened(tmp_path) as host:
        for deed in ("approve", "pause", "deny_always"):
            host.store.audit.add(AuditEntry(time_ns=NOON_NS, deed=deed, uid=0, pid=7, exe="/opt/a"))

    with opened(tmp_path) as host:
        assert [entry.deed for entry in host.store.audit.page(2)] == ["deny_always", "pause"]
        assert [entry.deed for entry in host.store.audit.of(["deny_always", "approve"])] == ["approve", "deny_always"]


@pytest.mark.parametrize("sql", ["UPDATE audit SET deed = 'deny'", "DELETE FROM audit"])
def test_audit_cannot_be_changed_with_another_program(tmp_path: Path, sql: str) -> None:
    """The database itself refuses."""
    with opened(tmp_path) as host:
        host.store.audit.add(AuditEntry(time_ns=NOON_NS, deed="approve"))

    with sqlite3.connect(tmp_path / "state.db") as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
