"""What the agent answers on its control socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from brainkernel.errors import UsageError
from brainkernel.link import control, people
from brainkernel.link.messages import ControlRequest, ControlResponse
from brainkernel.store import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.link.frames import Peer
    from brainkernel.model import DecisionRecord, ExamResult
    from brainkernel.oversight import Oversight
    from brainkernel.store import Decisions

T = TypeVar("T", bound=msgspec.Struct)
PID_DIGITS_MAX = 10  # longer ones are a name
Answer = Callable[[msgspec.Struct], None]
Command = Callable[[ControlRequest, "Peer", Answer], None]  # raises UsageError, or answers once, now or later


class Subject(Protocol):
    """The agent, as far as its commands need it."""

    def status(self) -> control.Status:
        """How it fares."""
        ...

    def set_paused(self, *, paused: bool) -> control.Acting:
        """Stop acting, or act again."""
        ...

    def process_rows(self, limit: int) -> control.ProcessRows:
        """What runs now."""
        ...

    def alert_states(self) -> control.AlertStates:
        """How the alert rules stand."""
        ...

    def alert_test(self, name: str, done: Callable[[control.AlertTested], None]) -> None:
        """Send a test message; `done` is called when it is known how that went. Raises UsageError for an unknown name."""
        ...

    def undo(self, decision_id: int, done: Callable[[control.Releases], None]) -> None:
        """Take one limit back because a person says so; `done` is called when that is over."""
        ...

    def examined(self, result: ExamResult) -> control.Examined:
        """Keep how a model did in its exam, and let its verdicts act, or no longer, accordingly."""
        ...

    def release_all_now(self, done: Callable[[control.Releases], None]) -> None:
        """Take all limits back; `done` is called when that is over."""
        ...


class AgentCommands:
    """The commands of link/control.py, each with what does it; `more` are those of parts that answer for themselves."""

    def __init__(self, agent: Subject, decisions: Decisions, oversight: Oversight, more: Mapping[str, Command] | None = None) -> None:
        self._agent = agent
        self._decisions = decisions
        self._oversight = oversight
        self._commands: dict[str, Command] = {
            control.STATUS: lambda _request, _peer, answer: answer(agent.status()),
            control.LIST: lambda request, _peer, answer: answer(self._list(arguments_of(request, control.ListArguments))),
            control.EXPLAIN: lambda request, _peer, answer: answer(control.Explanation(self._record_of(request))),
            control.PROCESSES: lambda request, _peer, answer: answer(
                agent.process_rows(arguments_of(request, control.ProcessesArguments).limit)
            ),
            control.ALERTS: lambda _request, _peer, answer: answer(agent.alert_states()),
            control.ALERT_TEST: lambda request, _peer, answer: agent.alert_test(arguments_of(request, control.NameArguments).name, answer),
            control.EXAMINED: lambda request, _peer, answer: answer(
                agent.examined(arguments_of(request, control.ExaminedArguments).result)
            ),
            control.UNDO: self._undo,
            control.RELEASE_ALL: self._release_all,
            control.PAUSE: self._set_paused,
            control.RESUME: self._set_paused,
            control.PENDING: lambda _request, _peer, answer: answer(oversight.pending()),
            control.APPROVE: self._answer_pending,
            control.DENY: self._answer_pending,
            control.STRATEGY: lambda _request, _peer, answer: answer(oversight.strategy()),
            control.SET_STRATEGY: lambda request, peer, answer: answer(
                oversight.set_strategy(arguments_of(request, people.StrategyArguments), peer)
            ),
            control.AUDIT: lambda request, _peer, answer: answer(oversight.audit(arguments_of(request, people.AuditArguments).limit)),
            control.FEEDBACK: self._feedback,
            **(more or {}),
        }

    def handle(self, request: ControlRequest, peer: Peer, respond: Callable[[ControlResponse], None]) -> None:
        """Do it and answer once. Raises UsageError for arguments that are wrong or a decision that is not there."""
        command = self._commands.get(request.command)
        if command is None:
            msg = f"{request.command} is not a command of this daemon"
            raise UsageError(msg)
        command(request, peer, lambda result: respond(ControlResponse(exit_code=0, result=msgspec.to_builtins(result))))

    def _undo(self, request: ControlRequest, peer: Peer, answer: Answer) -> None:
        record = self._record_of(request)
        if not record.active:
            msg = f"no limit of decision {record.decision.id} stands; `brainkernel list --active` shows those that do"
            raise UsageError(msg)
        self._oversight.note(control.UNDO, peer, record.decision.id)
        self._agent.undo(record.decision.id, answer)

    def _release_all(self, _request: ControlRequest, peer: Peer, answer: Answer) -> None:
        self._oversight.note(control.RELEASE_ALL, peer)
        self._agent.release_all_now(answer)

    def _set_paused(self, request: ControlRequest, peer: Peer, answer: Answer) -> None:
        self._oversight.note(request.command, peer)
        answer(self._agent.set_paused(paused=request.command == control.PAUSE))

    def _answer_pending(self, request: ControlRequest, peer: Peer, answer: Answer) -> None:
        said = arguments_of(request, people.AnswerArguments)
        answer(self._oversight.answer(said, peer, allowed=request.command == control.APPROVE))

    def _feedback(self, request: ControlRequest, peer: Peer, answer: Answer) -> None:
        said = arguments_of(request, people.FeedbackArguments)
        answer(self._oversight.feedback(self._record(said.id).decision, said, peer))

    def _list(self, arguments: control.ListArguments) -> control.Listing:
        text = arguments.program
        pid = int(text) if text.isdecimal() and len(text) <= PID_DIGITS_MAX else None
        where = Filter(
            active_only=arguments.active_only,
            before_id=arguments.before_id,
            pid=pid,
            text="" if pid is not None else text,
        )
        return control.Listing(tuple(control.listed_of(r) for r in self._decisions.page(arguments.limit, where)))

    def _record_of(self, request: ControlRequest) -> DecisionRecord:
        return self._record(arguments_of(request, control.IdArguments).id)

    def _record(self, decision_id: int) -> DecisionRecord:
        record = self._decisions.get(decision_id)
        if record is None:
            msg = f"there is no decision {decision_id}; `brainkernel list` shows the latest"
            raise UsageError(msg)
        return record


def arguments_of(request: ControlRequest, schema: type[T]) -> T:
    """Read a request's arguments; raises UsageError that names what is wrong with them."""
    arguments: dict[str, Any] = request.arguments
    try:
        return msgspec.convert(arguments, schema)
    except msgspec.ValidationError as error:
        msg = f"{request.command}: {error}"
        raise UsageError(msg) from None
