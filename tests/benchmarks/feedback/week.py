"""The generator of the week: what starts when, what it truly is, and how wrong the language model is about it.

Three things make up the week; all of it follows from the seed.

* **Everyday starts** come from a recording of a real host (`recording.jsonl.gz`, by `brainkernel record`): each of its program
  starts is replayed at random moments, ten times as often from 8 to 18 o'clock. They hurt nobody.
* **Incidents**: one of `PROGRAMS` programs begins, takes a CPU and a half for `INCIDENT_S` while an editor waits, and ends. They
  live under a workload runner that rules and packages do not know, so the language model is asked, and it errs as `ERRORS` says:
  about half of the servers are batch jobs to it. People look at `LOOKED_AT` of the decisions and say what the program is.
* **Hours** in which something is wrong: `SLOW` ones, in which the model takes `SLOW_MS` and much new software arrives; and
  `STORMS`, in which the whole host waits and no program of it is to blame.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from brainkernel.model import Category, Exec, ProcessKey
from brainkernel.sense.recording import EventReader

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDING = Path(__file__).with_name("recording.jsonl.gz")
S, HOUR_S, DAY_S = 1_000_000_000, 3_600, 86_400
DAYS = 7
INCIDENT_S = 30
INCIDENTS_PER_DAY = 120
EVERYDAY_PER_DAY = 400
LOOKED_AT = 0.5
NORMAL_MS, SLOW_MS = 400, 6_000
SLOW = ((1, 14, 2), (5, 10, 2))  # day, hour, hours
STORMS = ((3, 20, 1),)
NEWCOMER_EVERY_S = 15  # in a slow hour: ten and more decisions in each five minutes
RUNNER = ("/opt/runner/bin/runner", "/usr/lib/systemd/systemd")

# How often the model takes a program of one category for another one: by program, for it is asked once.
ERRORS: dict[Category, tuple[tuple[Category, float], ...]] = {
    Category.SERVICE: ((Category.BACKGROUND, 0.5),),
    Category.INTERACTIVE: ((Category.BACKGROUND, 0.3),),
    Category.BACKGROUND: ((Category.SERVICE, 0.1),),
}
# Family of programs, what they are, how many, and where they live.
PROGRAMS = (
    (Category.SERVICE, 36, "/srv/{team}/bin/{team}-server{number}", ("orders", "billing", "search")),
    (Category.INTERACTIVE, 12, "/opt/studio/{team}/canvas{number}", ("paint", "cut")),
    (Category.BACKGROUND, 72, "/opt/batch/{team}/job{number}", ("reindex", "rollup", "export", "thumbs")),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A program of an incident, what it truly is, and what the model will say that it is."""

    exe: str
    truth: Category
    said: Category


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """Something that begins at a second of the week: an incident of a job, or a start that hurts nobody."""

    at_s: int
    number: int
    start: Exec = field(compare=False)
    job: Job | None = field(default=None, compare=False)  # whose incident it is


class Week:
    """All that happens, by its seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 # a simulation, the same for the same seed
        self.jobs = list(self._jobs())
        self.truth = {job.exe: job for job in self.jobs}
        with gzip.open(RECORDING, "rt", encoding="utf-8", errors="surrogateescape") as lines:
            reader = EventReader(RECORDING.name)
            self._recorded = [event for line in lines if isinstance(event := reader.event_of(line), Exec)]

    @property
    def anything(self) -> Exec:
        """A recorded start, to make others like it."""
        return self._recorded[0]

    def happenings(self) -> list[Happening]:
        """Everything in order of time."""
        found = [*self._incidents(), *self._everyday(), *self._newcomers()]
        return sorted(Happening(at_s, number, start, job) for number, (at_s, job, start) in enumerate(found))

    def _jobs(self) -> Iterator[Job]:
        for truth, count, form, teams in PROGRAMS:
            for number in range(count):
                said, lot = truth, self._dice.random()
                for wrong, share in ERRORS[truth]:
                    if lot < share:
                        said = wrong
                        break
                    lot -= share
                yield Job(form.format(team=teams[number % len(teams)], number=number), truth, said)

    def _incidents(self) -> Iterator[tuple[int, Job, Exec]]:
        slots = DAYS * DAY_S // (INCIDENT_S + 24)  # never two at once: whose fault it is must be known
        for slot in self._dice.sample(range(slots), DAYS * INCIDENTS_PER_DAY):
            at_s = slot * (INCIDENT_S + 24) + self._dice.randrange(10)
            if not is_in(at_s, STORMS):
                job = self._dice.choice(self.jobs)
                yield at_s, job, start_of(job.exe, self.anything)

    def _everyday(self) -> Iterator[tuple[int, None, Exec]]:
        for day in range(DAYS):
            for _ in range(EVERYDAY_PER_DAY):
                hour = self._dice.choice([*range(24), *list(range(8, 18)) * 9])
                yield day * DAY_S + hour * HOUR_S + self._dice.randrange(HOUR_S), None, self._dice.choice(self._recorded)

    def _newcomers(self) -> Iterator[tuple[int, None, Exec]]:
        like = self.anything
        for day, hour, hours in SLOW:
            for number, at_s in enumerate(range(hours * HOUR_S // NEWCOMER_EVERY_S)):
                exe = f"/opt/new{day}/bin/tool{number}"
                begin_s = day * DAY_S + hour * HOUR_S
                yield begin_s + at_s * NEWCOMER_EVERY_S, None, start_of(exe, like)


def is_in(at_s: int, hours: tuple[tuple[int, int, int], ...]) -> bool:
    """Whether a second of the week lies in one of these hours."""
    return any(day * DAY_S + hour * HOUR_S <= at_s < day * DAY_S + (hour + length) * HOUR_S for day, hour, length in hours)


def start_of(exe: str, like: Exec, **changes: Any) -> Exec:
    """A start of a program under the workload runner."""
    name = exe.rpartition("/")[2][:15]
    return replace_start(like, exe=exe, filename=exe, argv=(exe, "--serve"), comm=name, parent_exe=RUNNER[0], **changes)


def replace_start(event: Exec, **changes: Any) -> Exec:
    """The same start in another process and at another time; its ancestors ran on the recorded host."""
    plain: dict[str, Any] = {"parent": None, "ancestors": (), "cgroup": "", "uid": 997, "euid": 997, "file": None, "parent_file": None}
    return msgspec.structs.replace(event, **(plain | changes))


def key_of(pid: int, now_ns: int) -> ProcessKey:
    """The process that begins now under this pid."""
    return ProcessKey.at(pid, now_ns)
