"""What is read of a host, from a file system that the test made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.act.cgroupfs import CgroupVersion
from brainkernel.cli.checks import State, host_checks, place_checks, setting_checks
from brainkernel.cli.destinations import groq_key
from brainkernel.host import read_facts
from brainkernel.store.files import FILE_NAME
from support.stores import a_decision, opened

if TYPE_CHECKING:
    from pathlib import Path

V2 = "25 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = "25 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
GOOD = {
    "proc/self/mountinfo": V2,
    "proc/self/status": "CapEff:\t000001ffffffffff\n",
    "proc/sys/kernel/osrelease": "6.1.0-42-amd64\n",
    "proc/pressure/cpu": "some avg10=0.00\n",
    "sys/kernel/btf/vmlinux": "",
    "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory\n",
    "run/systemd/system/x": "",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
}


def host(root: Path, **changes: str | None) -> Path:
    """Write a host; a change to None leaves the file out."""
    for name, text in {**GOOD, **{k.replace("__", "/"): v for k, v in changes.items()}}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return root


def test_facts_of_a_good_host(tmp_path: Path) -> None:
    """A Debian 12 with everything: nothing stands in the way."""
    facts = read_facts(host(tmp_path), lambda: "systemd 252 (252.39-1~deb12u1)\n+PAM\n")

    assert (facts.kernel, facts.distribution, facts.systemd_version) == ("6.1.0-42-amd64", "Debian GNU/Linux 12 (bookworm)", 252)
    assert (facts.cgroup, facts.lockdown, facts.psi) == (CgroupVersion.V2, "integrity", True)
    assert (facts.why_no_bpf, facts.why_no_limits) == ("", "")
    assert {c.state for c in host_checks(facts) if c.name != "root"} == {State.OK}


@pytest.mark.parametrize(
    ("changes", "why_no_bpf", "why_no_limits", "check"),
    [
        ({"sys__kernel__btf__vmlinux": None}, "CONFIG_DEBUG_INFO_BTF", "", "BTF"),
        ({"sys__kernel__security__lockdown": "none integrity [confidentiality]"}, "locked down", "", "lockdown"),
        ({"proc__self__status": "CapEff:\t0000000000000000\n"}, "CAP_BPF", "", "capabilities"),
        ({"proc__self__mountinfo": V1}, "", "unified_cgroup_hierarchy", "cgroup"),
        ({"sys__fs__cgroup__cgroup.controllers": "memory"}, "", "cpu controller", "cpu controller"),
        ({"run__systemd__system__x": None}, "", "", "systemd"),
        (
            {"sys__kernel__sched_ext__state": "enabled\n", "sys__kernel__sched_ext__root__ops": "lavd_1.0.9\n"},
            "",
            "lavd_1.0.9 is loaded (sched_ext)",
            "scheduler",
        ),
        ({"proc__pressure__cpu": None}, "", "", "PSI"),
    ],
    ids=["btf", "lockdown", "capabilities", "v1", "controller", "systemd", "sched_ext", "psi"],
)
def test_what_a_host_lacks_is_named_with_its_remedy(
    tmp_path: Path, changes: dict[str, str | None], why_no_bpf: str, why_no_limits: str, check: str
) -> None:
    """Each lack says what it costs; doctor names it, and only it."""
    facts = read_facts(host(tmp_path, **changes), lambda: "systemd 252")

    assert why_no_bpf in facts.why_no_bpf
    assert bool(why_no_bpf) == bool(facts.why_no_bpf)
    assert why_no_limits in facts.why_no_limits
    assert bool(why_no_limits) == bool(facts.why_no_limits)
    bad = [c for c in host_checks(facts) if c.state is not State.OK and c.name != "root"]
    assert [c.name for c in bad] == [check]
    assert bad[0].remedy


@pytest.mark.parametrize(
    ("release", "state"), [("4.19.0-27-amd64", State.FAIL), ("5.10.0", State.OK), ("6.18", State.OK), ("strange", State.FAIL)]
)
def test_kernel_is_judged_by_its_numbers(tmp_path: Path, release: str, state: State) -> None:
    """Names after the number do not count."""
    facts = read_facts(host(tmp_path, proc__sys__kernel__osrelease=release), lambda: "")

    assert next(c.state for c in host_checks(facts) if c.name == "kernel") is state


def test_facts_of_an_empty_file_system_are_no_error(tmp_path: Path) -> None:
    """A chroot without /proc gives answers, not exceptions."""
    facts = read_facts(tmp_path)

    assert not facts.btf
    assert facts.systemd_version is None
    assert list(host_checks(facts))


@pytest.mark.parametrize(
    ("toml", "environment", "state", "part"),
    [
        ("", {"GROQ_API_KEY": "gsk_secret"}, State.OK, "GROQ_API_KEY is set"),
        ("", {}, State.WARN, "only an Ollama at its default address"),
        ("[llm]\nbackend = 'none'", {"GROQ_API_KEY": "x"}, State.OK, "none wanted"),
        ("[llm]\nbackend = 'groq'", {"OLLAMA_HOST": "x"}, State.WARN, "backend groq"),
        ("[llm]\nllamacpp_model_file = '/nonexistent'", {}, State.WARN, "backend auto"),
    ],
    ids=["key", "nothing", "none", "other", "no file"],
)
def test_llm_is_judged_by_configuration_and_environment(
    tmp_path: Path, toml: str, environment: dict[str, str], state: State, part: str
) -> None:
    """No request is made, and no key is shown."""
    (tmp_path / "c.toml").write_text(toml)

    checks = {c.name: c for c in setting_checks(tmp_path / "c.toml", environment, groq_key(environment, tmp_path))}

    assert checks["LLM"].state is state
    assert part in checks["LLM"].text
    assert "gsk_secret" not in str(checks)


def test_bad_configuration_fails_with_its_line(tmp_path: Path) -> None:
    """It is the first thing to correct."""
    (tmp_path / "c.toml").write_text("[agent]\nmode = 3\n")

    [check] = setting_checks(tmp_path / "c.toml", {})

    assert check.state is State.FAIL
    assert "c.toml:2" in check.text


def test_database_is_looked_at_without_touching_it(tmp_path: Path) -> None:
    """A good one is ok, also while the daemon has it open; a damaged one is a warning and stays where it is."""
    with opened(tmp_path / "good") as store:
        store.store.decisions.save(a_decision())
        store.store.flush()
        while_open = {c.name: c for c in place_checks(tmp_path / "good")}["database"]
    closed = {c.name: c for c in place_checks(tmp_path / "good")}["database"]
    (tmp_path / FILE_NAME).write_bytes(b"damage" * 1000)
    damaged = {c.name: c for c in place_checks(tmp_path)}["database"]

    assert [while_open.state, closed.state, damaged.state] == [State.OK, State.OK, State.WARN]
    assert (tmp_path / FILE_NAME).read_bytes() == b"damage" * 1000
