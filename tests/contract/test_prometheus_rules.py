"""The shipped Prometheus rules: valid, do what they say, and name only metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from brainkernel.metrics import METRICS, MetricKind
from support.required import missing

DIRECTORY = Path(__file__).resolve().parents[2] / "packaging" / "prometheus"


@pytest.mark.parametrize("words", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")], ids=" ".join)
def test_promtool_is_content_with_the_rules(words: tuple[str, ...]) -> None:
    """Syntax, and the alerts of a made-up host."""
    if shutil.which("promtool") is None:
        missing("promtool", "apt-get install prometheus")

    done = subprocess.run(["promtool", *words], cwd=DIRECTORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_name_only_metrics_and_labels_that_are_declared() -> None:
    """A renamed metric cannot silence an alert."""
    text = (DIRECTORY / "rules.yml").read_text()
    suffixes = ("_bucket", "_sum", "_count")
    known = {m.name for m in METRICS} | {f"{m.name}{s}" for m in METRICS if m.kind is MetricKind.HISTOGRAM for s in suffixes}

    named = set(re.findall(r"\bbrainkernel_[a-z0-9_]+", text))
    labels = {label for selector in re.findall(r"brainkernel_[a-z0-9_]+\{([^}]*)\}", text) for label in re.findall(r"(\w+)=", selector)}

    assert named <= known
    assert labels <= {label for m in METRICS for label in m.labels}
