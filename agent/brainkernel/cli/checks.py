"""What `brainkernel doctor` looks at. Each check answers one question, and a bad answer comes with its remedy."""

from __future__ import annotations

import ctypes
import enum
import importlib.util
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import CgroupVersion
from brainkernel.act.systemd import IDLE_SINCE
from brainkernel.config import load
from brainkernel.decide.safety import PROTECTED_EXES, PROTECTED_UNITS
from brainkernel.errors import BrainKernelError, DaemonNotRunningError, SenseError
from brainkernel.gateway.llm.places import shown_host
from brainkernel.store.files import FILE_NAME
from brainkernel.store.migrations import SCHEMA_VERSION, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from brainkernel.config import Llm
    from brainkernel.host import HostFacts

_OLDEST_KERNEL = (5, 10)  # of the BPF programs
_LITTLE_DISK_BYTES, _NO_DISK_BYTES = 500 << 20, 20 << 20
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class State(enum.StrEnum):
    """How a check went: `warn` costs a feature, `fail` the agent's purpose."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `remedy` says what to do unless all is well."""

    name: str
    state: State
    text: str
    remedy: str = ""


def host_checks(facts: HostFacts) -> Iterator[Check]:
    """Kernel, rights, cgroups, systemd. What only the best loader needs is a warning: `sight_check` says what is left."""
    yield _judge("root", facts.is_root, "yes", "no", "run it as root: sudo brainkernel doctor", bad=State.WARN)
    yield _kernel(facts.kernel)
    btf_remedy = "boot a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian, Ubuntu, Fedora have it)"
    yield _judge("BTF", facts.btf, "/sys/kernel/btf/vmlinux is there", "no /sys/kernel/btf/vmlinux", btf_remedy, bad=State.WARN)
    lockdown = facts.lockdown or "none"
    remedy = "boot with lockdown=integrity"
    yield _judge("lockdown", lockdown != "confidentiality", lockdown, "confidentiality forbids BPF to read", remedy, bad=State.WARN)
    lacking = " and ".join(facts.lacking_capabilities)
    yield _judge("capabilities", not lacking, "those that BPF needs are there", f"lacking {lacking}", "run it as root", bad=State.WARN)
    remedy = "boot with systemd.unified_cgroup_hierarchy=1; until then nothing can be limited, only observed"
    yield _judge("cgroup", facts.cgroup is CgroupVersion.V2, "v2", f"{facts.cgroup.value}", remedy, bad=State.WARN)
    if facts.cgroup is CgroupVersion.V2:
        remedy = "see /sys/fs/cgroup/cgroup.controllers: a cgroup v1 mount of cpu takes it away"
        yield _judge("cpu controller", facts.cpu_controller, "is there", "is not there", remedy, bad=State.WARN)
    yield _systemd(facts.systemd_version)
    if facts.sched_ext:
        yield Check(
            "scheduler", State.WARN, f"{facts.sched_ext} is loaded (sched_ext) and need not heed limits", "unload it to have limits"
        )
    yield _judge("PSI", facts.psi, "is there", "no /proc/pressure", "boot with psi=1: without it nobody's waiting is seen", bad=State.WARN)
    if facts.container:
        yield Check("container", State.WARN, f"this is a container ({facts.container})", "run the agent on the host")


def library_checks() -> Iterator[Check]:
    """What the loaders need."""
    from brainkernel.sense.core import OBJECT_FILE  # noqa: PLC0415 # ctypes tables, for these two checks alone
    from brainkernel.sense.libbpf import library  # noqa: PLC0415

    try:
        lib = library()
        lib.libbpf_version_string.restype = ctypes.c_char_p
        yield Check("libbpf", State.OK, lib.libbpf_version_string().decode())
    except SenseError as error:
        yield Check("libbpf", State.WARN, str(error), "apt install libbpf1")
    remedy = "./scripts/build-bpf (needs clang and libbpf-dev); the Debian package has them built"
    yield _judge("BPF programs", OBJECT_FILE.is_file(), "compiled", f"{OBJECT_FILE} is missing", remedy, bad=State.WARN)
    remedy = "apt install python3-bpfcc (not PyPI's bcc); only needed where the kernel has no BTF"
    spec = importlib.util.find_spec("bcc")
    yield _judge("bcc", spec is not None, f"{spec.origin if spec else ''}", "not importable", remedy, bad=State.WARN)


def sight_check() -> Check:
    """Which loader would be used, and what it cannot see with this kernel: opened for a moment, as at start."""
    from brainkernel.clock import SystemClock  # noqa: PLC0415 # loaders, for this check alone
    from brainkernel.sense.loader import choose  # noqa: PLC0415
    from brainkernel.sense.loaders import live_loaders  # noqa: PLC0415

    try:
        chosen = choose("auto", live_loaders(clock=SystemClock()))
    except SenseError as error:
        return Check("loader", State.FAIL, str(error), "one of these must be mended: without a loader nothing is seen")
    with chosen.loader as loader:
        if not (chosen.refused or loader.limits):
            return Check("loader", State.OK, f"{loader.name}: sees all there is to see")
        lacks = "; ".join(loader.limits) or "sees all there is to see"
        remedy = "; ".join(chosen.refused) or "another kernel or configuration of it; the rest works"
        return Check("loader", State.WARN, f"{loader.name}: {lacks}", remedy)


