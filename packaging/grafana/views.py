"""The dashboards for Grafana: the five views of the gateway's own dashboard, as PromQL. The JSON beside this file is made of it.

usage: views.py      writes the five JSON files
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 38  # of Grafana 10; later ones migrate it
WIDTH, HEIGHT, PER_ROW = 12, 8, 2


class Panel(NamedTuple):
    """One panel: its unit as Grafana calls it, and its queries with the text of each legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    top: float | None = None


class View(NamedTuple):
    """One dashboard; `id` is that of the view in the gateway's own."""

    id: str
    title: str
    panels: tuple[Panel, ...]


# INSTANCE, RATE and RANGE (the whole time that is shown) stand for what Grafana fills in.
def _q(text: str) -> str:
    return text.replace("INSTANCE", 'instance=~"$instance"').replace("RATE", "$__rate_interval").replace("RANGE", "$__range")


def _quantile(quantile: float, metric: str, by: str = "le") -> str:
    return _q(f"histogram_quantile({quantile}, sum by ({by}) (rate({metric}_bucket{{INSTANCE}}[RATE])))")


def _rate(metric: str, by: str, labels: str = "INSTANCE") -> str:
    return _q(f"sum by ({by}) (rate({metric}{{{labels}}}[RATE]))")


def _now(metric: str, labels: str = "") -> str:
    return _q(f"{metric}{{INSTANCE{labels}}}")


