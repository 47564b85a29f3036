"""alerts.yaml: the shipped rules load, and each mistake is named where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from brainkernel.alerting.rules import ActionName, Event, Severity
from brainkernel.alerting.rulesfile import load
from brainkernel.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[3] / "packaging" / "alerts.yaml"
A_RULE = "- name: x\n  severity: error\n  condition: paused == 1\n  actions: [log_alert]\n"
AN_EVENT = "- name: y\n  severity: info\n  on: new_setuid\n  actions: [pause_scheduling]\n"


def written(directory: Path, text: str) -> Path:
    file = directory / "alerts.yaml"
    file.write_text(text)
    return file


def test_shipped_rules_load_as_they_are() -> None:
    """The three rules of the product's promise, unchanged."""
    latency, positives, api = load(SHIPPED)

    assert (latency.name, latency.severity, latency.condition and latency.condition.text) == (
        "high_decision_latency",
        Severity.WARNING,
        "avg_decision_time > 3000",
    )
    assert latency.actions == (ActionName.LOG_ALERT, ActionName.NOTIFY_SLACK, ActionName.SWITCH_TO_CONSERVATIVE_MODE)
    assert positives.severity is Severity.CRITICAL
    assert ActionName.PAUSE_SCHEDULING in positives.actions
    assert api.actions == (ActionName.FALLBACK_TO_LOCAL_MODEL, ActionName.NOTIFY_OPERATIONS)


def test_event_rules_and_times_load(tmp_path: Path) -> None:
    """`on` instead of `condition`; times in words."""
    text = "alert_rules:\n" + A_RULE.replace("  actions", "  for: 5m\n  actions")
    text += "- name: y\n  severity: info\n  on: suspicious_exec\n  cooldown: 1h\n  actions: notify_webhook\n"

    timed, event = load(written(tmp_path, text))

    assert timed.for_ns == 300 * 10**9
    assert (event.on, event.cooldown_ns, event.actions) == (Event.SUSPICIOUS_EXEC, 3600 * 10**9, (ActionName.NOTIFY_WEBHOOK,))


@pytest.mark.parametrize(
    ("on", "actions", "lasts_s"),
    [
        ("on: new_setuid", "[log_alert, pause_scheduling]", 600),
        ("on: new_setuid\n  lasts: 1h", "fallback_to_local_model", 3600),
        ("on: new_setuid", "[log_alert, notify_slack]", None),
        ("condition: paused == 1", "switch_to_conservative_mode", None),
    ],
)
def test_what_an_event_makes_the_agent_do_has_an_end(tmp_path: Path, on: str, actions: str, lasts_s: int | None) -> None:
    """Ten minutes, or as the rule says; what is only told has none, and a condition ends by itself."""
    (rule,) = load(written(tmp_path, f"alert_rules:\n- name: x\n  severity: info\n  {on}\n  actions: {actions}\n"))

    assert rule.lasts_ns == (None if lasts_s is None else lasts_s * 10**9)


@pytest.mark.parametrize("text", ["", "# nothing\n", "alert_rules:\n", "alert_rules: []\n"])
def test_no_rule_is_no_alert(tmp_path: Path, text: str) -> None:
    """An empty file is valid, and so is none."""
    assert load(written(tmp_path, text)) == ()
    assert load(tmp_path / "none.yaml") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alert_ruls: []", "1: file.alert_ruls: unknown key; did you mean 'alert_rules'?"),
        ("alert_rules: {}", "1: alert_rules: must be a list"),
        ("- name: x", "1: file: must be a mapping"),
        ("alert_rules:\n- severity: error", "2: rule: 'name' is missing"),
        ("alert_rules:\n" + A_RULE.replace("error", "eror"), "3: x.severity: 'eror' is none; did you mean 'error'?"),
        ("alert_rules:\n" + A_RULE.replace("log_alert", "log_alrt"), "5: x.actions: 'log_alrt' is none; did you mean 'log_alert'?"),
        ("alert_rules:\n" + A_RULE.replace("paused", "pausd"), "4: x.condition: unknown name 'pausd'; did you mean 'paused'?"),
        ("alert_rules:\n" + A_RULE.replace("condition: paused == 1", "on: suspicous_exec"), "did you mean 'suspicious_exec'?"),
        ("alert_rules:\n" + A_RULE.replace("  condition: paused == 1\n", ""), "2: x: needs either"),
        ("alert_rules:\n" + A_RULE + A_RULE, "6: x: this name is used twice"),
        ("alert_rules:\n" + A_RULE.replace("  actions", "  for: soon\n  actions"), "5: x.for: write a time"),
        ("alert_rules:\n" + A_RULE + "  lasts: 5m\n", "x.lasts: `lasts` goes with `on` and an action inside the agent"),
        ("alert_rules:\n" + AN_EVENT + "  lasts: 0s\n", "6: y.lasts: must be longer than no time"),
        ("alert_rules:\n" + AN_EVENT.replace("pause_scheduling", "log_alert") + "  lasts: 5m\n", "6: y.lasts: `lasts` goes with"),
        ("alert_rules:\n" + A_RULE.replace("[log_alert]", "[]"), "x.actions: an alert without an action"),
        ("alert_rules:\n" + A_RULE.replace("name: x", 'name: "x\\ny"'), "2: name: "),
        ("alert_rules: [", "not YAML"),
        ("\x00", "not YAML"),
        ("alert_rules: &a [*a]", "1: "),
    ],
    ids=lambda text: text[-40:],
)
def test_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    """What was probably meant is said, too."""
    file = written(tmp_path, text)

    with pytest.raises(ConfigError) as error:
        load(file)

    assert str(error.value).startswith(f"{file}:")
    assert says in str(error.value)
