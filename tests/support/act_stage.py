"""Everything that limits one hog, over a fake host: for the tests of `act`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from brainkernel.act.enforcer import Enforcer, Permissions
from brainkernel.act.ledger import Ledger
from brainkernel.clock import SimulatedClock
from brainkernel.model import Action, Decision, DecisionKind, Limit, ProcessKey, Refusal, ReleaseResult
from support.fake_host import BOOT_ID, FakeHost
from support.fake_systemd import FakeManagers, FakeSystemd, patience_of
from support.nouns import a_suspect, a_verdict

if TYPE_CHECKING:
    from pathlib import Path

QUOTA = Limit(cpu_quota_pct=20)
WEIGHT = Limit(cpu_weight=20)
A_MINUTE_NS = 60_000_000_000


class Stage:
    """A host with one hog in a service of its own, and what limits it. A context manager."""

    def __init__(self, directory: Path) -> None:
        self.state_dir = directory / "state"
        self.fake = FakeHost(directory)
        self.systemd = FakeSystemd(self.fake)
        self.managers = FakeManagers(self.systemd)
        self.unit = self.systemd.add("hog.service")
        self.hog = self.fake.spawn(500, "/system.slice/hog.service")
        self.protected: set[str] = set()
        self.containers_allowed = False
        self.presents: dict[int, str] = {}  # what a person sees or hears of whom
        self.patience = patience_of(self.systemd)
        self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
        self.fake.close()

    def open(self) -> None:
        self.ledger = Ledger(self.state_dir, BOOT_ID)
        self.enforcer = Enforcer(
            host=self.fake.host,
            managers=self.managers,
            ledger=self.ledger,
            permissions=Permissions(
                lambda exe, unit: "a test says so" if {exe, unit} & self.protected else "",
                lambda: self.containers_allowed,
                lambda tgid: self.presents.get(tgid, ""),
            ),
            clock=SimulatedClock(1000),
            patience=self.patience,
        )

    def apply(self, limit: Limit = QUOTA, key: ProcessKey | None = None, decision_id: int = 1) -> Action | Refusal:
        return self.enforcer.apply(a_decision(key or self.hog, limit, decision_id))

    def release(self, action_id: int = 1) -> ReleaseResult:
        return self.enforcer.undo.release(action_id)

    def step(self, limit: Limit) -> Action | Refusal:
        return self.enforcer.step(1, limit)

    def login(self, session: int = 3) -> ProcessKey:
        """A session of sshd, a shell at a terminal, a hog with a child, and an innocent sibling."""
        scope = f"session-{session}.scope"
        path = f"/user-1000.slice/{scope}"
        self.systemd.add(scope, "user-1000.slice", transient=True)
        self.fake.spawn(900, path, exe="/usr/sbin/sshd", session=900)
        self.fake.spawn(901, path, exe="/usr/bin/bash", ppid=900, session=901, tty=34816)
        hog = self.fake.spawn(910, path, exe="/usr/bin/miner", ppid=901, session=901, tty=34816)
        self.fake.spawn(911, path, exe="/usr/bin/miner-child", ppid=910, session=901, tty=34816)
        self.fake.spawn(920, path, exe="/usr/bin/vim", ppid=901, session=901, tty=34816)
        return hog

    def logout(self, session: int = 3) -> None:
        """End the session and what was moved out of it."""
        self.systemd.stop(f"session-{session}.scope")
        for name in [name for name in self.systemd.units if name.startswith("brainkernel-")]:
            self.systemd.stop(name)


def a_decision(key: ProcessKey, limit: Limit | None, decision_id: int = 1, **changes: Any) -> Decision:
    plain: dict[str, Any] = {
        "id": decision_id,
        "time_ns": 0,
        "suspect": a_suspect(key=key),
        "verdict": a_verdict(),
        "kind": DecisionKind.LIMIT,
        "reason": "it hurts",
        "limit": limit,
        "acts": True,
        "lease_ns": A_MINUTE_NS,
    }
    return Decision(**(plain | changes))
