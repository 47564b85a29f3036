"""The gateway as a process: no rights, asks a real client's model, serves metrics, bears every absence."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.link.asker import Answered, Late, TimedOut
from brainkernel.link.messages import LocalModelOnly
from brainkernel.model import Category
from support import loopback
from support.fake_groq import API_KEY, FakeGroq
from support.fake_ollama import FakeOllama
from support.gateway_process import NOBODY, DaemonEnd, daemon_end, fetched, gateway, read_line, status_of
from support.questions import a_question, answer_for

if TYPE_CHECKING:
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="dropping privileges needs root to begin with: run the tests as root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    # pytest's own directories are closed to others; the gateway is somebody else by then.
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and str(directory).count("/") > 1:
            directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path / "gateway.sock"


@as_root
def test_gateway_has_no_rights_whatever(path: Path) -> None:
    """Started as root: another user, no groups, no capability in any set, none to gain, and it ends with its parent."""
    with daemon_end(path) as daemon, gateway(path) as process:
        daemon.until(lambda: daemon.asker.hello)
        status = status_of(process.pid)
        threads = [status_of(int(tid)) for tid in os.listdir(f"/proc/{process.pid}/task")]  # noqa: PTH208

    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"] == ""
    for one in (status, *threads):
        assert {one[k] for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert one["NoNewPrivs"] == "1"


@as_root
@pytest.mark.parametrize(("user", "words"), [("root", "must not run as root"), ("0", "must not run as root"), ("nosuchuser", "no user")])
def test_gateway_refuses_to_go_on_as_root(path: Path, user: str, words: str) -> None:
    """Whoever starts it as root names somebody else, or it ends with the reason and exit code 3."""
    with gateway(path, user=user) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 3
    assert words in errors
    assert "Traceback" not in errors


@as_root
def test_gateway_ends_with_its_parent(path: Path) -> None:
    """A daemon that is killed leaves no gateway behind."""
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import os, sys\\n"
        "from brainkernel.gateway import privileges\\n"
        "privileges.drop(65534, dies_with_parent=os.getppid())\\n"
        "print(os.getpid(), flush=True)\\n"
        "sys.stdin.read()'], stdin=subprocess.PIPE)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        try:
            assert select.select([child], [], [], 30)[0]  # a pidfd is readable once its process has ended
        finally:
            os.close(child)


def test_gateway_answers_with_the_model_of_an_ollama(path: Path) -> None:
    """From the daemon's question over the socket, through the real client and HTTP, back to a proposed verdict."""
    model = FakeOllama(answer_for)
    with model.running(), daemon_end(path) as daemon, gateway(path, environment={"OLLAMA_HOST": model.host}):
        hello = daemon.until(lambda: daemon.asker.hello)
        asked = daemon.asker.ask([a_question(), a_question()], 30_000)
        daemon.until(lambda: daemon.outcomes)

    assert (hello.backend, hello.model) == ("ollama", "llama3.2:3b")
    (answered,) = daemon.outcomes
    assert isinstance(answered, Answered)
    assert answered.id == asked
    assert [v.category if v else None for v in answered.verdicts] == [Category.BACKGROUND] * 2
    assert answered.usage is not None
    assert answered.usage.tokens_in == 300


def test_gateway_falls_back_from_groq_to_ollama(path: Path) -> None:
    """Groq is down; the same question is answered by the local model."""
    cloud, local = FakeGroq(answer_for), FakeOllama(answer_for)
    cloud.fault = loopback.status(503)
    keys = {"GROQ_API_KEY": API_KEY, "GROQ_BASE_URL": cloud.base_url, "OLLAMA_HOST": local.host}
    with cloud.running(), local.running(), daemon_end(path) as daemon, gateway(path, environment=keys):
        hello = daemon.until(lambda: daemon.asker.hello)
        daemon.asker.ask([a_question()], 30_000)
        daemon.until(lambda: daemon.outcomes)

    (answered,) = daemon.outcomes
    assert hello.backend == "groq"
    assert isinstance(answered, Answered)
    assert answered.usage is not None
    assert answered.usage.backend == "ollama"
    assert len(cloud.requests) > 1


