"""The live view, in Textual. It only shows: what it shows is made in `top_view`, what it asks goes to the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App
from textual.widget import Widget
from textual.widgets import Input, Static

from brainkernel.cli import control_client, top_view
from brainkernel.errors import BrainKernelError
from brainkernel.link import control, people
from brainkernel.model import DecisionKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from brainkernel.link.control import ProcessRow, ProcessRows
    from brainkernel.model import DecisionRecord

_HELP = "arrows / filter s order | a approve d deny g good b bad u undo | p pause q quit"


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the view asks for. Each may take a moment and raises BrainKernelError."""

    rows: Callable[[], ProcessRows]
    explain: Callable[[int], DecisionRecord]
    undo: Callable[[int], str]
    answer: Callable[[int, bool], str]  # of a pending decision: approve, or deny
    feedback: Callable[[int, bool], str]  # a decision was good, or bad
    pause: Callable[[bool], str]


class ProcessList(Widget, can_focus=True):
    """Draws the lines that are visible, and no others: a thousand processes cost as much as twenty."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[ProcessRow] = []
        self.cursor = 0
        self._first = 0

    @property
    def chosen(self) -> ProcessRow | None:
        """The process under the cursor."""
        return self.lines[self.cursor] if self.lines else None

    def show(self, rows: list[ProcessRow]) -> None:
        """Take other rows; the cursor stays on its process while that runs."""
        pid = self.chosen.pid if self.chosen else None
        self.lines = rows
        self.cursor = next((n for n, row in enumerate(rows) if row.pid == pid), min(self.cursor, max(0, len(rows) - 1)))
        self.refresh()

    def move(self, lines: int) -> None:
        """Move the cursor."""
        self.cursor = min(max(0, self.cursor + lines), max(0, len(self.lines) - 1))
        self.refresh()

    def render(self) -> Text:
        """The visible part. The chosen line is marked by a sign too, for terminals without colour."""
        width, height = self.size.width - 1, max(1, self.size.height - 1)
        self._first = min(max(self._first, self.cursor - height + 1), self.cursor)
        text = Text(no_wrap=True, overflow="crop")
        text.append(f" {top_view.header(width)}", style="bold")
        for number, row in enumerate(self.lines[self._first : self._first + height], start=self._first):
            here = number == self.cursor
            text.append(f"\n{'>' if here else ' '}{top_view.line(row, width)}", style="reverse" if here else "bold" if row.limit else "")
        return text


class TopApp(App[None]):
    """`brainkernel top`."""

    CSS = """
    #summary, #help { height: 1; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    #why { height: 7; border-top: solid; }
    ProcessList { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "quit"),
        ("s", "order", "order"),
        ("slash", "filter", "filter"),
        ("u", "undo", "undo"),
        ("a", "answer(True)", "approve"),
        ("d", "answer(False)", "deny"),
        ("g", "feedback(True)", "good"),
        ("b", "feedback(False)", "bad"),
        ("p", "pause", "pause"),
        ("up,k", "move(-1)", "up"),
        ("down,j", "move(1)", "down"),
        ("pageup", "move(-15)", "up"),
        ("pagedown", "move(15)", "down"),
        ("escape", "clear", "no filter"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, daemon: Daemon, first: ProcessRows, interval_s: float) -> None:
        super().__init__()
        self._daemon = daemon
        self._rows = first
        self._interval_s = interval_s
        self._filter = ""
        self._order = top_view.ORDERS[0]
        self._record: DecisionRecord | None = None
        self._said = ""
        self._asking = False

    @classmethod
    def of_daemon(cls, runtime_dir: Path, first: ProcessRows, asked: control.ProcessesArguments, interval_s: float) -> TopApp:
        """The view of the daemon whose sockets are in `runtime_dir`."""

        def explain(number: int) -> DecisionRecord:
            return control_client.ask(runtime_dir, control.EXPLAIN, control.Explanation, control.IdArguments(number)).record

        def undo(number: int) -> str:
            ended = control_client.ask(runtime_dir, control.UNDO, control.Releases, control.IdArguments(number))
            return "; ".join(f"{one.comm}: {one.result.value}" for one in ended.released)

        def answer(number: int, allowed: bool) -> str:
            command = control.APPROVE if allowed else control.DENY
            return control_client.ask(runtime_dir, command, people.Noted, people.AnswerArguments(number)).text

        def feedback(number: int, good: bool) -> str:
            return control_client.ask(runtime_dir, control.FEEDBACK, people.Noted, people.FeedbackArguments(number, good)).text

        def pause(on: bool) -> str:
            acting = control_client.ask(runtime_dir, control.PAUSE if on else control.RESUME, control.Acting)
            return "paused: nothing is limited" if acting.paused else f"acting as mode {acting.mode} allows"

        def rows() -> ProcessRows:
            return control_client.ask(runtime_dir, control.PROCESSES, control.ProcessRows, asked)

        return cls(Daemon(rows, explain, undo, answer, feedback, pause), first, interval_s)

    def run_to_end(self) -> int:
        """Show until `q`; the exit code."""
        self.run()
        return self.return_code or 0

    def compose(self) -> ComposeResult:
        """The parts of the screen, from the top."""
        yield Static(id="summary", markup=False)
        yield Input(placeholder="part of a name, path or category, or a pid", id="filter")
        yield ProcessList()
        yield Static(id="why", markup=False)
        yield Static(_HELP, id="help", markup=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(ProcessList).focus()
        self._show()
        self._look_closer()
        self.set_interval(self._interval_s, self._look)

    def on_resize(self) -> None:
        """Fill the new width."""
        self._show()

    def action_order(self) -> None:
        """The next order."""
        self._order = top_view.ORDERS[(top_view.ORDERS.index(self._order) + 1) % len(top_view.ORDERS)]
        self._show()

    def action_move(self, lines: int) -> None:
        """Choose another process."""
        self.query_one(ProcessList).move(lines)
        self._said = ""
        self._show_why()
        self._look_closer()

    def action_filter(self) -> None:
        """Ask for a filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        """Show all again."""
        self.query_one("#filter", Input).value = ""
        self._take_filter("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The filter was typed."""
        self._take_filter(event.value)

    def action_undo(self) -> None:
        """Undo the limit of the chosen process."""
        row = self.query_one(ProcessList).chosen
        if row is None or not row.limit:
            self._say("the chosen process is not limited")
        else:
            number = row.decision_id
            self._ask(lambda: self._daemon.undo(number))

    def action_answer(self, allowed: bool) -> None:
        """Approve or deny the limit that waits for the chosen process."""
        record = self._known()
        if record is None or record.decision.kind is not DecisionKind.PENDING:
            self._say("nothing waits for your word here; `brainkernel pending` lists what does")
        else:
            number = record.decision.id
            self._ask(lambda: self._daemon.answer(number, allowed))

    def action_feedback(self, good: bool) -> None:
        """Say that the decision about the chosen process was good, or bad."""
        record = self._known()
        if record is None:
            self._say("nobody decided about this process: there is nothing to judge")
        else:
            number = record.decision.id
            self._ask(lambda: self._daemon.feedback(number, good))

    def action_pause(self) -> None:
        """Pause, or resume."""
        on = not self._rows.paused
        self._ask(lambda: self._daemon.pause(on))

    def _take_filter(self, text: str) -> None:
        self._filter = text
        self.query_one("#filter", Input).display = False
        self.query_one(ProcessList).focus()
        self._show()
        self._look_closer()

    # The daemon is asked in a thread: a slow answer must not stop the keys. One question at a time.
    def _look(self) -> None:
        if not self._asking:
            self._asking = True
            self.run_worker(self._fetch, thread=True, exit_on_error=False)

    def _fetch(self) -> None:
        try:
            rows = self._daemon.rows()
        except BrainKernelError as error:
            self.call_from_thread(self._say, str(error))
        else:
            self.call_from_thread(self._take, rows)
        finally:
            self._asking = False

    def _take(self, rows: ProcessRows) -> None:
        self._rows = rows
        self._show()
        self._look_closer()

    def _look_closer(self) -> None:
        row = self.query_one(ProcessList).chosen
        if row is not None and row.decision_id and (self._record is None or self._record.decision.id != row.decision_id):
            number = row.decision_id
            self.run_worker(lambda: self._fetch_record(number), thread=True, exclusive=True, group="explain", exit_on_error=False)

    def _fetch_record(self, number: int) -> None:
        try:
            record = self._daemon.explain(number)
        except BrainKernelError as error:
            self.call_from_thread(self._say, str(error))
            return
        self.call_from_thread(self._take_record, record)

    def _take_record(self, record: DecisionRecord) -> None:
        self._record = record
        self._show_why()

    def _ask(self, question: Callable[[], str]) -> None:
        def answer() -> None:
            try:
                text = question()
            except BrainKernelError as error:
                text = str(error)
            self.call_from_thread(self._say, text)

        self.run_worker(answer, thread=True, exit_on_error=False)

    def _say(self, text: str) -> None:
        self._said = text
        self._show_why()

    def _show(self) -> None:
        self.query_one("#summary", Static).update(top_view.summary(self._rows, self.size.width, self._filter, self._order))
        self.query_one(ProcessList).show(top_view.chosen(self._rows.rows, self._filter, self._order))
        self._show_why()

    # What was decided about the chosen process, as far as it arrived.
    def _known(self) -> DecisionRecord | None:
        row, record = self.query_one(ProcessList).chosen, self._record
        return record if row and record and record.decision.id == row.decision_id else None

    def _show_why(self) -> None:
        lines = ([f"! {self._said}"] if self._said else []) + top_view.why(self.query_one(ProcessList).chosen, self._known())
        self.query_one("#why", Static).update("\n".join(lines))
