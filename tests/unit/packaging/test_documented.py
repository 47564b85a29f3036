"""Nothing that a person can use is undocumented: commands, options, settings, metrics."""

from __future__ import annotations

import argparse
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel.cli.catalogue import ALL
from brainkernel.cli.parser import parser_of
from brainkernel.config import Config, load
from brainkernel.metrics import METRICS

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def manual() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manual", ROOT / "packaging/deb/manual.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(page: str) -> str:
    return page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def test_every_command_is_in_the_manual(manual: ModuleType) -> None:
    """With a section of its own."""
    page = plain(manual.command_page())

    assert [e.name for e in ALL if f".SS {e.name}\n" not in page] == []


def test_every_command_is_in_the_guide() -> None:
    """The operator's guide lists what there is, and nothing that is not."""
    guide = (ROOT / "docs/operating.md").read_text()
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", guide.partition("## All commands")[2], re.MULTILINE)

    assert sorted(name for row in rows for name in re.findall(r"`([\w-]+)`", row)) == sorted(e.name for e in ALL)


def test_every_option_says_what_it_does() -> None:
    """Help is where the manual and the completions have theirs from."""
    (commands,) = (a for a in parser_of(None)._actions if isinstance(a, argparse._SubParsersAction))

    silent = [f"{name} {action.dest}" for name, parser in commands.choices.items() for action in parser._actions if not action.help]

    assert silent == []


def test_every_setting_is_in_the_manual_with_a_sentence(manual: ModuleType) -> None:
    """All tables, all keys; a key without a description is one that nobody understands."""
    page = plain(manual.settings_page())
    found = {f"{section.name}.{one.name}": one.help for section in manual.sections() for one in section.settings}

    assert [name for name, text in found.items() if not text] == []
    assert set(_keys_of(msgspec.to_builtins(Config()))) == set(found)
    assert [name for name in found if f".B {name.rpartition('.')[2]}\n" not in page] == []


def test_installed_configuration_means_the_defaults(manual: ModuleType, tmp_path: Path) -> None:
    """As it is, and with every line uncommented."""
    text = manual.default_settings()
    as_installed, uncommented = tmp_path / "a/a.toml", tmp_path / "b/b.toml"
    for file in (as_installed, uncommented):
        file.parent.mkdir()
    as_installed.write_text(text)
    uncommented.write_text(re.sub(r"^#(?=\w+ = |\[)", "", text, flags=re.MULTILINE))

    assert load(as_installed) == Config()
    assert load(uncommented) == Config()
    assert set(_keys_of(tomllib.loads(uncommented.read_text()))) == set(_keys_of(msgspec.to_builtins(Config())))


def test_every_metric_is_in_the_manual(manual: ModuleType) -> None:
    """With its help and its labels."""
    page = plain(manual.metrics_page())

    assert [m.name for m in METRICS if not m.help or f".B {m.name}\n{m.help}" not in page] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_every_command(manual: ModuleType, shell: str) -> None:
    """As the package installs them."""
    script = manual.completion(shell)

    assert [e.name for e in ALL if e.name not in script] == []


def _keys_of(table: dict[str, object], prefix: str = "") -> list[str]:
    keys = []
    for name, value in table.items():
        keys += _keys_of(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys
