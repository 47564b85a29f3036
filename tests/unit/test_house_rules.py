"""The rules of STYLE.md that a linter does not know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agent" / "brainkernel"
STAGES = ("sense", "gate", "enrich", "classify", "decide", "act", "observe", "learn", "store", "alerting")
NOUNS = {"model", "config", "errors", "clock", "metrics", "escape"}
HTTP = ("http", "urllib.request", "httpx", "requests", "aiohttp", "groq", "ollama", "prometheus_client", "asyncio", "ssl", "numpy")
FILE_LINES_MAX = 400
GLOSSARY = "model.py"  # a list of nouns has no inside to get lost in; cutting it would part what is read together
FUNCTION_LINES_MAX = 40

SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imports_of(file: Path) -> set[str]:
    """Names of all modules a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def own(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", [f for f in SOURCES if f.relative_to(PACKAGE).parts[0] in STAGES], ids=own)
def test_stage_imports_the_nouns_and_itself_alone(file: Path) -> None:
    """A stage never imports another stage, the daemon or the wire."""
    stage = file.relative_to(PACKAGE).parts[0]
    allowed = NOUNS | {stage}

    strangers = {n for n in imports_of(file) if n.startswith("brainkernel.") and n.split(".")[1] not in allowed}

    assert strangers == set()


@pytest.mark.parametrize("file", [f for f in SOURCES if f.relative_to(PACKAGE).parts[0] not in {"gateway", "cli"}], ids=own)
def test_privileged_code_imports_no_http_client_and_no_llm(file: Path) -> None:
    """What runs as root does not speak HTTP, in no branch of it."""
    assert not [n for n in imports_of(file) for h in HTTP if n == h or n.startswith(f"{h}.")]


def test_daemon_process_loads_no_http_client_indirectly() -> None:
    """No dependency brings one in behind our back: the modules of a process that imported the whole daemon are looked at."""
    probe = "import brainkernel.composition, brainkernel.daemon, sys; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()

    assert "brainkernel.daemon" in loaded
    assert [m for m in loaded if m.startswith(tuple(f"{h}." for h in HTTP)) or m in HTTP] == []


@pytest.mark.parametrize("file", [f for f in SOURCES if "act" not in f.relative_to(PACKAGE).parts], ids=own)
def test_only_act_writes_cgroupfs(file: Path) -> None:
    """The names of the files that limit stand as strings to be written in act/ alone."""
    text = file.read_text()

    assert "cgroup.procs" not in text or "write" not in text


@pytest.mark.parametrize("file", [*SOURCES, *TESTS], ids=own)
def test_file_has_one_subject(file: Path) -> None:
    """No file is longer than 400 lines, no function longer than 40 (its docstring not counted)."""
    text = file.read_text()
    long = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            doc_lines = (doc.end_lineno or 0) - doc.lineno + 1 if doc else 0
            lines = (node.end_lineno or 0) - node.lineno + 1 - doc_lines
            if lines > FUNCTION_LINES_MAX:
                long.append(f"{node.name}: {lines}")

    assert len(text.splitlines()) <= FILE_LINES_MAX or file.name == GLOSSARY
    assert long == []


@pytest.mark.parametrize("file", [t for t in TESTS if t.name.startswith("test_")], ids=own)
def test_every_test_says_what_it_promises(file: Path) -> None:
    """A test's docstring is the promise it keeps."""
    tests = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]

    assert [t.name for t in tests if not ast.get_docstring(t)] == []


def test_no_registry_host_is_named_in_a_committed_file() -> None:
    """Where packages come from is the machine's business."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    hosts = ("deb." + "debian.org", "pypi" + ".org", "files.pythonhosted" + ".org", "registry.npmjs" + ".org")
    texts = {f: (ROOT / f).read_bytes() for f in listed if f and (ROOT / f).is_file()}

    assert [f for f, text in texts.items() for host in hosts if host.encode() in text] == []


def test_every_module_beside_the_stages_has_its_place_on_the_map() -> None:
    """A stranger finds in CONTRIBUTING.md what each module and folder is for."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {f.stem for f in PACKAGE.glob("*.py") if not f.stem.startswith("__")}
    folders = {f"{d.name}/" for d in PACKAGE.iterdir() if (d / "__init__.py").is_file() and d.name not in STAGES}

    assert [name for name in sorted(modules | folders) if f"`{name}`" not in text] == []
