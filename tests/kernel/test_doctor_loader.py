from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.kernel import require_kernel

if TYPE_CHECKING:
    from pathlib import Path


def loader_check(tmp_path: Path, *wrapped_in: str) -> dict[str, Any]:
    """What doctor says of the loader."""
    command = [*wrapped_in, sys.executable, "-m", "brainkernel", "doctor", "--json"]
    done = subprocess.run([*command, "--state-dir", tmp_path, "--runtime-dir", tmp_path], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1)
    return next(check for check in answer["checks"] if check["name"] == "loader")


def test_doctor_says_which_loader_sees_everything_here(tmp_path: Path) -> None:
    """Found out by loading it into this kernel, not by its version."""
    require_kernel()

    check = loader_check(tmp_path)

    assert check == {"name": "loader", "state": "ok", "text": "core: sees all there is to see", "remedy": ""}


@pytest.mark.parametrize(("kept", "state", "says"), [("+net_admin", "warn", "netlink: "), ("-net_admin", "fail", "no loader can see")])
def test_doctor_says_what_is_lost_with_another_loader(tmp_path: Path, kept: str, state: str, says: str) -> None:
    """Where BPF is refused the proc connector is left, and what it cannot see is named; without it nothing is seen."""
    require_kernel()

    check = loader_check(tmp_path, "setpriv", f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}")

    assert check["state"] == state
    assert check["text"].startswith(says)
    assert "lacks CAP_BPF and CAP_PERFMON" in check["text"] + check["remedy"]
