"""The package as it is meant to be used: a language model names a stranger, the stranger is slowed, Prometheus sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_ollama import FakeOllama
from support.questions import an_answer, an_entry

from vm.inside import deb
from vm.inside.agent import QUOTA_PCT
from vm.inside.hogs import quota_pct_of
from vm.inside.units import STRANGER, STRANGERS_UNIT, a_unit, a_victim
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAYS_ENVIRONMENT = Path("/etc/default/brainkernel-gateway")
KEY = Path("/etc/credstore/brainkernel.groq-api-key")
PROMETHEUS = "prometheus-of-the-test.service"
LIMITED_WITHIN_S = SCRAPED_WITHIN_S = 240.0
CONFIG = f"""
[agent]
mode = "enforce"

[policy]
lease_s = 900       # so that it stands until Prometheus has come by

[policy.background]
limits = ["cpu_quota={QUOTA_PCT:g}%"]

[llm]
backend = "ollama"
may_act = true      # the fake has sat no exam
deadline_ms = 20000 # under emulation
"""


# Whoever suffers must stay what it is, or it would be slowed down, too.
def only_the_stranger_is_background(request: dict[str, Any]) -> str:
    """Answer for each program that is asked about."""
    lines = request["messages"][-1]["content"].splitlines()
    return an_answer(*(an_entry(n, category="background" if str(STRANGER) in line else "service") for n, line in enumerate(lines, 1)))


@pytest.fixture
def ollama(package: deb.Installed) -> Iterator[FakeOllama]:
    """A model that takes the stranger for background work, where /etc/default says that it is."""
    as_installed = GATEWAYS_ENVIRONMENT.read_text()
    model = FakeOllama(only_the_stranger_is_background)
    with model.running():
        GATEWAYS_ENVIRONMENT.write_text(f"{as_installed}OLLAMA_HOST={model.host}\n")
        deb.forget_all(CONFIG)
        output_of("systemctl", "restart", deb.GATEWAY)
        yield model
    GATEWAYS_ENVIRONMENT.write_text(as_installed)
    output_of("systemctl", "restart", deb.GATEWAY)


@pytest.fixture
def _prometheus(tmp_path: Path) -> Iterator[None]:
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 2s}\n"
        "rule_files: [/usr/share/brainkernel/prometheus/rules.yml]\n"
        'scrape_configs: [{job_name: brainkernel, static_configs: [{targets: ["127.0.0.1:9750"]}]}]\n'
    )
    command = [
        "/usr/bin/prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path}/data",
        "--web.listen-address=127.0.0.1:9090",
    ]
    output_of("systemd-run", "--quiet", "--collect", f"--unit={PROMETHEUS}", *command)
    yield
    output_of("systemctl", "stop", PROMETHEUS)


# Gone again before the end: what the package leaves behind is looked for everywhere.
@pytest.fixture
def _stranger() -> Iterator[None]:
    STRANGER.parent.mkdir(parents=True)
    shutil.copy("/usr/bin/yes", STRANGER)
    yield
    shutil.rmtree(STRANGER.parents[1])


@pytest.mark.usefixtures("_prometheus", "_stranger")
def test_deb_limits_what_a_language_model_took_for_background_work_and_prometheus_sees_it(ollama: FakeOllama) -> None:
    """From the kernel's event through daemon, gateway and HTTP to a verdict, a quota, and a real Prometheus' samples."""
    wait_until(lambda: deb.status()["llm"]["backend"] == "ollama", "the gateway's model", within_s=deb.START_S, every_s=1)

    with a_unit(STRANGER, name=STRANGERS_UNIT) as hog:
        with deb.explained(STRANGER), a_victim():
            wait_until(lambda: quota_pct_of(hog.cgroup), "a quota on the stranger", within_s=LIMITED_WITHIN_S)
        (limit,) = [json.loads(line) for line in output_of(deb.COMMAND, "list", "--active", "--json").splitlines()]
        told = output_of(deb.COMMAND, "explain", str(limit["id"]))

        assert quota_pct_of(hog.cgroup) == pytest.approx(QUOTA_PCT)
        assert "llama3.2:3b" in told
        assert "indexes files" in told  # the model's reason
        assert any(str(STRANGER) in request["messages"][-1]["content"] for request in ollama.requests)

        wait_until(lambda: _samples("up") == [1.0], "a scrape", within_s=SCRAPED_WITHIN_S, every_s=2)
        wait_until(lambda: _samples("brainkernel_limits_active") == [1.0], "the limit in Prometheus", within_s=SCRAPED_WITHIN_S, every_s=2)
        assert sum(_samples('brainkernel_llm_calls_total{backend="ollama"}')) >= 1
        assert _samples("brainkernel_daemon_connected") == [1.0]


def test_deb_gateway_alone_gets_the_key_from_the_credential_store(package: deb.Installed) -> None:
    """A file that only root may read; it is in no environment that others see, and not the daemon's."""
    is_new = not KEY.parent.exists()
    KEY.parent.mkdir(mode=0o700, exist_ok=True)
    KEY.touch(mode=0o600)
    KEY.write_text("gsk_of_the_test\n")
    try:
        output_of("systemctl", "restart", deb.GATEWAY)
        wait_until(lambda: deb.active(deb.GATEWAY), "the gateway", within_s=deb.START_S)
        credential = Path(f"/run/credentials/{deb.GATEWAY}/groq-api-key")

        assert credential.read_text() == "gsk_of_the_test\n"
        assert "gsk_of_the_test" not in output_of("systemctl", "show", deb.GATEWAY, deb.DAEMON)
        assert _open_to(f"/run/credentials/{deb.GATEWAY}/groq-api-key", "alice") is False
    finally:
        KEY.unlink()
        if is_new:
            KEY.parent.rmdir()
        output_of("systemctl", "restart", deb.GATEWAY)


def _samples(query: str) -> list[float]:
    url = f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
    except OSError:
        return []  # it has not started yet
    return [float(one["value"][1]) for one in found["data"]["result"]]


def _open_to(path: str, user: str) -> bool:
    return subprocess.run(["setpriv", f"--reuid={user}", "--clear-groups", "cat", path], capture_output=True, check=False).returncode == 0