_DECISION = "brainkernel_decision_seconds"
VIEWS = (
    View("performance", "decision performance", (
        Panel("Decision time", "s", tuple((_quantile(q, _DECISION), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99))),
        Panel("Latency distribution over time", "s", ((_q(f"sum by (le) (increase({_DECISION}_bucket{{INSTANCE}}[RATE]))"), "{{le}}"),), "heatmap"),
        Panel("Latency distribution: decisions by time, up to so many seconds", "short",
              ((_q(f"sum by (le) (increase({_DECISION}_bucket{{INSTANCE}}[RANGE]))"), "{{le}}"),), "bargauge"),
        Panel("Decisions", "ops", ((_rate("brainkernel_decisions_total", "kind"), "{{kind}}"),)),
        Panel("Success rate", "percentunit", (
            (_q('1 - (sum(rate(brainkernel_budget_breaches_total{INSTANCE, budget="total", by="decision"}[RATE])) or vector(0))'
                " / sum(rate(brainkernel_decisions_total{INSTANCE}[RATE]))"), "decisions in time"),
            (_q('sum(rate(brainkernel_llm_calls_total{INSTANCE, result="ok"}[RATE])) / sum(rate(brainkernel_llm_calls_total{INSTANCE}[RATE]))'),
             "LLM calls answered"),
        ), top=1),
        Panel("Errors", "ops", (
            (_rate("brainkernel_llm_failures_total", "cause"), "LLM: {{cause}}"),
            (_rate("brainkernel_kernel_failures_total", "cause"), "kernel: {{cause}}"),
            (_rate("brainkernel_protocol_errors_total", "cause"), "socket: {{cause}}"),
            (_rate("brainkernel_budget_breaches_total", "budget"), "late: {{budget}}"),
        )),
        Panel("Verdicts", "ops", ((_rate("brainkernel_verdicts_total", "category"), "{{category}}"),)),
        Panel("Time of each stage, p95", "s", ((_quantile(0.95, "brainkernel_stage_seconds", "le, stage"), "{{stage}}"),)),
        Panel("Time of LLM calls, p95", "s", ((_quantile(0.95, "brainkernel_llm_seconds", "le, backend"), "{{backend}}"),)),
    )),
    View("resources", "resources", (
        Panel("CPU of the agent", "percentunit", ((_rate("brainkernel_process_cpu_seconds_total", "process"), "{{process}}, of one CPU"),)),
        Panel("Memory of the agent", "bytes", ((_now("brainkernel_resident_memory_bytes"), "{{process}}"),
                                               (_q("sum by (instance) (brainkernel_state_bytes{INSTANCE})"), "files on disk"))),
        Panel("CPU of the host and GPUs", "percentunit", ((_now("brainkernel_host_cpu_ratio"), "CPUs"),
                                                          (_now("brainkernel_gpu_busy_ratio"), "GPU {{card}}")), top=1),
        Panel("Memory of the host and GPUs", "bytes", ((_now("brainkernel_host_memory_bytes"), "{{state}}"),
                                                       (_now("brainkernel_gpu_memory_bytes"), "GPU {{card}} {{state}}"))),
        Panel("Pressure", "percentunit", ((_now("brainkernel_host_pressure_ratio"), "{{resource}}"),)),
        Panel("Wait in the run queue", "s", ((_now("brainkernel_run_queue_wait_seconds"), "p{{percentile}}"),)),
        Panel("LLM calls", "ops", ((_rate("brainkernel_llm_calls_total", "backend, result"), "{{backend}} {{result}}"),)),
        Panel("Tokens", "ops", ((_rate("brainkernel_llm_tokens_total", "backend, direction"), "{{backend}} {{direction}}"),)),
        Panel("Cost of the last 24 hours", "currencyUSD", ((_q("sum by (backend) (increase(brainkernel_llm_cost_dollars_total{INSTANCE}[24h]))"),
                                                            "{{backend}}"),)),
        Panel("Time in our BPF programs (with kernel.bpf_stats_enabled)", "percentunit", ((_rate("brainkernel_bpf_run_seconds_total", "program"), "{{program}}"),)),
        Panel("Time of one run of a BPF program", "s", (
            (_q("sum by (program) (rate(brainkernel_bpf_run_seconds_total{INSTANCE}[RATE]))"
                " / sum by (program) (rate(brainkernel_bpf_runs_total{INSTANCE}[RATE]))"), "{{program}}"),)),
        Panel("Kernel events", "ops", ((_rate("brainkernel_kernel_events_total", "kind, fate", 'INSTANCE, fate!="mismatch"'), "{{kind}} {{fate}}"),)),
    )),
    View("quality", "quality", (
        Panel("Quality over 24 hours", "percentunit", ((_now("brainkernel_quality_ratio", ', window="24h"'), "{{measure}}"),), top=1),
        Panel("Its 95 % interval", "percentunit", ((_now("brainkernel_quality_bound_ratio", ', window="24h"'), "{{measure}} {{bound}}"),), top=1),
        Panel("Samples", "short", ((_now("brainkernel_quality_samples"), "{{measure}} {{window}}"),)),
        Panel("Stability", "percentunit", ((_now("brainkernel_stability_ratio"), "index"),), top=1),
        Panel("Limits", "short", ((_now("brainkernel_limits_active"), "standing"),
                                  (_q("sum by (route) (increase(brainkernel_limits_applied_total{INSTANCE}[RATE]))"), "applied: {{route}}"),
                                  (_q("sum by (result) (increase(brainkernel_limits_released_total{INSTANCE}[RATE]))"), "ended: {{result}}"))),
        Panel("Refusals", "ops", ((_rate("brainkernel_refusals_total", "rule"), "{{rule}}"),)),
    )),
    View("trends", "trends", (
        Panel("Mean decision time, and in an hour if it goes on", "s", (
            (_q("brainkernel:decision_seconds:mean_5m{INSTANCE}"), "now"),
            (_q("clamp_min(predict_linear(brainkernel:decision_seconds:mean_5m{INSTANCE}[1h], 3600), 0)"), "forecast"))),
        Panel("Memory of the daemon, and in a day if it goes on", "bytes", (
            (_now("brainkernel_resident_memory_bytes", ', process="daemon"'), "now"),
            (_q('predict_linear(brainkernel_resident_memory_bytes{INSTANCE, process="daemon"}[3h], 86400)'), "forecast"))),
        Panel("Change of the rate of suspects against an hour before", "ops", (
            (_q("sum(rate(brainkernel_suspects_total{INSTANCE}[RATE])) - (sum(rate(brainkernel_suspects_total{INSTANCE}[RATE] offset 1h)) or vector(0))"),
             "change"),)),
        Panel("Anomalies", "short", ((_q("sum by (figure) (increase(brainkernel_anomalies_total{INSTANCE}[RATE]))"), "{{figure}}"),), "bars"),
        Panel("Alerts that fire", "short", ((_now("brainkernel_alert_firing"), "{{rule}}"),)),
        Panel("Pressure of the CPU: how unlike the last hour", "none", (
            (_q('(brainkernel_host_pressure_ratio{INSTANCE, resource="cpu"}'
                ' - avg_over_time(brainkernel_host_pressure_ratio{INSTANCE, resource="cpu"}[1h]))'
                ' / (stddev_over_time(brainkernel_host_pressure_ratio{INSTANCE, resource="cpu"}[1h]) > 0)'), "standard deviations"),)),
    )),
    View("feedback", "feedback loop", (
        Panel("Strategy in force", "short", ((_now("brainkernel_strategy_info"), "{{strategy}}"),), top=1),
        Panel("Strategy switches", "short", ((_q("sum by (to, by) (increase(brainkernel_strategy_changes_total{INSTANCE}[RATE]))"),
                                              "to {{to}} by {{by}}"),), "bars"),
        Panel("Learning sessions", "short", (
            (_q("sum by (task, result) (increase(brainkernel_learning_sessions_total{INSTANCE}[RATE]))"), "{{task}}: {{result}}"),
            (_q("sum by (task) (increase(brainkernel_drifts_total{INSTANCE}[RATE]))"), "{{task}}: drift")), "bars"),
        Panel("Learned words, and the version in force", "short", ((_now("brainkernel_learning_words"), "words: {{task}}"),
                                                                   (_now("brainkernel_version"), "version"))),
        Panel("Feedback", "short", ((_q("sum by (word) (increase(brainkernel_feedback_total{INSTANCE}[RATE]))"), "{{word}}"),), "bars"),
        Panel("Verdict cache", "ops", ((_rate("brainkernel_cache_lookups_total", "result"), "{{result}}"),)),
        Panel("Who gives the verdicts", "ops", ((_rate("brainkernel_verdicts_total", "tier"), "{{tier}}"),)),
        Panel("What alerts did", "short", ((_q("sum by (action, result) (increase(brainkernel_alert_actions_total{INSTANCE}[RATE]))"),
                                            "{{action}}: {{result}}"),), "bars"),
    )),
)  # fmt: skip


