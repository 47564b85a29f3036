from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.errors import SenseError
from brainkernel.sense.hostcheck import explained, lacking_capabilities, missing_for_core
from brainkernel.sense.libbpf import LibbpfError

if TYPE_CHECKING:
    from pathlib import Path


def a_host(tmp_path: Path, *, effective: int = (1 << 41) - 1, btf: bool = True, lockdown: str = "[none] integrity confidentiality") -> Path:
    """Files of a host on which everything is there."""
    (tmp_path / "probe.bpf.o").write_bytes(b"")
    for folder in ("proc/self", "sys/kernel/security", "sys/kernel/btf"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(f"Name:\tx\nCapEff:\t{effective:016x}\n")
    (tmp_path / "sys/kernel/security/lockdown").write_text(lockdown)
    if btf:
        (tmp_path / "sys/kernel/btf/vmlinux").write_bytes(b"")
    return tmp_path


def missing(host: Path) -> str | None:
    return missing_for_core(host / "probe.bpf.o", host / "proc", host / "sys")


def test_nothing_is_missing_on_a_capable_host(tmp_path: Path) -> None:
    """No complaint where none is due."""
    assert missing(a_host(tmp_path)) is None


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"btf": False}, ("CONFIG_DEBUG_INFO_BTF", "boot")),
        ({"lockdown": "none integrity [confidentiality]"}, ("locked down", "boot")),
        ({"effective": 1 << 38}, ("CAP_BPF", "run it as root")),
        ({"effective": 0}, ("CAP_BPF and CAP_PERFMON", "run it as root")),
    ],
)
def test_missing_names_the_lack_and_the_remedy_in_one_line(tmp_path: Path, lack: dict[str, object], words: tuple[str, ...]) -> None:
    """What is not there, and what to do about it."""
    text = missing(a_host(tmp_path, **lack))  # type: ignore[arg-type]

    assert text is not None
    assert "\n" not in text
    assert all(word in text for word in words)


def test_missing_says_when_process_ids_are_not_those_of_the_kernel(tmp_path: Path) -> None:
    """In a container with processes of its own, a record's tgid would name somebody else in /proc."""
    host = a_host(tmp_path)
    (host / "proc/self/ns").mkdir()
    (host / "proc/self/ns/pid").write_bytes(b"")  # any inode but that of the first namespace

    assert "--pid=host" in str(missing(host))


def test_missing_object_says_how_to_build_it(tmp_path: Path) -> None:
    """A clone that was not built yet."""
    assert "scripts/build-bpf" in str(missing_for_core(tmp_path / "absent.o", tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("effective", "lacking"),
    [(1 << 21, []), (1 << 39 | 1 << 38, []), (1 << 39, ["CAP_PERFMON"]), (0, ["CAP_BPF", "CAP_PERFMON"])],
)
def test_lacking_capabilities_are_named(effective: int, lacking: list[str]) -> None:
    """CAP_SYS_ADMIN stands for both, as it did before they were split off."""
    assert lacking_capabilities(f"CapEff:\t{effective:016x}\n") == lacking


def test_explained_names_the_kernel_and_a_remedy() -> None:
    """A refusal that no check foresaw."""
    assert "run on the host as root" in explained(LibbpfError("load", -1))
    assert "5.10 or newer" in explained(SenseError("load: Invalid argument"))
