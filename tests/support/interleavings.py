"""What the state machines over the stage of `act` have in common: releases, and crashes after which the ledger alone is left."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from brainkernel.act.limiter import release_everything
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from support.act_stage import Stage


class Interrupted(RuleBasedStateMachine):
    """A host in a directory of its own, with limits that may end at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="act-"))
        self.stage = Stage(self.directory)
        self.next_id = 1

    @precondition(lambda self: self.stage.ledger.live)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.stage.release(data.draw(st.sampled_from(sorted(self.stage.ledger.live))))

    @rule()
    def crash_and_release_from_the_ledger(self) -> None:
        self.recover()

    @rule()
    def crash_and_restart(self) -> None:
        self.stage.ledger.close()
        self.stage.open()

    def recover(self) -> None:
        self.stage.ledger.close()
        release_everything(self.directory / "state", self.stage.fake.host, managers=self.stage.managers, patience=self.stage.patience)
        self.stage.open()

    def teardown(self) -> None:
        self.stage.__exit__()
        shutil.rmtree(self.directory)
