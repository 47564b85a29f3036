"""Which version decides: kept, exchanged, tried as a canary, taken back. The files under /etc are one of its sources.

Other files are a new version. A rollback puts an earlier version in force *over* the files, until these change again;
what they say stays a version of its own and can be taken up by its number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from brainkernel import metrics
from brainkernel.classify.tiers import RulesTier
from brainkernel.effective import Arms, Standards
from brainkernel.errors import BrainKernelError, ConfigError, StoreError, UsageError
from brainkernel.model import AuditEntry
from brainkernel.store.versionfiles import CanaryState, Origin, Pointer
from brainkernel.versioning.shelf import Shelf, differing, from_source_alone, learned, unlearned, written
from brainkernel.versioning.source import MODEL, STRATEGY, Source, read_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.config import Config
    from brainkernel.effective import Effective, StrategyFile
    from brainkernel.metrics import Figures

OURSELVES, ALERT = "brainkernel", "an alert"
HOUR_NS = 3_600_000_000_000
BLAMED_NS = 24 * HOUR_NS  # a change older than this is not the cause of today's trouble
RETRY_NS = 60_000_000_000
DEED = "version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outward:
    """Who is told. `changed` puts another version to work everywhere; it is not called for the first one."""

    tell: Callable[[str], None]
    log: Callable[[AuditEntry], None]
    changed: Callable[[Effective], None]


class Versioning:
    """One thread. Whatever it writes, the disk holds the old state or the new one at every moment."""

    def __init__(self, shelf: Shelf, clock: Clock, figures: Figures, outward: Outward) -> None:
        """Put the version in force that was, or a new one if the files say something else.

        Raises ConfigError where the files are not valid and no earlier version can stand in for them.
        """
        self.shelf = shelf
        self._clock = clock
        self._figures = figures
        self._outward = outward
        self.pointer: Pointer | None = None
        self.unkept_because = ""  # why no version can be kept; then files and shipped models decide
        self._retry_ns = 0
        self._begun = False  # before that nobody needs to be told that another version is at work
        self._source = self._first_source()
        self.arms = Arms(from_source_alone(self._source, shelf.places))
        self._settle()
        self._begun = True

    # How it begins

    def _first_source(self) -> Source:
        try:
            return read_source(self.shelf.places)
        except ConfigError as error:
            config = self.shelf.places.read_config()  # if it is this that is not valid, nothing may hide it
            pointer = self._read_pointer()
            for number in self.shelf.files.line_of(pointer.number if pointer else 0):
                if (effective := self._loaded(number, config)) is not None:
                    self._outward.tell(f"the rules of version {number}, the last that load, are in force: {error}")
                    manifest = self.shelf.manifest(number)
                    said = pointer.source if pointer else manifest.source
                    return Source(config, effective.rules.ruleset, written(self.shelf.contents(number)), manifest.shipped, said)
            raise

    def _read_pointer(self) -> Pointer | None:
        try:
            return self.shelf.files.pointer()
        except StoreError as error:
            self._outward.tell(f"which version was in force is not known, the newest that loads is taken: {error}")
            return None

    def _load(self, number: int) -> Effective:
        return self.shelf.load(number, self._source.config, self._source)

    def _loaded(self, number: int, config: Config, said: Source | None = None) -> Effective | None:
        try:
            return self.shelf.load(number, config, said)
        except BrainKernelError as error:
            self._outward.tell(f"version {number} does not load: {error}")
            return None

    # Brings the disk, the files and what is in force together, as far as the disk lets us.
    def _settle(self) -> None:
        try:
            if self.pointer is None:
                self.shelf.files.open()
                self._take_up_what_was()
            self._follow_files()
        except BrainKernelError as error:
            self._go_on_unkept(error)
            return
        if self.unkept_because:
            self._outward.tell("versions can be kept again")
            self.unkept_because = ""

    def _go_on_unkept(self, error: BrainKernelError) -> None:
        if not self.unkept_because:
            self._outward.tell(f"no version can be kept, so nothing can be gone back to; what the files say is in force: {error}")
        self.unkept_because = str(error)
        self._retry_ns = self._clock.boot_ns() + RETRY_NS
        standards = Standards(config=self._source.config, caution=self.arms.current.standards.caution)
        self._put_to_work(replace(self.arms.current, standards=standards, rules=RulesTier(self._source.rules)))

    def _take_up_what_was(self) -> None:
        before = self._read_pointer()
        spoiled = set(before.withdrawn) if before else set[int]()
        for number in self.shelf.files.line_of(before.number if before else 0):
            if number in spoiled or (effective := self._loaded(number, self._source.config, self._source)) is None:
                continue
            self._put_to_work(effective)
            if before is not None and before.number == number:
                self.pointer = before
                self._resume_canary(before)
                return
            self._stand_in(number, before)
            return
        why = "what the files say, since no version loads" if self.shelf.files.all() else "the first one"
        number = self._keep(self._source.contents | unlearned(self.shelf.places), 0, why, OURSELVES)
        self._put_to_work(self._load(number))
        self._point(number, why, OURSELVES, source=self._source.digest)

    # The last version that loads, for one that does not. What people wrote is not lost with it: unless it was in force over
    # the files, these are taken up again, with what the last one had learned.
    def _stand_in(self, number: int, before: Pointer | None) -> None:
        if before is None:
            self._point(number, "the newest that loads", OURSELVES, source=self.shelf.manifest(number).source)
            return
        failed = self.shelf.files.find(before.number)
        source = before.source if failed is not None and failed.source != before.source else ""
        self._point(number, "the last that loads", OURSELVES, source=source, withdrawn=(*before.withdrawn, before.number))

    def _resume_canary(self, pointer: Pointer) -> None:
        if pointer.canary is None:
            return
        if (canary := self._loaded(pointer.canary.number, self._source.config, self._source)) is not None:
            self.arms.try_out(canary, pointer.canary.share)
        else:
            self.withdraw("it does not load", OURSELVES)

    # What the files say

    def read(self) -> Source:
        """Read the files again. Raises ConfigError; nothing has changed."""
        return read_source(self.shelf.places, self._source)

    def follow(self, source: Source) -> None:
        """Put to work what the files say now; where that is another policy, or other rules, it is a new version."""
        self._source = source
        self.arms.rebase(self._source.config)
        self._settle()
        if self._begun:
            self._outward.changed(self.arms.current)
        if self.pointer is not None and (note := self.override_of(self.pointer)):
            self._outward.tell(note)

    def override_of(self, pointer: Pointer) -> str:
        """What there is to say where another version is in force than the one that the files say; "" where that is not so."""
        manifests = self.shelf.files.all()
        if any(manifest.number == pointer.number and manifest.source == pointer.source for manifest in manifests):
            return ""
        said = max((manifest.number for manifest in manifests if manifest.source == pointer.source), default=0)
        taken_up = f"; `brainkernel rollback {said}` takes it up again" if said else ""
        return f"version {pointer.number} is in force until a file changes: the files say what version {said or '?'} holds{taken_up}"

    def _follow_files(self) -> None:
        pointer = self.pointer
        if pointer is None:
            return
        if pointer.source == self._source.digest:
            if self.unkept_because:  # an edit that could not be kept stood in meanwhile, and is taken back
                self._put_to_work(self._load(pointer.number))
            return
        contents, manifest = self.shelf.contents(pointer.number), self.shelf.manifest(pointer.number)
        kept = learned(contents)
        if manifest.shipped != self._source.model_digest:  # a new package: what was learned is learned anew on top of its model
            kept[MODEL] = unlearned(self.shelf.places)[MODEL]
        number = self._keep(
            self._source.contents | kept, pointer.number, f"the files changed: {differing(contents, self._source)}", OURSELVES
        )
        if number == pointer.number:
            self._write(msgspec.structs.replace(pointer, source=self._source.digest))
            return
        # The person who wrote them knows: a version that an alert had withdrawn is tried anew.
        self.pointer = msgspec.structs.replace(pointer, withdrawn=tuple(n for n in pointer.withdrawn if n != number))
        self._take_up(number, OURSELVES)

    # New versions

    def propose(self, changes: dict[str, bytes], why: str) -> bool:
        """Keep and take up what was learned; False if it cannot be kept, was withdrawn before, or a canary is under way."""
        pointer = self.pointer
        if pointer is None or pointer.canary is not None or self.unkept_because:
            return False
        try:
            source = self.shelf.manifest(pointer.number).source
            number = self._keep(self.shelf.contents(pointer.number) | changes, pointer.number, why, OURSELVES, source=source)
            if number in pointer.withdrawn:
                return False
            self._take_up(number, OURSELVES)
        except BrainKernelError as error:
            self._outward.tell(f"what was learned is not taken up: {error}")
            return False
        return True

    def strategy_forced(self, strategy: StrategyFile, by: str) -> None:
        """Keep as a version that a person forced a strategy, or lets the rules choose again. It is in force even if it cannot be kept."""
        pointer = self.pointer
        if pointer is None or self.unkept_because:
            return
        why = f"strategy {strategy.forced} forced" if strategy.forced else "the strategy follows the rules again"
        if pointer.canary is not None:  # a version of its own would end the trial, and what the files say with it
            self._outward.tell(f"{why}; it is no version of its own while version {pointer.canary.number} is tried")
            return
        try:
            contents = self.shelf.contents(pointer.number) | {STRATEGY: msgspec.json.encode(strategy)}
            number = self._keep(contents, pointer.number, why, by, source=self.shelf.manifest(pointer.number).source)
            self._activate(number, why, by)
        except BrainKernelError as error:
            self._outward.tell(f"{why}, which cannot be kept as a version: {error}")

    def _take_up(self, number: int, by: str) -> None:
        assert self.pointer is not None  # noqa: S101 # the callers looked
        why = self.shelf.manifest(number).why
        share = self._source.config.versions.canary_share
        if share and number != self.pointer.number:
            self.try_out(number, share, by)
        else:
            self._activate(number, why, by)

    # Taking back

    def rollback(self, number: int | None, by: str, *, withdrawing: bool = False) -> str:
        """Put an earlier version in force, by default the one before; says what happened.

        Raises UsageError for a version that is not there, StoreError or ConfigError for one that does not load: then
        nothing has changed.
        """
        pointer = self._pointer()
        if number is None and pointer.canary is not None:
            return self.withdraw("rolled back", by)
        target = self.shelf.files.previous_of(pointer) if number is None else number
        if self.shelf.files.find(target) is None:
            msg = f"there is no version {target} (any more); `brainkernel versions` lists them"
            raise UsageError(msg)
        if target == pointer.number and pointer.canary is None:
            msg = f"version {target} is in force already"
            raise UsageError(msg)
        why = f"rolled back from version {pointer.number}"
        withdrawn = {*pointer.withdrawn, *((pointer.number,) if withdrawing else ())}
        if pointer.canary is not None:
            tried = pointer.canary.number
            why = "" if target == pointer.number else f"{why}; "
            why = "its trial is over" if target == tried else f"{why}version {tried}, which was tried, is withdrawn"
            withdrawn.add(tried)
        self._activate(target, why, by, withdrawn=tuple(sorted(withdrawn - {target})))
        return f"version {target} is in force, {why}"

    def after_alert(self) -> str:
        """Take back the latest change because the decisions became worse; says what was done. Once per change."""
        pointer = self.pointer
        if pointer is None:
            return "no version is kept, so there is none to go back to"
        if pointer.by == ALERT and pointer.canary is None:
            return f"version {pointer.number} is in force since an alert fired before: it is left so"
        if pointer.canary is None and not 0 <= self._clock.wall_ns() - pointer.since_ns <= BLAMED_NS:
            return f"version {pointer.number} is in force for more than a day: no change to take back"
        try:
            if pointer.canary is not None:
                return self.withdraw("an alert fired", ALERT)
            return self.rollback(None, ALERT, withdrawing=True)
        except BrainKernelError as error:
            return f"version {pointer.number} stays: {error}"

    def alert_over(self) -> str:
        """What there is to say when the alert resolves: what it took back is not taken up again by itself."""
        pointer = self.pointer
        if pointer is None or not pointer.blamed:
            return "nothing was taken back"
        return f"version {pointer.number} stays in force; `brainkernel rollback {pointer.blamed}` takes {pointer.blamed} up again"

    def _pointer(self) -> Pointer:
        if self.pointer is None or self.unkept_because:
            msg = f"no version can be kept: {self.unkept_because}"
            raise StoreError(msg)
        return self.pointer

    # Trying out

    def try_out(self, number: int, share: float, by: str) -> str:
        """Let a version decide about a share of all programs. Raises UsageError, StoreError or ConfigError."""
        pointer = self._pointer()
        if number == pointer.number:
            msg = f"version {number} is in force already"
            raise UsageError(msg)
        canary = self._load(number)
        state = CanaryState(number, share, self._clock.wall_ns())
        self._write(msgspec.structs.replace(pointer, canary=state, source=self._source.digest))
        self.arms.try_out(canary, share)
        return self._record(f"version {number} decides about {100 * share:g} % of all programs ({self.shelf.manifest(number).why})", by)

    def promote(self, why: str, by: str) -> str:
        """Put the canary in force. Raises UsageError if there is none."""
        state = self._canary()
        self._activate(state.number, f"promoted: {why}", by)
        return f"version {state.number} is in force: {why}"

    def withdraw(self, why: str, by: str) -> str:
        """End the canary; the version in force decides about all programs. Raises UsageError if there is none."""
        state, pointer = self._canary(), self._pointer()
        withdrawn = tuple(sorted({*pointer.withdrawn, state.number}))
        blamed = state.number if by == ALERT else 0
        self._write(msgspec.structs.replace(pointer, canary=None, withdrawn=withdrawn, blamed=blamed))
        self.arms.try_out(None)
        return self._record(f"version {state.number} withdrawn: {why}; version {pointer.number} decides about all programs", by)

    def tick(self) -> None:
        """Once per sample: look whether a lost disk is back."""
        if self.unkept_because and self._clock.boot_ns() >= self._retry_ns:
            self._settle()

    def _canary(self) -> CanaryState:
        if self.pointer is None or self.pointer.canary is None:
            msg = "no version is being tried out"
            raise UsageError(msg)
        return self.pointer.canary

    # The disk, and who is told

    def _keep(self, contents: dict[str, bytes], parent: int, why: str, by: str, *, source: str | None = None) -> int:
        origin = Origin(
            time_ns=self._clock.wall_ns(),
            parent=parent,
            why=why,
            by=by,
            source=self._source.digest if source is None else source,
            shipped=self._source.model_digest,
        )
        number = self.shelf.files.keep(contents, origin).number
        in_use = {number, parent, *((self.pointer.number,) if self.pointer else ())}
        self.shelf.files.prune(self._source.config.versions.keep, in_use)
        return number

    def _activate(self, number: int, why: str, by: str, *, withdrawn: tuple[int, ...] | None = None) -> None:
        effective = self._load(number)  # before anything is written: it must load
        if withdrawn is None:
            withdrawn = self.pointer.withdrawn if self.pointer else ()
        self._point(number, why, by, source=self._source.digest, withdrawn=withdrawn)
        self.arms.try_out(None)
        self._put_to_work(effective)

    def _point(self, number: int, why: str, by: str, *, source: str, withdrawn: tuple[int, ...] = ()) -> None:
        blamed = self.pointer.number if by == ALERT and self.pointer else 0
        since_ns = self._clock.wall_ns()
        self._write(Pointer(number=number, since_ns=since_ns, why=why, by=by, source=source, withdrawn=withdrawn, blamed=blamed))
        self._record(f"version {number} in force: {why}", by)

    def _write(self, pointer: Pointer) -> None:
        self.shelf.files.point(pointer)
        self.pointer = pointer

    def _put_to_work(self, effective: Effective) -> None:
        self.arms.current = effective
        self._figures.set(metrics.VERSION, effective.number)
        if self._begun:
            self._outward.changed(effective)

    def _record(self, text: str, by: str) -> str:
        self._outward.tell(text)
        self._outward.log(entry_of(text, by, self._clock.wall_ns()))
        return text


def entry_of(text: str, by: str, wall_ns: int) -> AuditEntry:
    """A change of version for the audit log. `by` is "uid N" for a person."""
    uid = by.removeprefix("uid ")
    return AuditEntry(time_ns=wall_ns, deed=DEED, uid=int(uid) if by.startswith("uid ") and uid.isdecimal() else None, text=text)
