"""A real Prometheus (Debian's) that scrapes one target each second and evaluates the shipped rules."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.required import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = Path(__file__).resolve().parents[2] / "packaging/prometheus/rules.yml"
PATIENCE_S = 120.0
_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: brainkernel
    static_configs: [{{targets: ["{target}"]}}]
{authorization}
"""


@dataclass(frozen=True)
class Prometheus:
    """Its address."""

    url: str

    def api(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as response:  # noqa: S310 # loopback
            return json.load(response)["data"]

    def values(self, expression: str) -> list[float]:
        """The values of all series of an instant query; raises HTTPError for one that is none."""
        return [float(series["value"][1]) for series in self.api("query", query=expression)["result"]]


@contextlib.contextmanager
def prometheus(directory: Path, target: str, token: str = "") -> Iterator[Prometheus]:
    """Run it until the end of the block; the test is skipped where it is not installed."""
    if shutil.which("prometheus") is None:
        missing("prometheus", "apt-get install prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (directory / "token").write_text(token)
    authorization = f"    authorization: {{credentials_file: {directory}/token}}" if token else ""
    config = directory / "prometheus.yml"
    config.write_text(_CONFIG.format(rules=RULES, target=target, authorization=authorization))
    log = directory / "prometheus.log"
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address={address}", "--log.level=warn"]
    with log.open("w") as errors:
        process = subprocess.Popen(["prometheus", *arguments], stderr=errors, stdout=errors)
    try:
        made = Prometheus(f"http://{address}")
        until_ready(made, process, log)
        yield made
    finally:
        process.kill()
        process.wait()


def until_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):  # noqa: S310 # loopback
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.1)