def dashboard_of(view: View) -> dict[str, Any]:
    """One dashboard in Grafana's model."""
    return {
        "uid": f"brainkernel-{view.id}",
        "title": f"BrainKernel: {view.title}",
        "tags": ["brainkernel"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"type": "dashboards", "title": "Views", "tags": ["brainkernel"], "asDropdown": False, "keepTime": True, "includeVars": True},
            {
                "type": "link",
                "title": "The decisions behind these figures",
                "url": f"http://${{instance}}/#/{view.id}",
                "targetBlank": True,
            },
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Host",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "query": {"query": "label_values(brainkernel_daemon_connected, instance)", "refId": "instance"},
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                },
            ]
        },
        "panels": [_panel_of(number, panel) for number, panel in enumerate(view.panels)],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}},
    "bargauge": {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
}


def _panel_of(number: int, panel: Panel) -> dict[str, Any]:
    heatmap, whole = panel.kind == "heatmap", panel.kind == "bargauge"
    defaults: dict[str, Any] = {"unit": panel.unit} | ({"min": 0, "max": panel.top} if panel.top is not None else {})
    if not heatmap and not whole:
        defaults["custom"] = {"drawStyle": "bars" if panel.kind == "bars" else "line", "fillOpacity": 60 if panel.kind == "bars" else 8}
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind if heatmap or whole else "timeseries",
        "datasource": DATASOURCE,
        "gridPos": {"x": number % PER_ROW * WIDTH, "y": number // PER_ROW * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {} if heatmap else defaults, "overrides": []},
        **({"maxDataPoints": 30} if whole else {}),  # of which the last one is shown: each looks at the whole time
        "options": _OPTIONS.get(panel.kind, {"tooltip": {"mode": "multi", "sort": "desc"}}),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                "format": "heatmap" if heatmap or whole else "time_series",
            }
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def text_of(view: View) -> str:
    """The file of one dashboard."""
    return json.dumps(dashboard_of(view), indent=1) + "\n"


def main() -> None:
    """Write them all."""
    for view in VIEWS:
        (HERE / f"{view.id}.json").write_text(text_of(view))


if __name__ == "__main__":
    main()