def backend_that_answers(daemon: DaemonEnd, *, local_only: bool, first: str) -> str:
    """Which one does, once the gateway was told and has said that it asks this one first."""
    daemon.until(lambda: daemon.asker.hello)
    daemon.asker.tell(LocalModelOnly(local_only))
    daemon.until(lambda: daemon.asker.hello is not None and daemon.asker.hello.backend == first)
    daemon.asker.ask([a_question()], 30_000)
    daemon.until(lambda: daemon.outcomes)
    answered = daemon.outcomes.pop()
    return answered.usage.backend if isinstance(answered, Answered) and answered.usage else ""


def test_gateway_asks_local_models_alone_while_an_alert_says_so(path: Path) -> None:
    """The daemon hears which one that is; the cloud model is asked again as soon as it may be."""
    cloud, local = FakeGroq(answer_for), FakeOllama(answer_for)
    keys = {"GROQ_API_KEY": API_KEY, "GROQ_BASE_URL": cloud.base_url, "OLLAMA_HOST": local.host}
    with cloud.running(), local.running(), daemon_end(path) as daemon, gateway(path, environment=keys):
        answered = [backend_that_answers(daemon, local_only=first == "ollama", first=first) for first in ("groq", "ollama", "groq")]

    assert answered == ["groq", "ollama", "groq"]
    assert (len(cloud.requests), len(local.requests)) == (2, 1)


def test_gateway_still_sends_what_came_late(path: Path) -> None:
    """A slow model misses the daemon's deadline; its answer arrives all the same, marked as late."""
    hold = threading.Event()

    def slow(request: dict[str, object]) -> str:
        hold.wait(30)
        return answer_for(request)

    model = FakeOllama(slow)
    with model.running(), daemon_end(path) as daemon, gateway(path, environment={"OLLAMA_HOST": model.host}):
        daemon.until(lambda: daemon.asker.hello)
        asked = daemon.asker.ask([a_question()], 200)
        daemon.until(lambda: daemon.outcomes)
        hold.set()
        daemon.until(lambda: len(daemon.outcomes) == 2)

    assert daemon.outcomes[0] == TimedOut(str(asked))
    assert isinstance(daemon.outcomes[1], Late)
    assert daemon.outcomes[1].verdicts[0] is not None


def test_gateway_without_a_model_says_so_and_answers(path: Path) -> None:
    """No LLM is a normal state: the greeting names what was looked for, a question gets its cause."""
    with daemon_end(path) as daemon, gateway(path):
        hello = daemon.until(lambda: daemon.asker.hello)
        daemon.asker.ask([a_question()], 30_000)
        daemon.until(lambda: daemon.outcomes)

    (answered,) = daemon.outcomes
    assert hello.backend == "none"
    assert "GROQ_API_KEY is not set" in hello.reason
    assert isinstance(answered, Answered)
    assert (answered.verdicts, answered.failure) == ((None,), "no_backend")


def test_gateway_serves_both_processes_figures(path: Path) -> None:
    """One scrape shows what the daemon counted and what the gateway counted."""
    model = FakeOllama(answer_for)
    with model.running(), daemon_end(path) as daemon, gateway(path, environment={"OLLAMA_HOST": model.host}):
        daemon.figures.add(metrics.DECISIONS, "left_alone", by=7)
        hello = daemon.until(lambda: daemon.asker.hello)
        daemon.asker.ask([a_question()], 30_000)
        daemon.until(lambda: daemon.outcomes)
        pages: list[str] = []
        scrape = threading.Thread(target=lambda: pages.append(fetched(f"{hello.listening}metrics")))
        scrape.start()
        daemon.until(lambda: pages)
        scrape.join()

    assert 'brainkernel_decisions_total{kind="left_alone"} 7.0' in pages[0]
    assert 'brainkernel_llm_calls_total{backend="ollama",result="ok"} 1.0' in pages[0]
    assert 'brainkernel_llm_tokens_total{backend="ollama",direction="in"} 300.0' in pages[0]
    assert 'brainkernel_resident_memory_bytes{process="gateway"}' in pages[0]
    assert "brainkernel_daemon_connected 1.0" in pages[0]


