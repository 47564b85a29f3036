"""The gate: which program starts deserve thought."""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from brainkernel.gate.baseline import Baseline, BurstMeter, Digest, digest_of
from brainkernel.gate.lineage import is_ordinary
from brainkernel.model import Evidence, Exec, Identity, Mark, Program, Reason, ReasonCode, Suspect

if TYPE_CHECKING:
    from brainkernel.config import Gate as GateConfig

# What can do anything, so that the file alone says nothing: interpreters, and the tools attacks are made of.
# The kernel's gate always reports these ("always" flag); here their argument form is part of what is known.
_ALWAYS = frozenset(
    "ash awk bash busybox csh dash fish gawk ksh lua mawk mksh nawk node nodejs perl php pwsh python ruby sh tclsh zsh java "  # interpreters
    "at base32 base64 bpftool chattr chmod chown crontab curl dd docker find gcore gdb insmod install kubectl ld.so ln "
    "modprobe mount nc ncat netcat nft nmap nohup nsenter openssl podman pkexec rm rsync runc scp sed setcap setfacl setsid "
    "socat ssh strace su sudo systemctl systemd-run tar tcpdump tee telnet unshare useradd usermod wget xargs xxd".split()
)
_VERSION = re.compile(r"[-.]?\d[\d.]*$")
_ODD_MARKS = (Mark.MEMFD, Mark.DELETED, Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR)


@functools.lru_cache(maxsize=1024)
def is_always(exe: str) -> bool:
    """Whether a program must be judged by its arguments at each start: `python3.11` and `nc.traditional` are."""
    name = exe.rpartition("/")[2]
    return name in _ALWAYS or _VERSION.sub("", name) in _ALWAYS or name.partition(".")[0] in _ALWAYS


class Gate:
    """Lets through what is new or odd, once per `debounce_s`; learns what it met."""

    DEBOUNCED_MAX = 4_096

    def __init__(self, config: GateConfig, baseline: Baseline) -> None:
        self.config = config
        self._baseline = baseline
        self._bursts = BurstMeter(config.exec_burst_per_s)
        self._passed_ns: OrderedDict[Digest, int] = OrderedDict()

    def consider(self, event: Exec, shape: str | None) -> Suspect | None:
        """Judge one program start.

        `shape` is the normalised form of the arguments, for programs that are judged by it; None for others.
        """
        identity = event.identity
        shape_digest = None if shape is None else shape_digest_of(event.exe, shape)
        reasons = self._reasons(event, identity, shape_digest)
        self._baseline.learn(identity, shape_digest)
        if not reasons or self._debounced(digest_of(*_parts(identity), shape or ""), event.time_ns):
            return None
        return suspect_of(event, reasons)

    def _reasons(self, event: Exec, identity: Identity, shape: Digest | None) -> tuple[Reason, ...]:
        novelty = None if is_ordinary(event) else self._baseline.novelty_of(identity, shape)
        odd = next((m for m in _ODD_MARKS if m in event.marks), None) if novelty else None
        marked = Reason(ReasonCode.MARKED, f"runs from a {odd.value.replace('_', ' ')}") if odd else None
        return tuple(r for r in (novelty, marked, self._bursts.reason_of(event)) if r is not None)

    def _debounced(self, key: Digest, now_ns: int) -> bool:
        last = self._passed_ns.get(key)
        if last is not None and now_ns - last < self.config.debounce_s * 1e9:
            return True
        self._passed_ns[key] = now_ns
        self._passed_ns.move_to_end(key)
        if len(self._passed_ns) > self.DEBOUNCED_MAX:
            self._passed_ns.popitem(last=False)
        return False


def shape_digest_of(exe: str, shape: str) -> Digest:
    """Stand for one form of arguments of one program, in the baseline and in the store."""
    return digest_of("shape", exe, shape)


def suspect_of(event: Exec, reasons: tuple[Reason, ...]) -> Suspect:
    """Make a suspect of a program start; its evidence comes later."""
    program = Program(
        exe=event.exe,
        argv=event.argv,
        comm=event.comm,
        parents=tuple(a.exe for a in event.ancestors) or ((event.parent_exe,) if event.parent_exe else ()),
        uid=event.uid,
        cwd=event.cwd,
        cgroup=event.cgroup,
        filename=event.filename,
    )
    return Suspect(
        key=event.key,
        program=program,
        identity=event.identity,
        reasons=reasons,
        seen_ns=event.time_ns,
        evidence=Evidence(marks=event.marks),
    )


def _parts(identity: Identity) -> tuple[str | int, ...]:
    return (identity.exe, identity.parent_exe, identity.uid, identity.file.ino if identity.file else 0)


__all__ = ["Baseline", "Gate", "is_always", "shape_digest_of", "suspect_of"]
