"""The parts that say what a program is: rules, cache, local model, and the way to the LLM."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel.asking import Asking
from brainkernel.classify.precedents import Precedents
from brainkernel.classify.tiers import CacheTier
from brainkernel.enrich.procfs import ProcFs
from brainkernel.foreseeing import Foreseeing
from brainkernel.link.asker import Asker
from brainkernel.link.messages import GATEWAY_SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.composition.ground import Ground
    from brainkernel.config import Config
    from brainkernel.effective import Arms
    from brainkernel.link.frames import Peer
    from brainkernel.model import Decision, Judgement, Suspect, Verdict
    from brainkernel.store import Store

DAY_S = 86_400.0
GATEWAY_USER = "brainkernel-gateway"  # systemd's DynamicUser=, known to nss-systemd while it runs


class Tiers:
    """The tiers in their order, and `asking`, which has the last one answer later."""

    def __init__(self, ground: Ground, store: Store, arms: Arms, learn: Callable[[Suspect, Verdict], None]) -> None:
        """`learn` is given the verdicts of language models that passed their exam."""
        self._ground = ground
        self._arms = arms
        self._learn = learn
        self._proc = ProcFs(ground.paths.proc)
        self.cache = CacheTier(store.verdicts, lambda verdict: self.asking.may_act(verdict.model), self._looked_up)
        self.asker = Asker(
            ground.paths.runtime_dir / GATEWAY_SOCKET,
            allows=self._is_gateway,
            figures=ground.figures,
            snapshot=ground.figures.snapshot,
            clock=ground.clock,
        )
        self._precedents = Precedents()
        self.asking = Asking(
            asker=self.asker,
            clock=ground.clock,
            config=ground.config.llm,
            exams=store.exams,
            remember=self._remember,
            like=self._precedents.nearest,
        )
        self.foreseeing = Foreseeing(
            clock=ground.clock,
            figures=ground.figures,
            config=lambda: self.asking.config,
            verdicts=store.verdicts,
            decisions=store.decisions,
            kept=store.foresights,
            refresh=self.asking.refresh,
        )

    def in_order(self) -> tuple[tuple[str, Callable[[Suspect], Verdict | None]], ...]:
        """Give the tiers that answer at once, cheapest first."""
        return (("rules", self._judge_by_rules), ("cache", self.cache.judge), ("local_model", self._judge_by_model))

    def configure(self, config: Config) -> None:
        """Follow a configuration that was read again; rules and model come with the version."""
        self.asking.config = config.llm

    def _judge_by_rules(self, suspect: Suspect) -> Verdict | None:
        verdict = self._arms.judge_by_rules(suspect)
        if verdict is not None:
            self._precedents.note(suspect, verdict)
        return verdict

    # The shipped weights are held to the figures by our own tests; weights that failed the exam on this host are only shown.
    def _judge_by_model(self, suspect: Suspect) -> Verdict | None:
        verdict = self._arms.judge_by_model(suspect)
        if verdict is not None and self.asking.has_failed(f"none/rules+{verdict.model}"):
            return replace(verdict, may_act=False)
        return verdict

    def _looked_up(self, key: str, found: bool) -> None:
        self.foreseeing.looked_up(key, found=found)

    def judged(self, decision: Decision, judgement: Judgement) -> None:
        """A person's word about what a program is holds for that program at once, where it makes us more careful."""
        if judgement.label is not None:
            self.cache.said(decision.suspect, judgement.label, self._ground.config.llm.cache_days * DAY_S)

    def _remember(self, suspect: Suspect, verdict: Verdict) -> None:
        self.cache.keep(suspect, verdict, self._ground.config.llm.cache_days * DAY_S)
        self._precedents.note(suspect, verdict)
        if self.asking.has_passed(verdict.model):
            self._learn(suspect, verdict)

    def _is_gateway(self, peer: Peer) -> bool:
        # The service's own user, known only while it runs; root, who may do anything; or the child of this process,
        # since other daemons run as nobody too.
        if peer.uid in {0, *_uid_of(GATEWAY_USER)}:
            return True
        stat = self._proc.read_stat(peer.pid)
        return stat is not None and stat.ppid == os.getpid()


def _uid_of(user: str) -> set[int]:
    try:
        return {pwd.getpwnam(user).pw_uid}
    except KeyError:
        return set()
