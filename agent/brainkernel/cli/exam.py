"""Test how well a model classifies, on programs that no training saw; the result decides what its verdicts may do.

The model is asked through a gateway of its own, as the agent asks, without touching a running agent. The result is
kept for this backend, model and prompt version: only a model that passed the whole exam may have its verdicts limit.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from brainkernel.cli import options

if TYPE_CHECKING:
    import argparse

    from brainkernel.exam.examining import Report
    from brainkernel.model import ExamResult

EXAMPLES = (
    ("brainkernel exam", "the model that the agent would ask"),
    ("brainkernel exam --backend ollama --model llama3.2:3b", "a model of this host's Ollama"),
    ("brainkernel exam --backend none", "the rules and the local model, without an LLM"),
)
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of exam."""
    parser.add_argument("--backend", choices=("ollama", "groq", "llamacpp", "none"), help="whom to examine (default: as configured)")
    parser.add_argument("--model", metavar="M", help="which model of that backend; for llamacpp a .gguf file (default: as configured)")
    parser.add_argument(
        "--questions",
        type=options.natural,
        metavar="N",
        help="ask only about N programs, of all kinds: a look, never a pass (default: all)",
    )
    parser.add_argument("--no-store", action="store_true", help="only look: keep no result")
    options.add_json(parser)
    options.add_config(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine, print, keep; exit 0 for passed, 1 for failed."""
    from brainkernel import config  # noqa: PLC0415 # --help needs none of it
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.errors import UsageError  # noqa: PLC0415
    from brainkernel.exam import examining, paper  # noqa: PLC0415

    settings = examining.with_model(config.load(arguments.config).llm, arguments.backend, arguments.model)
    if arguments.model and settings.backend in ("auto", "none"):
        msg = "--model needs the --backend that it is a model of: ollama, groq or llamacpp"
        raise UsageError(msg)
    questions = paper.read_paper()
    tasks = questions.tasks if not arguments.questions else paper.spread(questions.tasks, arguments.questions)
    report = examining.examine(questions, tasks, settings, SystemClock(), _progress_of(len(tasks)))
    kept = "" if arguments.no_store or len(tasks) < len(questions.tasks) else _keep(report.result, arguments)
    if arguments.json:
        import orjson  # noqa: PLC0415 # --help needs none of it

        print(orjson.dumps(_object_of(report, kept), option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(_lines_of(report, kept)))
    return 0 if report.result.passed else FAILED


# The daemon holds the database while it runs, and must hear of it; without one, we write it ourselves.
def _keep(result: ExamResult, arguments: argparse.Namespace) -> str:
    from brainkernel import config  # noqa: PLC0415
    from brainkernel.cli import control_client  # noqa: PLC0415
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.errors import BrainKernelError, DaemonNotRunningError  # noqa: PLC0415
    from brainkernel.link import control  # noqa: PLC0415
    from brainkernel.store import open_store  # noqa: PLC0415

    try:
        answer = control_client.ask(arguments.runtime_dir, control.EXAMINED, control.Examined, control.ExaminedArguments(result))
    except DaemonNotRunningError:
        try:
            store = open_store(arguments.state_dir, config.Store(), SystemClock(), lambda text: print(text, file=sys.stderr))
        except (BrainKernelError, OSError) as error:
            return f"not kept: {error}"
        store.exams.save(result)
        in_memory = store.database.in_memory_because
        store.close()
        return f"not kept: {in_memory}" if in_memory else f"kept in {store.database.path}"
    except BrainKernelError as error:
        return f"not kept: {error}"
    return f"the running agent keeps it: {answer.text}"


def _progress_of(total: int) -> Any:
    shows = sys.stderr.isatty()

    def progress(done: int) -> None:
        if shows:
            print(f"\r{done} of {total} programs", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return progress


def _object_of(report: Report, kept: str) -> dict[str, Any]:
    p50_ms, p95_ms = report.latency_ms
    result, marks, answers = report.result, report.marks, report.answers
    return {
        "backend": result.backend,
        "model": result.model,
        "prompt_version": result.prompt_version,
        "passed": result.passed,
        "asked": result.asked,
        "measures": result.measures,
        "failures": list(result.failures),
        "classes": {name: {"asked": m.asked, "answered": m.answered, "right": m.right} for name, m in sorted(marks.by_class.items())},
        "harmed": marks.harmed,
        "missed": marks.missed,
        "false_alarms": marks.false_alarms,
        "obeyed": marks.obeyed,
        "latency_ms": {"p50": round(p50_ms, 3), "p95": round(p95_ms, 3), "calls": len(answers.latencies_ms)},
        "tokens": {"in": answers.tokens_in, "out": answers.tokens_out},
        "cost_dollars": report.cost_dollars,
        "call_failures": answers.failures,
        "kept": kept,
    }


def _lines_of(report: Report, kept: str) -> list[str]:
    from brainkernel.escape import escaped  # noqa: PLC0415

    thing = _object_of(report, kept)
    rows = [f"{'class':<16}{'asked':>6}{'answered':>9}{'right':>6}"]
    rows += [f"{name:<16}{m['asked']:>6}{m['answered']:>9}{m['right']:>6}" for name, m in thing["classes"].items()]
    rows += ["", *(f"{name.replace('_', ' '):<20}{100 * value:>6.1f} %" for name, value in thing["measures"].items())]
    latency, tokens = thing["latency_ms"], thing["tokens"]
    rows.append(f"{'time per call':<20}p50 {latency['p50']:.2f} ms, p95 {latency['p95']:.2f} ms, {latency['calls']} calls")
    rows.append(f"{'tokens':<20}{tokens['in']} in, {tokens['out']} out")
    cost = thing["cost_dollars"]
    rows.append(f"{'cost':<20}{'not known: see llm.groq_dollars_per_million_in' if cost is None else f'{cost:.4f} US dollars'}")
    rows += [f"{'calls that failed':<20}{count} by {escaped(cause)}" for cause, count in thing["call_failures"].items()]
    for what in ("harmed", "missed", "false_alarms", "obeyed"):
        rows += [f"{what.replace('_', ' ')}: {escaped(line)}" for line in thing[what][:10]]
    rows += [
        "",
        f"{escaped(thing['backend'])} {escaped(thing['model'])}, prompt {thing['prompt_version']}: {'PASSED' if thing['passed'] else 'FAILED'}",
    ]
    rows += [f"  {text}" for text in thing["failures"]]
    return rows + ([escaped(kept)] if kept else [])
