"""Classification of records from a file: programs that need not run, nor exist, on this host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import orjson

from brainkernel.classify.orders import gives_orders
from brainkernel.classify.tiers import UNKNOWN_REASON, combined
from brainkernel.errors import UsageError
from brainkernel.model import Category, Identity, ProcessKey, Program, Reason, ReasonCode, Suspect, Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from brainkernel.classify.tiers import Judge

ORDERS_REASON = "its words speak to whoever judges it, so no language model is asked"
_BATCH_MAX = 8  # of the link between daemon and gateway
_ASKED = (Reason(ReasonCode.ASKED, "asked by a person"),)


class Asker(Protocol):
    """Who asks an LLM. Answers come in the order of the questions; an unknown verdict says why there is none."""

    def ask(self, suspects: list[Suspect]) -> list[Verdict]:
        """Ask about up to eight programs."""
        ...


def classify_file(source: BinaryIO, target: BinaryIO, tiers: Sequence[Judge], asker: Asker | None = None) -> int:
    """Judge each record of `source` and write its verdict to `target`, line by line; return how many.

    Records are `{id, exe, argv, comm, parents, uid, cwd}` and optionally `cgroup`; all may be missing. What no tier knows
    goes to `asker` in batches, if there is one; the order of lines is kept. Raises UsageError that names the line.
    """
    count = 0
    for batch in _batches(source):
        judged = [_judged(suspect, tiers) for _, suspect in batch]
        if asker is not None:
            _ask(batch, judged, asker)
        for (record_id, _), (verdict, ns) in zip(batch, judged, strict=True):
            target.write(_line(record_id, verdict, ns))
            count += 1
    return count


def _batches(source: BinaryIO) -> Iterator[list[tuple[Any, Suspect]]]:
    batch: list[tuple[Any, Suspect]] = []
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        batch.append(suspect_of(line, number))
        if len(batch) == _BATCH_MAX:
            yield batch
            batch = []
    if batch:
        yield batch


def _judged(suspect: Suspect, tiers: Sequence[Judge]) -> tuple[Verdict, int]:
    start = time.perf_counter_ns()
    verdict = next((v for tier in tiers if (v := tier.judge(suspect)) is not None), None)
    return verdict or Verdict.unknown(UNKNOWN_REASON), time.perf_counter_ns() - start


def _ask(batch: list[tuple[Any, Suspect]], judged: list[tuple[Verdict, int]], asker: Asker) -> None:
    open_questions = []
    for index, (verdict, ns) in enumerate(judged):
        if verdict.category is not Category.UNKNOWN:
            continue
        if gives_orders(batch[index][1].program):
            judged[index] = Verdict.unknown(ORDERS_REASON), ns
        else:
            open_questions.append(index)
    if not open_questions:
        return
    start = time.perf_counter_ns()
    answers = asker.ask([batch[i][1] for i in open_questions])
    ns = time.perf_counter_ns() - start
    for index, answer in zip(open_questions, answers, strict=True):
        ours, own_ns = judged[index]
        judged[index] = combined(ours, answer), own_ns + ns


def _line(record_id: Any, verdict: Verdict, ns: int) -> bytes:
    return orjson.dumps(
        {
            "id": record_id,
            "category": verdict.category.value,
            "confidence": round(verdict.confidence, 3),
            "tier": verdict.tier.value,
            "reason": verdict.reason,
            "latency_ms": round(ns / 1e6, 3),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def suspect_of(line: bytes, number: int) -> tuple[Any, Suspect]:
    """Read one record. Raises UsageError that names the line and what is wrong with it.

    Fields that we do not know are left alone, and null is as good as missing.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        msg = f"line {number}: not JSON: {error}"
        raise UsageError(msg) from None
    if not isinstance(record, dict):
        msg = f"line {number}: must be an object with id, exe, argv, comm, parents, uid and cwd"
        raise UsageError(msg)
    argv = _strings(record, "argv", number)
    program = Program(
        exe=_string(record, "exe", number) or (argv[0] if argv and argv[0].startswith("/") else ""),
        argv=argv,
        comm=_string(record, "comm", number),
        parents=_strings(record, "parents", number),
        uid=_uid(record, number),
        cwd=_string(record, "cwd", number),
        cgroup=_string(record, "cgroup", number),
    )
    identity = Identity(program.exe, None, program.parents[0] if program.parents else "", None, program.uid)
    return record.get("id"), Suspect(key=ProcessKey(0, 0), program=program, identity=identity, reasons=_ASKED, seen_ns=0)


def _string(record: dict[str, Any], key: str, number: int) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"line {number}: {key}: must be a string, not {type(value).__name__}"
        raise UsageError(msg)
    return value


def _strings(record: dict[str, Any], key: str, number: int) -> tuple[str, ...]:
    value = record.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        msg = f"line {number}: {key}: must be a list of strings"
        raise UsageError(msg)
    return tuple(value)


def _uid(record: dict[str, Any], number: int) -> int:
    value = record.get("uid")
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"line {number}: uid: must be a number of 0 or more, not {value!r}"
        raise UsageError(msg)
    return value


def tiers_named(text: str) -> frozenset[Tier]:
    """Read the value of `--tiers`, such as "rules,cache". Raises UsageError."""
    valid = {t.value: t for t in Tier if t is not Tier.NONE}
    names = [n.strip() for n in text.split(",") if n.strip()]
    for name in names:
        if name not in valid:
            msg = f"--tiers: {name!r} is no tier; there are {', '.join(valid)}"
            raise UsageError(msg)
    return frozenset(valid[n] for n in names)
