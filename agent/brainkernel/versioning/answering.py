"""What `versions`, `rollback` and `canary` are told on the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from brainkernel.commands import arguments_of
from brainkernel.link import versions
from brainkernel.link.versions import Arm, VersionRow, VersionsState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from brainkernel.commands import Answer, Command
    from brainkernel.learn.quality import Rate
    from brainkernel.link.frames import Peer
    from brainkernel.link.messages import ControlRequest
    from brainkernel.store.versionfiles import Manifest, Pointer, VersionFiles
    from brainkernel.versioning.trial import Tally
    from brainkernel.versioning.versioning import Versioning


def commands_of(
    versioning: Versioning, tally: Tally, wrong_limits: Callable[[], dict[int, Rate]], learning: Callable[[], list[str]]
) -> Mapping[str, Command]:
    """The commands by name."""

    def state(text: str = "") -> VersionsState:
        rates = wrong_limits()
        arms = {number: _arm_of(number, tally, rates.get(number)) for number in {*rates, *tally.decisions}}
        found = state_of(versioning.shelf.files, versioning.pointer, arms)
        override = versioning.override_of(versioning.pointer) if versioning.pointer else ""
        unkept = f"no version can be kept: {versioning.unkept_because}" if versioning.unkept_because else ""
        notes = tuple(note for note in (override, unkept) if note)
        in_force = 0 if versioning.unkept_because and versioning.arms.current.number == 0 else found.in_force
        return msgspec.structs.replace(found, in_force=in_force, notes=notes, learning=tuple(learning()), text=text)

    def rollback(request: ControlRequest, peer: Peer, answer: Answer) -> None:
        wanted = arguments_of(request, versions.RollbackArguments)
        answer(state(versioning.rollback(wanted.number, f"uid {peer.uid}")))

    def canary(request: ControlRequest, peer: Peer, answer: Answer) -> None:
        wanted, by = arguments_of(request, versions.CanaryArguments), f"uid {peer.uid}"
        match wanted.deed:
            case "try":
                said = versioning.try_out(wanted.number, wanted.share, by)
            case "promote":
                said = versioning.promote("a person said so", by)
            case "withdraw":
                said = versioning.withdraw("a person said so", by)
        answer(state(said))

    return {versions.VERSIONS: lambda _request, _peer, answer: answer(state()), versions.ROLLBACK: rollback, versions.CANARY: canary}


def state_of(files: VersionFiles, pointer: Pointer | None, arms: Mapping[int, Arm]) -> VersionsState:
    """What is kept and what is in force. Raises StoreError."""
    rows = tuple(_row_of(manifest, pointer, arms.get(manifest.number, Arm())) for manifest in reversed(files.all()))
    if pointer is None:
        return VersionsState(versions=rows)
    return VersionsState(
        versions=rows,
        in_force=pointer.number,
        since_ns=pointer.since_ns,
        why=pointer.why,
        by=pointer.by,
        canary=pointer.canary.number if pointer.canary else 0,
        canary_share=pointer.canary.share if pointer.canary else 0.0,
    )


def _row_of(manifest: Manifest, pointer: Pointer | None, arm: Arm) -> VersionRow:
    return VersionRow(
        number=manifest.number,
        time_ns=manifest.time_ns,
        why=manifest.why,
        by=manifest.by,
        parent=manifest.parent,
        state=_state_of(manifest.number, pointer),
        arm=arm,
    )


def _state_of(number: int, pointer: Pointer | None) -> str:
    if pointer is None:
        return ""
    if number == pointer.number:
        return "in force"
    if pointer.canary is not None and number == pointer.canary.number:
        return "canary"
    return "withdrawn" if number in pointer.withdrawn else ""


def _arm_of(number: int, tally: Tally, rate: Rate | None) -> Arm:
    return Arm(
        decisions=tally.decisions[number],
        limits=tally.limits[number],
        samples=rate.samples if rate else 0.0,
        wrong=rate.value if rate else None,
        low=rate.low if rate else None,
        high=rate.high if rate else None,
    )
