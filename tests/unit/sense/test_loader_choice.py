from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from brainkernel.errors import SenseError, UsageError
from brainkernel.sense.core import CoreLoader, CoreOptions, ring_bytes_for
from brainkernel.sense.loader import Fates, KernelCounters, choose
from brainkernel.sense.replay import ReplayLoader

if TYPE_CHECKING:
    from pathlib import Path


def a_core_without_kernel(tmp_path: Path) -> CoreLoader:
    return CoreLoader(CoreOptions(object_file=tmp_path / "absent.o"))


def a_replay() -> ReplayLoader:
    return ReplayLoader(io.BytesIO())


def test_choose_auto_takes_the_first_that_opens_and_says_why(tmp_path: Path) -> None:
    """Falling back is never silent."""
    chosen = choose("auto", {"core": lambda: a_core_without_kernel(tmp_path), "replay": a_replay})

    chosen.loader.close()
    assert chosen.loader.name == "replay"
    assert len(chosen.refused) == 1
    assert chosen.refused[0].startswith("core: the compiled BPF programs are missing")
    assert chosen.refused[0] in chosen.why


def test_choose_by_name_does_not_fall_back(tmp_path: Path) -> None:
    """Who asks for one loader gets it, or the reason why not."""
    with pytest.raises(SenseError, match=r"run \./scripts/build-bpf"):
        choose("core", {"core": lambda: a_core_without_kernel(tmp_path), "replay": a_replay})


def test_choose_names_what_there_is() -> None:
    """A loader that is not there is a wrong call, not a broken host."""
    with pytest.raises(UsageError, match="auto, replay"):
        choose("bcc", {"replay": a_replay})


def test_choose_auto_reports_each_refusal_when_none_opens(tmp_path: Path) -> None:
    """One line that says for each loader what it lacks."""
    with pytest.raises(SenseError, match="no loader can see events here: core: the compiled"):
        choose("auto", {"core": lambda: a_core_without_kernel(tmp_path)})


def test_counters_say_which_sum_does_not_hold() -> None:
    """A loss that nobody counted is named."""
    good = KernelCounters(exec=Fates(seen=6, own=1, known=1, submitted=2, suppressed=1, failed=1), received={"exec": 2})
    unbalanced = KernelCounters(exec=Fates(seen=6, submitted=5), received={"exec": 5})
    swallowed = KernelCounters(exec=Fates(seen=5, submitted=5), received={"exec": 4})

    assert good.mismatches() == []
    assert good.lost == 1
    assert unbalanced.mismatches()[0].startswith("exec: seen 6")
    assert swallowed.mismatches() == ["submitted 5, received 4"]


@pytest.mark.parametrize(("cpus", "mebibytes"), [(1, 1), (2, 1), (3, 2), (8, 4), (64, 16), (1024, 16)])
def test_ring_grows_with_the_host_within_bounds(cpus: int, mebibytes: int) -> None:
    """A power of two, as the kernel asks."""
    assert ring_bytes_for(cpus) == mebibytes << 20