def setting_checks(config_file: Path | None, environment: Mapping[str, str], groq_key: str = "") -> Iterator[Check]:
    """The configuration and which LLM it leads to; whether that answers, the gateway finds out. `groq_key` says where a key comes from."""
    try:
        settings = load(config_file)
    except BrainKernelError as error:
        yield Check("configuration", State.FAIL, str(error), "correct that line; `brainkernel check-config` looks again")
        return
    yield Check("configuration", State.OK, f"valid, mode {settings.agent.mode}")
    safety = settings.safety
    text = f"{len(PROTECTED_EXES)} programs and {len(PROTECTED_UNITS)} units built in"
    yours = [*safety.protected_exes, *safety.protected_units, *safety.protected_packages]
    yield Check("protected", State.OK, f"{text} (--protected lists them); configured: {', '.join(yours) or 'none'}")
    yield _llm(settings.llm, environment, groq_key)


def _llm(llm: Llm, environment: Mapping[str, str], groq_key: str) -> Check:
    sources = [
        ("groq", bool(groq_key), groq_key),
        ("llamacpp", Path(llm.llamacpp_model_file).is_file(), f"the model file {llm.llamacpp_model_file}"),
        ("ollama", bool(environment.get("OLLAMA_HOST")), f"an Ollama at {shown_host(environment.get('OLLAMA_HOST', ''))}"),
    ]
    found = [text for name, there, text in sources if there and llm.backend in ("auto", name)]
    if llm.backend == "none":
        return Check("LLM", State.OK, "none wanted: llm.backend is none")
    if found:
        return Check("LLM", State.OK, f"configured: {', '.join(found)}; `brainkernel status` says whether it answers")
    remedy = "set GROQ_API_KEY for the gateway, start an Ollama, or name llm.llamacpp_model_file; without one, what rules do not know stays unknown"
    return Check("LLM", State.WARN, f"backend {llm.backend}: only an Ollama at its default address would be found", remedy)


def place_checks(state_dir: Path) -> Iterator[Check]:
    """Clock, disk, database."""
    unsynchronised = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR
    remedy = "start systemd-timesyncd or chrony; only times shown to people depend on it"
    yield _judge("clock", not unsynchronised, "synchronised", "not synchronised", remedy, bad=State.WARN)
    yield _disk(state_dir)
    yield _database(state_dir / FILE_NAME)


def daemon_check(runtime_dir: Path) -> Check:
    """Whether a daemon answers."""
    from brainkernel.cli.control_client import ask  # noqa: PLC0415 # msgspec's decoders
    from brainkernel.link.control import STATUS, Status  # noqa: PLC0415

    try:
        status = ask(runtime_dir, STATUS, Status)
    except DaemonNotRunningError:
        return Check("daemon", State.WARN, "not running", "systemctl start brainkernel, or brainkernel run")
    except BrainKernelError as error:
        return Check("daemon", State.WARN, str(error), "see `journalctl -u brainkernel`")
    asked = f"asks {status.llm.backend} {status.llm.model}".rstrip() if status.llm.backend != "none" else "asks no LLM"
    return Check("daemon", State.OK, f"running, version {status.version}, mode {status.mode}, loader {status.loader}, {asked}")


def _judge(name: str, good: bool, yes: str, no: str, remedy: str, *, bad: State = State.FAIL) -> Check:
    return Check(name, State.OK, yes) if good else Check(name, bad, no, remedy)


def _kernel(release: str) -> Check:
    numbers = [int(n) for n in release.split("-", maxsplit=1)[0].split(".")[:2] if n.isdecimal()]
    wanted = ".".join(map(str, _OLDEST_KERNEL))
    return _judge(
        "kernel", tuple(numbers) >= _OLDEST_KERNEL, release, f"{release} is older than {wanted}", f"boot a kernel of {wanted} or newer"
    )


def _systemd(version: int | None) -> Check:
    if version is None:
        return Check(
            "systemd",
            State.WARN,
            "does not run this host",
            "limits are set by cgroups of our own and on single tasks; I/O weights and memory_high are not",
        )
    remedy = f"version {IDLE_SINCE} brings the limit `idle`; before it, cpu_weight=1 stands for it"
    return _judge("systemd", version >= IDLE_SINCE, str(version), f"{version} is older than {IDLE_SINCE}", remedy, bad=State.WARN)


def _disk(directory: Path) -> Check:
    there = next(p for p in (directory, *directory.parents) if p.is_dir())
    free_bytes = os.statvfs(there).f_bavail * os.statvfs(there).f_frsize
    text = f"{free_bytes >> 20} MB free at {there}"
    if free_bytes >= _LITTLE_DISK_BYTES:
        return Check("disk", State.OK, text)
    state = State.WARN if free_bytes >= _NO_DISK_BYTES else State.FAIL
    return Check(
        "disk", state, text, "free some space: on a full disk decisions are kept in memory, and no limit is set without the undo ledger"
    )


# mode=ro: looking changes nothing, also while the daemon has the file open.
def _database(file: Path) -> Check:
    try:
        if not file.exists():
            return Check("database", State.OK, f"{file} is not there yet: it is made at the first start")
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = version_of(connection)
    except PermissionError:
        return Check("database", State.WARN, f"{file}: not permitted to read it", "run it as root")
    except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
        return Check("database", State.WARN, f"{file}: {error}", "nothing: the next start moves a damaged file aside and begins a new one")
    if problem != "ok":
        return Check("database", State.WARN, f"{file}: {problem}", "nothing: the next start moves it aside and begins a new one")
    if version > SCHEMA_VERSION:
        return Check(
            "database", State.FAIL, f"schema {version}, newer than {SCHEMA_VERSION}", "install the newer brainkernel, or move the file away"
        )
    return Check("database", State.OK, f"{file}, schema {version}, {file.stat().st_size >> 10} KB")
