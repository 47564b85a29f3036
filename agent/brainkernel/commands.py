"""What the agent answers on its control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from brainkernel.errors import UsageError
from brainkernel.link import control, people
from brainkernel.link.messages import ControlRequest, ControlResponse
from brainkernel.store import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.link.frames import Peer
    from brainkernel.model import DecisionRecord, ExamResult
    from brainkernel.oversight import Oversight
    from brainkernel.store import Decisions

T = TypeVar("T", bound=msgspec.Struct)


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
    """The commands of link/control.py."""

    def __init__(self, agent: Subject, decisions: Decisions, oversight: Oversight) -> None:
        self._agent = agent
        self._decisions = decisions
        self._oversight = oversight

    def handle(self, request: ControlRequest, peer: Peer, respond: Callable[[ControlResponse], None]) -> None:
        """Do it and answer once. Raises UsageError for arguments that are wrong or a decision that is not there."""

        def answer(result: msgspec.Struct) -> None:
            respond(ControlResponse(exit_code=0, result=msgspec.to_builtins(result)))

        if request.command == control.EXAMINED:
            answer(self._agent.examined(_arguments(request, control.ExaminedArguments).result))
            return
        match request.command:
            case control.STATUS:
                answer(self._agent.status())
            case control.LIST:
                answer(self._list(_arguments(request, control.ListArguments)))
            case control.EXPLAIN:
                answer(control.Explanation(self._record(_arguments(request, control.IdArguments).id)))
            case control.UNDO:
                decision_id = _arguments(request, control.IdArguments).id
                self._check_standing(decision_id)
                self._oversight.note(control.UNDO, peer, decision_id)
                self._agent.undo(decision_id, answer)
            case control.RELEASE_ALL:
                self._oversight.note(control.RELEASE_ALL, peer)
                self._agent.release_all_now(answer)
            case control.ALERTS | control.ALERT_TEST | control.PROCESSES:
                self._handle_seeing(request, answer)
            case control.PAUSE | control.RESUME:
                self._oversight.note(request.command, peer)
                answer(self._agent.set_paused(paused=request.command == control.PAUSE))
            case _:
                answer(self._oversee(request, peer))

    def _oversee(self, request: ControlRequest, peer: Peer) -> msgspec.Struct:
        oversight = self._oversight
        match request.command:
            case control.PENDING:
                return oversight.pending()
            case control.APPROVE | control.DENY:
                allowed = request.command == control.APPROVE
                return oversight.answer(_arguments(request, people.AnswerArguments), peer, allowed=allowed)
            case control.STRATEGY:
                return oversight.strategy()
            case control.SET_STRATEGY:
                return oversight.set_strategy(_arguments(request, people.StrategyArguments), peer)
            case control.AUDIT:
                return oversight.audit(_arguments(request, people.AuditArguments).limit)
            case control.FEEDBACK:
                said = _arguments(request, people.FeedbackArguments)
                return oversight.feedback(self._record(said.id).decision, said, peer)
        msg = f"{request.command} is not a command of this daemon"
        raise UsageError(msg)

    def _check_standing(self, decision_id: int) -> None:
        if not self._record(decision_id).active:
            msg = f"no limit of decision {decision_id} stands; `brainkernel list --active` shows those that do"
            raise UsageError(msg)

    def _handle_seeing(self, request: ControlRequest, answer: Callable[[msgspec.Struct], None]) -> None:
        if request.command == control.ALERTS:
            answer(self._agent.alert_states())
        elif request.command == control.PROCESSES:
            answer(self._agent.process_rows(_arguments(request, control.ProcessesArguments).limit))
        else:
            self._agent.alert_test(_arguments(request, control.NameArguments).name, answer)

    def _list(self, arguments: control.ListArguments) -> control.Listing:
        pid = int(arguments.program) if arguments.program.isdecimal() else None
        where = Filter(
            active_only=arguments.active_only,
            before_id=arguments.before_id,
            pid=pid,
            text="" if pid is not None else arguments.program,
        )
        return control.Listing(tuple(control.listed_of(r) for r in self._decisions.page(arguments.limit, where)))

    def _record(self, decision_id: int) -> DecisionRecord:
        record = self._decisions.get(decision_id)
        if record is None:
            msg = f"there is no decision {decision_id}; `brainkernel list` shows the latest"
            raise UsageError(msg)
        return record


def _arguments(request: ControlRequest, schema: type[T]) -> T:
    arguments: dict[str, Any] = request.arguments
    try:
        return msgspec.convert(arguments, schema)
    except msgspec.ValidationError as error:
        msg = f"{request.command}: {error}"
        raise UsageError(msg) from None
