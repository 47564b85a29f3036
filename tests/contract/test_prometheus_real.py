"""A real Prometheus scrapes a real gateway: the shipped rules are evaluated, and every query of the Grafana dashboards has an answer."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.gateway.web.token import Token
from brainkernel.metrics import METRICS, Figures, MetricKind
from support.gateway_process import PATIENCE_S, daemon_end, fetched, gateway
from support.prometheus import prometheus
from support.web_server import port_of, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from support.prometheus import Prometheus

GRAFANA = Path(__file__).resolve().parents[2] / "packaging/grafana"
# What the queries select by; any other label has one value.
SELECTED = {
    "fate": ("seen", "failed"), "result": ("ok", "failed"), "window": ("24h",), "process": ("daemon",), "resource": ("cpu", "io"),
    "by": ("decision",), "budget": ("total",), "measure": ("false_positive", "satisfaction"), "stage": ("total", "gate"),
}  # fmt: skip
FILLED_IN = {"$__rate_interval": "20s", "$__range": "1m", "$instance": ".*"}


def views() -> ModuleType:
    spec = importlib.util.spec_from_file_location("views", GRAFANA / "views.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queries() -> list[tuple[str, str]]:
    """(dashboard and panel, expression) of all that is shipped."""
    dashboards = [json.loads(file.read_text()) for file in sorted(GRAFANA.glob("*.json"))]
    return [(f"{d['uid']}: {p['title']}", t["expr"]) for d in dashboards for p in d["panels"] for t in p["targets"]]


def move(figures: Figures, tick: int) -> None:
    """One moment of a host on which everything happens."""
    for metric in METRICS:
        for place in range(max([len(SELECTED.get(name, ("x",))) for name in metric.labels], default=1)):
            labels = [(values := SELECTED.get(name, (f"a_{name}",)))[place % len(values)] for name in metric.labels]
            if metric.kind is MetricKind.HISTOGRAM:
                figures.observe(metric, 0.002 * (1 + tick % 7), *labels)
            elif metric.kind is MetricKind.COUNTER:
                figures.add(metric, *labels, by=1 + place)
            else:
                figures.set(metric, (1 + tick % 5) / 10, *labels)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    stop = threading.Event()
    with daemon_end(directory / "gateway.sock") as daemon, gateway(directory / "gateway.sock"):
        url = daemon.until(lambda: daemon.asker.hello).listening

        def serve() -> None:
            for tick in range(int(PATIENCE_S) * 50):
                if stop.wait(0.02):
                    return
                if tick % 10 == 0:
                    move(daemon.figures, tick // 10)
                daemon.asker.on_readable()
                daemon.asker.poll(daemon.clock.boot_ns())

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            with prometheus(directory, url.removeprefix("http://").rstrip("/")) as server:
                until(lambda: server.values("count_over_time(brainkernel:decision_seconds:mean_5m[5m]) > 5"))
                yield server
        finally:
            stop.set()
            serving.join()


def until(reached: Any) -> Any:
    ends = time.monotonic() + PATIENCE_S
    while not (result := reached()):
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.2)
    return result


def test_prometheus_scrapes_the_gateway(scraped: Prometheus) -> None:
    """The target is up, nothing of the exposition is refused, and both processes' figures are there."""
    (target,) = scraped.api("targets")["activeTargets"]

    assert (target["health"], target["lastError"]) == ("up", "")
    assert scraped.values("brainkernel_daemon_connected") == [1]
    assert scraped.values('count(count by (__name__) ({__name__=~"brainkernel_.*"}))')[0] >= len(METRICS)


def test_promtool_has_nothing_to_say_about_a_real_scrape(scraped: Prometheus) -> None:
    """`promtool check metrics` on what the gateway serves."""
    (target,) = scraped.api("targets")["activeTargets"]
    text = fetched(target["scrapeUrl"])

    checked = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_shipped_rules_are_evaluated(scraped: Prometheus) -> None:
    """Each rule runs without an error, the recorded series are there, and an alert whose condition holds is pending or fires."""
    rules = until(lambda: [r for g in scraped.api("rules")["groups"] for r in g["rules"] if r["health"] != "unknown"])
    alerts = {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}

    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []
    for name in ("decision_seconds:p95_5m", "decision_seconds:mean_5m", "decisions:rate_5m", "llm_calls:success_ratio_5m"):
        assert scraped.values(f"brainkernel:{name}"), name
    assert alerts["BrainKernelEventsLost"] == "firing"
    assert alerts["BrainKernelLlmFailing"] in ("pending", "firing")
    assert alerts["BrainKernelDown"] == "inactive"


@pytest.mark.parametrize(("place", "expression"), queries(), ids=lambda text: text[:60])
def test_every_query_of_grafana_has_an_answer(scraped: Prometheus, place: str, expression: str) -> None:
    """It parses, names metrics and labels that exist, and gives a number."""
    for variable, value in FILLED_IN.items():
        expression = expression.replace(variable, value)

    values = until(lambda: scraped.values(expression))

    assert [v for v in values if math.isfinite(v)], place


@pytest.mark.parametrize(("word", "health"), [("0123456789abcdef-the-word", "up"), ("another-word-of-somebody", "down")])
def test_prometheus_shows_the_token_that_is_asked_for(tmp_path: Path, word: str, health: str) -> None:
    """As docs/operating.md has it (authorization: credentials_file); with a wrong one it gets nothing."""
    with (
        serving(token=Token("0123456789abcdef-the-word")) as server,
        prometheus(tmp_path, f"127.0.0.1:{port_of(server)}", word) as scraping,
    ):
        (target,) = until(lambda: [t for t in scraping.api("targets")["activeTargets"] if t["health"] != "unknown"])

    assert target["health"] == health
    assert health == "up" or "401" in target["lastError"]


def test_dashboards_are_what_views_make() -> None:
    """Nobody edits the JSON by hand; the five views are those of the gateway's own dashboard."""
    module = views()
    script = (GRAFANA.parents[1] / "agent/brainkernel/gateway/web/static/views.js").read_text()

    assert sorted(file.stem for file in GRAFANA.glob("*.json")) == sorted(view.id for view in module.VIEWS)
    for view in module.VIEWS:
        assert (GRAFANA / f"{view.id}.json").read_text() == module.text_of(view), "packaging/grafana/views.py writes it"
        assert f"id: '{view.id}'" in script
        assert all(panel["targets"] for panel in json.loads(module.text_of(view))["panels"])
