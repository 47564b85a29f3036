"""The regular expressions that read what a process says of itself."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from itertools import product

import brainkernel.classify
import brainkernel.enrich
import brainkernel.gate
import brainkernel.gateway.notify
import pytest
from support.runaways import REPEATED, runs_away

READERS = (brainkernel.classify, brainkernel.enrich, brainkernel.gate, brainkernel.gateway.notify)
MODULES = [f"{package.__name__}.{module.name}" for package in READERS for module in pkgutil.iter_modules(package.__path__)]
BEGINNINGS = ("", ".", "$(", "password=")
PAIRS = [first + second for first, second in product("aA0 `$(){}'\"\\/.-_:=,%@<>[]|&;!#*+?\n", repeat=2)]


@pytest.mark.parametrize("module", MODULES)
def test_no_expression_runs_away(module: str) -> None:
    """Whatever is repeated: redaction stands before the socket, and what it takes is taken from the daemon's loop."""
    expressions = {name: value for name, value in vars(import_module(module)).items() if isinstance(value, re.Pattern)}
    matches = [(name, how, getattr(value, how)) for name, value in expressions.items() for how in ("search", "fullmatch")]

    assert [(name, how) for name, how, match in matches if runs_away(match, BEGINNINGS, (*PAIRS, *REPEATED))] == []
