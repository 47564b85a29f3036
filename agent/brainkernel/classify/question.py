"""What a language model gets to see of a suspect: redacted, then shortened, then escaped, in this order.

Shortened before it is redacted, half a secret could stay; redacted after it is escaped, it would not be recognised.
Of everything too long the beginning and the end stay: who fills a command line to push the truth out of the window
has both ends of it in sight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel.classify.redact import redacted_argv, redacted_path
from brainkernel.classify.redact_person import names_in
from brainkernel.escape import escaped
from brainkernel.model import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Evidence, Package, Program, Reason, Suspect

# Together some 1200 characters at most: 400 tokens, and usually a quarter of that.
_ARGV_CHARS = 600
_ARGS_MAX = 24
_ARGS_SURE = 8  # are shown, whatever follows
_READ_CHARS = 8192  # of the command line: twice what a kernel record holds, and some 20 ms at the very worst
_ARG_CHARS = 240
_EXE_CHARS = 160
_PATH_CHARS = 120
_PARENT_CHARS = 64
_PARENTS_MAX = 6
_COMM_CHARS = 32  # TASK_COMM_LEN is 16, before escaping
_EVIDENCE_CHARS = 120
_SUMMARY_CHARS = 48
_YOUNG_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedQuestion:
    """One program as it may leave the daemon. The fields are those of `link.messages.Question`, within its bounds."""

    exe: str
    argv: tuple[str, ...]
    comm: str
    parents: tuple[str, ...]
    uid: int
    cwd: str
    cgroup: str
    evidence: dict[str, str] = field(default_factory=dict)


def question_of(suspect: Suspect) -> RedactedQuestion:
    """Make the question about a suspect. Pure; never raises, whatever the process put into its strings."""
    program = suspect.program
    names = names_in((program.exe, program.cwd, program.filename, suspect.evidence.script, *program.argv[:64]))

    def shown(text: str, limit: int) -> str:
        return shortened(escaped(redacted_path(text, names=names), limit * 4), limit)

    return RedactedQuestion(
        exe=shown(program.exe, _EXE_CHARS),
        argv=_argv_of(redacted_argv(program.argv, names=names, total_chars=_READ_CHARS)),
        comm=shown(program.comm, _COMM_CHARS),
        parents=tuple(shown(p, _PARENT_CHARS) for p in program.parents[:_PARENTS_MAX]),
        uid=program.uid,
        cwd=shown(program.cwd, _PATH_CHARS),
        cgroup=shown(program.cgroup, _PATH_CHARS),
        evidence={k: shown(v, _EVIDENCE_CHARS) for k, v in _evidence_of(suspect) if v},
    )


def shortened(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than `limit`, and say how much went."""
    if len(text) <= limit:
        return text
    gap = f" ...{len(text) - limit} more... "
    kept = max(2, limit - len(gap))
    return f"{text[: kept - kept // 3]}{gap}{text[-(kept // 3) :]}"


def _argv_of(argv: tuple[str, ...]) -> tuple[str, ...]:
    shown = [shortened(escaped(_middle_cut(a), 8 * _ARG_CHARS), _ARG_CHARS) for a in (*argv[:_ARGS_MAX], *argv[_ARGS_MAX:][-_ARGS_MAX:])]
    head: list[str] = []
    tail: list[str] = []
    left = _ARGV_CHARS
    # From both ends by turns, so that a long middle is what goes.
    while shown and len(head) + len(tail) < _ARGS_MAX:
        arg = shown.pop(0) if len(head) <= len(tail) else shown.pop()
        left -= len(arg) + 1
        if left < 0 and head:
            shown.append(arg)
            break
        (head if len(head) <= len(tail) else tail).append(arg)
    missing = len(argv) - len(head) - len(tail)
    return (*head, *((f"...{missing} more arguments...",) if missing else ()), *reversed(tail))


def _middle_cut(arg: str) -> str:
    # `escaped` cuts at the end; what is far too long loses its middle first.
    return arg if len(arg) <= 4 * _ARG_CHARS else f"{arg[: 2 * _ARG_CHARS]} ...{len(arg) - 4 * _ARG_CHARS} more... {arg[-2 * _ARG_CHARS :]}"


def _evidence_of(suspect: Suspect) -> Iterable[tuple[str, str]]:
    evidence = suspect.evidence
    yield "package", _package_text(evidence)
    yield "unit", evidence.unit.name if evidence.unit else ""
    # Who starts a unit below the user's own systemd writes its description, too (`systemd-run --user --description=`).
    yield "unit_description", evidence.unit.description if evidence.unit and evidence.unit.user_uid is None else ""
    yield "triggered_by", ", ".join(evidence.unit.triggered_by[:3]) if evidence.unit else ""
    yield "user_unit", "yes" if evidence.unit and evidence.unit.user_uid is not None else ""
    yield "script", "" if evidence.script.removeprefix("-m ") in suspect.program.argv[:_ARGS_SURE] else evidence.script
    yield "script_package", _named(evidence.script_package) if evidence.script_package else ""
    yield "container", evidence.container
    yield "stdio_connected_to", evidence.remote_stdio
    yield "connections", "; ".join(evidence.sockets[:3])
    yield "file_changed", _ago(evidence.exe_age_s)
    yield "session", evidence.session
    yield "tty", evidence.tty
    yield "marks", ", ".join(sorted(m.value for m in evidence.marks))
    yield "why", "; ".join(filter(None, (_reason_text(r, suspect.program) for r in suspect.reasons[:3])))


# What stands in the question already is not said again, and no name that another process gave itself stands in it.
def _reason_text(reason: Reason, program: Program) -> str:
    if reason.code is ReasonCode.ASKED:
        return ""
    if reason.code is ReasonCode.RUN_DELAY:
        return "others wait while it runs"
    text = reason.text
    for path, short in ((program.exe, "it"), (program.parents[0] if program.parents else "", "its parent")):
        text = text.replace(path, short) if path.startswith("/") else text
    return text.removesuffix(" of it")


# Only what is young tells something: a year-old file is like any other.
def _ago(age_s: int | None) -> str:
    return "" if age_s is None or age_s >= _YOUNG_S else f"{age_s // 60} minutes ago"


def _package_text(evidence: Evidence) -> str:
    if evidence.package is None:
        return "none" if evidence.unowned else ""
    state = "" if evidence.package.state.value == "verified" else f", file {evidence.package.state.value}"
    return _named(evidence.package) + state


def _brief(summary: str) -> str:
    summary = summary.partition(" (")[0]
    return summary if len(summary) <= _SUMMARY_CHARS else summary[:_SUMMARY_CHARS].rpartition(" ")[0]


def _named(package: Package) -> str:
    about = ", ".join(filter(None, (package.section, _brief(package.summary))))
    return f"{package.name} ({about})" if about else package.name
