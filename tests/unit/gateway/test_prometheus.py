"""Figures as Prometheus' text: right for the real promtool, and robust against a snapshot that is not one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from brainkernel import metrics
from brainkernel.gateway.prometheus import SERIES_MAX, SharedFigures, SnapshotCollector, resident_bytes, text_of
from brainkernel.metrics import METRICS, Figures, MetricKind
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.required import missing


def filled() -> Figures:
    """Figures in which every metric has a value, each label once with text that needs escaping."""
    figures = Figures()
    for metric in METRICS:
        labels = [f'{name}"\\\n' for name in metric.labels]
        if metric.kind is MetricKind.HISTOGRAM:
            for seconds in (0.0, 0.000_05, 0.0007, 2.0, 99.0):
                figures.observe(metric, seconds, *labels)
        else:
            figures.add(metric, *labels, by=3)
    return figures


def samples_of(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_text_is_clean_for_promtool() -> None:
    """`promtool check metrics` of the real Prometheus finds nothing to say about any declared metric."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "apt-get install prometheus")

    checked = subprocess.run([promtool, "check", "metrics"], input=text_of([filled().snapshot()]), capture_output=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_text_has_every_declared_metric_with_its_help() -> None:
    """What is declared once in metrics.py is exported, under that name, with that help and kind."""
    families = {f.name: f for f in text_string_to_metric_families(text_of([filled().snapshot()]).decode())}

    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.documentation == metric.help
        assert family.type == metric.kind.value


def test_text_counts_a_duration_in_every_bucket_that_holds_it() -> None:
    """Buckets are cumulative, the last is everything, and the sum is in seconds."""
    figures = Figures()
    for seconds in (0.0003, 0.002, 50.0):
        figures.observe(metrics.LLM_SECONDS, seconds, "ollama")

    samples = samples_of(text_of([figures.snapshot()]))

    def bucket(bound: str) -> float:
        return samples["brainkernel_llm_seconds_bucket", (("backend", "ollama"), ("le", bound))]

    assert [bucket(b) for b in ("0.00025", "0.0005", "0.0025", "10.0", "+Inf")] == [0, 1, 2, 2, 3]
    assert samples["brainkernel_llm_seconds_sum", (("backend", "ollama"),)] == pytest.approx(50.0023)


def test_text_adds_the_daemons_and_the_gateways_figures() -> None:
    """The same counter of both processes is one series."""
    one, other = Figures(), Figures()
    one.add(metrics.PROTOCOL_ERRORS, "gateway", "malformed")
    other.add(metrics.PROTOCOL_ERRORS, "gateway", "malformed", by=2)
    one.observe(metrics.LLM_SECONDS, 1.0, "groq")
    other.observe(metrics.LLM_SECONDS, 1.0, "groq")

    samples = samples_of(text_of([one.snapshot(), other.snapshot()]))

    assert samples["brainkernel_protocol_errors_total", (("cause", "malformed"), ("socket", "gateway"))] == 3
    assert samples["brainkernel_llm_seconds_count", (("backend", "groq"),)] == 2


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        [["a"]],
        [["a"], 1],
        [["a", "b", "c"], 1],
        [["a", 7], 1],
        [["a", "b"], True],
        [["a", "b"], "1"],
        [["a", "b"], float("nan")],
        [["a", "b"], float("inf")],
        [["a", "b"], [1, 2]],
    ],
    ids=str,
)
def test_text_leaves_out_what_is_not_of_the_declared_shape(entry: Any) -> None:
    """A value that is none costs itself, and is counted."""
    collector = SnapshotCollector([{metrics.PROTOCOL_ERRORS.name: [entry, [["x", "y"], 1]]}])

    (family,) = collector.collect()

    assert [s.value for s in family.samples] == [1]
    assert collector.dropped == 1


def test_text_bounds_the_series_of_a_metric() -> None:
    """Labels out of control do not become a flood for Prometheus."""
    collector = SnapshotCollector([{metrics.DECISIONS.name: [[[str(n)], 1] for n in range(SERIES_MAX + 10)]}])

    (family,) = collector.collect()

    assert len(family.samples) == SERIES_MAX
    assert collector.dropped == 10


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([m.name for m in METRICS]) | st.text(max_size=5), json_values))
def test_text_is_made_of_any_snapshot(snapshot: dict[str, Any]) -> None:
    """A snapshot came over a socket: whatever is in it, there is text, and it parses."""
    list(text_string_to_metric_families(text_of([snapshot]).decode()))


def test_shared_figures_are_figures() -> None:
    """The lock changes nothing in what is counted."""
    figures = SharedFigures()
    figures.add(metrics.DECISIONS, "x")
    figures.set(metrics.DAEMON_CONNECTED, 1)
    figures.observe(metrics.LLM_SECONDS, 1.0, "groq")
    plain = Figures()
    plain.add(metrics.DECISIONS, "x")
    plain.set(metrics.DAEMON_CONNECTED, 1)
    plain.observe(metrics.LLM_SECONDS, 1.0, "groq")

    assert figures.snapshot() == plain.snapshot()


def test_resident_memory_is_the_second_field_of_statm(tmp_path: Path) -> None:
    """proc(5): size resident shared text lib data dt, in pages."""
    statm = tmp_path / "statm"
    statm.write_text("9000 1234 500 1 0 800 0\n")

    assert resident_bytes(statm, 4096) == 1234 * 4096
    assert resident_bytes(Path("/proc/self/statm"), 4096) > 1 << 20
