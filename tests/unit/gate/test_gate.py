"""The gate lets through what is new or odd, and nothing else."""

from typing import Any

import pytest
from brainkernel.config import Gate as GateConfig
from brainkernel.gate.gate import Baseline, Gate, is_always
from brainkernel.model import FileId, Mark, ProcessKey, ReasonCode
from msgspec.structs import replace
from support.nouns import SECOND_NS, an_exec


@pytest.fixture
def gate() -> Gate:
    return Gate(GateConfig(debounce_s=30), Baseline())


def test_gate_passes_a_program_never_seen(gate: Gate) -> None:
    """The first start of a program on this host is a suspect, with the reason in words."""
    suspect = gate.consider(an_exec("/usr/bin/tool"), None)

    assert suspect is not None
    assert [r.code for r in suspect.reasons] == [ReasonCode.NEW_PROGRAM]
    assert suspect.reasons[0].text == "first start of /usr/bin/tool"


def test_gate_stops_a_known_program_behaving_as_before(gate: Gate) -> None:
    """The second start of the same program by the same parent for the same user goes no further, however late."""
    gate.consider(an_exec(), None)

    assert gate.consider(replace(an_exec(), time_ns=3600 * SECOND_NS), None) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"parent_exe": "/usr/sbin/nginx"}, ReasonCode.NEW_PARENT),
        ({"uid": 0}, ReasonCode.NEW_USER),
        ({"file": FileId(1, 2, 3)}, ReasonCode.NEW_PROGRAM),
    ],
)
def test_gate_passes_a_known_program_in_a_new_use(gate: Gate, change: dict[str, Any], code: ReasonCode) -> None:
    """A new parent, a new user and a changed file each make a known path a suspect again."""
    gate.consider(an_exec(), None)

    suspect = gate.consider(an_exec(time_ns=3600 * SECOND_NS, **change), None)

    assert suspect is not None
    assert suspect.reasons[0].code is code


def test_gate_says_that_a_known_path_changed_on_disk(gate: Gate) -> None:
    """An upgrade or a replaced file is told from a program nobody knows."""
    gate.consider(an_exec(), None)

    suspect = gate.consider(an_exec(file=FileId(1, 2, 3), time_ns=3600 * SECOND_NS), None)

    assert suspect is not None
    assert suspect.reasons[0].text == "/usr/bin/tool changed on disk"


def test_gate_names_the_odd_place_a_new_program_runs_from(gate: Gate) -> None:
    """A program in memory is new, and said to run from a memfd."""
    suspect = gate.consider(an_exec("/memfd:x", marks=frozenset({Mark.MEMFD})), None)

    assert suspect is not None
    assert [r.code for r in suspect.reasons] == [ReasonCode.NEW_PROGRAM, ReasonCode.MARKED]


def test_gate_judges_interpreters_by_the_form_of_their_arguments(gate: Gate) -> None:
    """A shell that runs the same script stays quiet, one that runs another form of command does not."""
    gate.consider(an_exec("/usr/bin/dash"), "sh /etc/cron.daily/x")

    again = gate.consider(an_exec("/usr/bin/dash", time_ns=3600 * SECOND_NS), "sh /etc/cron.daily/x")
    other = gate.consider(an_exec("/usr/bin/dash", time_ns=3600 * SECOND_NS), "sh -c curl|sh")

    assert again is None
    assert other is not None
    assert other.reasons[0].code is ReasonCode.NEW_ARGUMENTS


def test_gate_decides_once_per_identity_and_window() -> None:
    """A program whose baseline was lost does not pass twice within the debounce time."""
    config, baseline = GateConfig(debounce_s=30), Baseline()
    gate = Gate(config, baseline)
    gate.consider(an_exec(time_ns=SECOND_NS), None)
    gate._baseline = Baseline()

    within = gate.consider(an_exec(time_ns=20 * SECOND_NS), None)
    gate._baseline = Baseline()
    after = gate.consider(an_exec(time_ns=40 * SECOND_NS), None)

    assert within is None
    assert after is not None


def test_gate_reports_a_burst_once_per_second_and_parent() -> None:
    """A parent that starts programs faster than the limit is one reason, not a thousand."""
    gate = Gate(GateConfig(exec_burst_per_s=10, debounce_s=0.001), Baseline())
    parent = ProcessKey(9, 0)

    passed = [gate.consider(an_exec(parent=parent, time_ns=SECOND_NS + i * 10_000_000), None) for i in range(50)]

    bursts = [s for s in passed if s is not None and any(r.code is ReasonCode.EXEC_BURST for r in s.reasons)]
    assert len(bursts) == 1


def test_baseline_preloaded_from_the_store_makes_a_restart_no_cold_start() -> None:
    """Identities of an earlier run are known at once."""
    baseline = Baseline()
    baseline.preload([an_exec().identity])

    assert Gate(GateConfig(), baseline).consider(an_exec(), None) is None


def test_baseline_forgets_the_longest_unmet_when_full() -> None:
    """A flood of new programs cannot grow the agent's memory."""
    baseline = Baseline()
    baseline.PROGRAMS_MAX = 100
    small = type(baseline._programs)(100)
    baseline._programs = small

    for number in range(1000):
        baseline.learn(an_exec(f"/tmp/{number}").identity)

    assert len(small) == 100


@pytest.mark.parametrize(
    "exe", ["/usr/bin/python3.11", "/usr/bin/nc.traditional", "/usr/bin/dash", "/usr/bin/perl5.36.0", "/usr/bin/php8.2"]
)
def test_interpreters_and_dual_use_tools_are_always_judged(exe: str) -> None:
    """Versioned and alternative names are the same tool."""
    assert is_always(exe)


@pytest.mark.parametrize("exe", ["/usr/bin/ls", "/usr/sbin/nginx", "/usr/bin/gcc-12", ""])
def test_ordinary_programs_are_not_always_judged(exe: str) -> None:
    """What does one thing is known by its file."""
    assert not is_always(exe)