def test_gateway_works_while_the_daemon_is_away_and_finds_it_again(path: Path) -> None:
    """Started first, left alone, found, lost and found again: metrics all the while, one line for each change."""
    with gateway(path) as process:
        assert "daemon away" in read_line(process, "gateway: daemon away")
        url = read_line(process, "gateway: metrics at ").removeprefix("gateway: metrics at ")
        assert "brainkernel_daemon_connected 0.0" in fetched(url)
        for _ in range(2):
            with daemon_end(path) as daemon:
                daemon.until(lambda: daemon.asker.hello)
            read_line(process, "gateway: daemon away")
        assert fetched(url.replace("metrics", "healthz")) == "ok, daemon away\n"


def test_gateway_does_not_talk_to_a_daemon_of_another_user(path: Path) -> None:
    """A socket that somebody else put there learns nothing."""
    with daemon_end(path) as daemon, gateway(path, daemon_uid=12345) as process:
        daemon.until(lambda: daemon.asker.connected)
        line = read_line(process, f"gateway: {path}")
        daemon.until(lambda: not daemon.asker.connected)

    assert "not to the daemon's 12345" in line
    assert daemon.asker.hello is None


def test_gateway_goes_on_without_a_port_that_is_taken(path: Path) -> None:
    """Somebody else's 9750 costs the metrics, not the verdicts."""
    with socket.create_server(("127.0.0.1", 0)) as taken, daemon_end(path) as daemon:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with gateway(path, {"http": {"listen": listen}}) as process:
            hello = daemon.until(lambda: daemon.asker.hello)
            line = read_line(process, "gateway: no metrics")

    assert line == f"gateway: no metrics: cannot listen on {listen}: Address already in use; set http.listen to another port"
    assert hello.listening == ""


def test_gateway_ends_at_sigterm(path: Path) -> None:
    """With exit code 0, and no noise."""
    with daemon_end(path) as daemon, gateway(path) as process:
        daemon.until(lambda: daemon.asker.hello)
        process.terminate()
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "Warning" not in errors


def test_gateway_needs_no_file_after_it_gave_up_its_rights(path: Path) -> None:
    """Its package may lie under /root: all is loaded before, so a question imports nothing more."""
    cloud = FakeGroq(answer_for)
    script = f"""
import json, sys
from brainkernel.config import Config, Http, Llm
from brainkernel.gateway.service import Gateway
from support.questions import a_question
from pathlib import Path
gateway = Gateway(Path({str(path)!r}), Config(http=Http(listen="127.0.0.1:0"), llm=Llm(backend="groq")), say=lambda text: None)
gateway.preload()
before = set(sys.modules)
gateway._look_once()
now = gateway._clock.boot_ns()
result = gateway._caller.ask([a_question()], soft_ns=now + 30 * 10**9, hard_ns=now + 30 * 10**9)
gateway.metrics_text()
print(json.dumps([result.failure, sorted(set(sys.modules) - before)]))
"""
    with cloud.running():
        keys = {"GROQ_API_KEY": API_KEY, "GROQ_BASE_URL": cloud.base_url, "PYTHONPATH": "tests"}
        done = subprocess.run([sys.executable, "-c", script], env=os.environ | keys, capture_output=True, text=True, check=True)

    failure, loaded = json.loads(done.stdout)
    assert failure == ""
    assert loaded == []


def test_dashboard_needs_no_file_after_the_gateway_gave_up_its_rights(path: Path) -> None:
    """All pages are in memory, and serving them, figures and live events imports nothing more."""
    script = f"""
import json, sys
from brainkernel.config import Config, Http, Llm
from brainkernel.gateway.service import Gateway
from pathlib import Path
from support.gateway_process import fetched
fetched("data:,warm")
gateway = Gateway(Path({str(path)!r}), Config(http=Http(listen="127.0.0.1:0"), llm=Llm(backend="none")), say=lambda text: None)
gateway.preload()
gateway.http.start()
before = set(sys.modules)
pages = [fetched(gateway.http.url + p) for p in ("", "metrics", "healthz", "static/dashboard.js", "static/vendor/uplot/uPlot.esm.js")]
import urllib.error, urllib.request
for place in ("api/decisions", "api/series?range=300&name=x", "nothing", "login"):
    try:
        fetched(gateway.http.url + place)
    except urllib.error.HTTPError as error:
        error.close()
with urllib.request.urlopen(gateway.http.url + "api/live") as stream:
    stream.readline(), stream.readline(), stream.readline()
gateway.close()
print(json.dumps([len(pages), sorted(m for m in set(sys.modules) - before if not m.startswith(("http.", "urllib.")))]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": "tests"}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [5, []]
