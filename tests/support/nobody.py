"""Running a command as the user nobody, from a tree that nobody may not be able to read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; run the tests as root")

_CODE = """
import importlib, os, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
from brainkernel.cli import main
sys.exit(main(sys.argv[2:]))
"""


def as_nobody(words: list[str], *, modules: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one command line; `modules` are imported while files can still be read."""
    everything = ["brainkernel.cli.parser", *modules]
    return subprocess.run([sys.executable, "-c", _CODE, ",".join(everything), *words], capture_output=True, text=True, check=False)
