"""The nouns: what the stages hand to each other, from a kernel event to a lesson learned.

Everything here is a frozen value. Nothing here reads the system, and no field is a bare pid or a bare
path where identity matters: a process is a `ProcessKey`, a program file is a `FileId`.

What is made for each record of the kernel is a msgspec Struct: made, compared and hashed in C, in a tenth of a dataclass's
time. None of these can be part of a cycle, so the collector need not know them (`gc=False`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import msgspec

CLOCK_TICK_NS = 10_000_000  # USER_HZ is 100 on every Linux ABI; /proc/PID/stat counts in it


class ProcessKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One process, even after its pid is used again.

    `start_ns` is `task_struct.start_boottime` (CLOCK_BOOTTIME) cut down to a clock tick, because that is
    all that `/proc/PID/stat` shows; a key made from a kernel record and one made from /proc are then equal.
    """

    tgid: int
    start_ns: int

    @classmethod
    def at(cls, tgid: int, start_ns: int) -> ProcessKey:
        """Make a key from a start time of any resolution."""
        return cls(tgid, start_ns - start_ns % CLOCK_TICK_NS)


class FileId(msgspec.Struct, frozen=True, gc=False):
    """One version of one file: replacing or rewriting it changes the ctime or the inode.

    `dev` is the kernel's `s_dev` (12 bits major, 20 bits minor), not the encoding of stat(2).
    """

    dev: int
    ino: int
    ctime_ns: int


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What the gate remembers: this program, started by that one, for this user.

    `file` and `parent_file` are None for events that come without inodes (a replay, netlink); the paths
    then carry the identity alone.
    """

    exe: str
    file: FileId | None
    parent_exe: str
    parent_file: FileId | None
    uid: int


class Mark(enum.Enum):
    """Something odd about how a program was started, seen in the kernel or in its path."""

    DELETED = "deleted"  # i_nlink was 0: the file is gone from the disk
    MEMFD = "memfd"  # an anonymous file in memory
    SETUID = "setuid"  # euid differs from uid after exec
    WORLD_WRITABLE_DIR = "world_writable_dir"  # /tmp, /dev/shm, /var/tmp ...
    HIDDEN_DIR = "hidden_dir"  # a path component that begins with a dot
    ARGV0_MISMATCH = "argv0_mismatch"  # argv[0] names something other than the file
    ARGV_TRUNCATED = "argv_truncated"  # longer than one record holds
    OVERLAY_UPPER = "overlay_upper"  # in the writable layer of an overlay: not as a container's image brought it


class Ancestor(msgspec.Struct, frozen=True, gc=False):
    """One process above another, as it was when that one started; it may have ended since.

    `file` is None for a kernel thread, `exe` is "" when nobody could say which path the file had.
    """

    key: ProcessKey
    comm: str
    file: FileId | None
    exe: str


class Exec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A program began in a process.

    Strings are decoded with surrogateescape and unescaped: whoever shows them escapes them. `exe` is the
    resolved file (the interpreter for a script), `filename` what execve was given (the script), either may
    be "" when unknown. `cgroup` is the path below the cgroup v2 root, "" when unknown.
    """

    time_ns: int  # CLOCK_BOOTTIME
    key: ProcessKey
    parent: ProcessKey | None = None
    exe: str = ""
    file: FileId | None = None
    parent_exe: str = ""
    parent_file: FileId | None = None
    filename: str = ""
    argv: tuple[str, ...] = ()
    comm: str = ""
    uid: int = 0
    euid: int = 0
    cwd: str = ""
    cgroup: str = ""
    cgroup_id: int = 0
    tty: int = 0  # device number, 0: no controlling terminal
    loginuid: int | None = None
    sessionid: int | None = None  # of the audit session
    marks: frozenset[Mark] = frozenset()
    argv_hash: int = 0  # of all arguments, keyed, by the gate in the kernel; 0: it made none
    ancestors: tuple[Ancestor, ...] = ()  # nearest first, so the parent is the first one
    remembered: bool = False  # the gate in the kernel has it already, and was told to report it all the same

    @property
    def identity(self) -> Identity:
        """What the gate knows this start by."""
        return Identity(self.exe, self.file, self.parent_exe, self.parent_file, self.uid)


class Exit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A process ended. May come twice for one process (see bpf/exit.bpf.h): the second is a no-op.

    What it used is None where the loader cannot see it. `cpu_ns` sums all its threads up to the last tick,
    `run_delay_ns` those that lived to its end, `max_rss_bytes` is the most it ever had.
    """

    time_ns: int
    key: ProcessKey
    exit_code: int = 0
    cpu_ns: int | None = None
    run_delay_ns: int | None = None
    max_rss_bytes: int | None = None


class Fork(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A process was made by another; it runs its parent's program until it execs."""

    time_ns: int
    key: ProcessKey
    parent: ProcessKey


class Suppressed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The kernel held back `count` records of one cgroup since the last such notice (flood control)."""

    time_ns: int
    cgroup_id: int
    count: int


ProcessEvent = Exec | Exit | Fork | Suppressed


class TaskSample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One process in one snapshot of all tasks. Counters are since the start of the process.

    `cpu_ns` sums all its threads, `run_delay_ns` is the time they stood in a run queue, `reaped_ns` the CPU time of
    children that ended and were waited for, with theirs.
    """

    key: ProcessKey
    ppid: int
    uid: int
    comm: str
    cpu_ns: int
    run_delay_ns: int
    rss_bytes: int
    cgroup_id: int = 0
    reaped_ns: int = 0


class Category(enum.StrEnum):
    """What a program is in this use, not how it behaves (DESIGN.md section 7)."""

    SYSTEM_CRITICAL = "system_critical"
    INTERACTIVE = "interactive"
    SERVICE = "service"
    DEVELOPMENT = "development"
    BACKGROUND = "background"
    BLOATWARE = "bloatware"
    SUSPICIOUS = "suspicious"
    UNKNOWN = "unknown"


class Tier(enum.StrEnum):
    """Who gave a verdict, cheapest first."""

    RULES = "rules"
    CACHE = "cache"
    MODEL = "model"
    LLM = "llm"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is asked about: one program in one use. The record of `brainkernel classify`.

    `parents` are the exes of the ancestors, nearest first. All strings come from the process and may be hostile.
    """

    exe: str
    argv: tuple[str, ...] = ()
    comm: str = ""
    parents: tuple[str, ...] = ()
    uid: int = 0
    cwd: str = ""
    cgroup: str = ""
    filename: str = ""  # what execve was given; "" if not known


class PackageState(enum.StrEnum):
    """Whether the file is what its package shipped."""

    VERIFIED = "verified"
    MODIFIED = "modified"
    UNOWNED = "unowned"
    UNCHECKED = "unchecked"  # owned, but the checksum was not (yet) read


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The distribution package a program belongs to."""

    name: str
    section: str = ""
    summary: str = ""
    state: PackageState = PackageState.UNCHECKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The systemd unit whose cgroup a process lives in. `user_uid` is set for units of a user manager."""

    name: str  # "cron.service", "session-3.scope"
    description: str = ""
    slice: str = ""
    user_uid: int | None = None
    triggered_by: tuple[str, ...] = ()  # timers and sockets
    main_pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found out about a program. Each source may be missing: None or empty says "not known"."""

    package: Package | None = None
    unowned: bool = False  # looked up, and no package owns the file
    unit: Unit | None = None
    container: str = ""
    image: str = ""  # that the container was made of
    session: str = ""  # logind session id
    tty: str = ""
    script: str = ""  # what an interpreter runs
    script_package: Package | None = None  # who ships that script
    sockets: tuple[str, ...] = ()  # its connections on the Internet, in words
    remote_stdio: str = ""  # the far end, where its standard input or output is a connection
    exe_age_s: int | None = None  # since the program's file was last changed
    exe_sha256: str = ""  # of a file that no package owns
    run_delay_ns: int | None = None  # waited for a CPU, since it began
    disk_delay_ns: int | None = None  # waited for disks; None: the kernel does not count it
    marks: frozenset[Mark] = frozenset()


class ReasonCode(enum.StrEnum):
    """Why the gate let something pass."""

    NEW_PROGRAM = "new_program"
    NEW_PARENT = "new_parent"
    NEW_USER = "new_user"
    MARKED = "marked"
    NEW_ARGUMENTS = "new_arguments"  # an interpreter or dual-use tool with a command line not seen before
    CPU_SHARE = "cpu_share"
    RUN_DELAY = "run_delay"
    EXEC_BURST = "exec_burst"
    FORK_STORM = "fork_storm"
    ALREADY_RUNNING = "already_running"
    ASKED = "asked"  # by a person or a tool


_BEHAVIOUR = frozenset({ReasonCode.CPU_SHARE, ReasonCode.RUN_DELAY, ReasonCode.EXEC_BURST, ReasonCode.FORK_STORM})


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of the gate, with the numbers in words."""

    code: ReasonCode
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time one stage took for one suspect."""

    stage: str
    ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A program that deserves thought, why, and what is known of it."""

    key: ProcessKey
    program: Program
    identity: Identity
    reasons: tuple[Reason, ...]
    seen_ns: int  # CLOCK_BOOTTIME of the kernel event (or of the sample) that made it one
    evidence: Evidence = field(default_factory=Evidence)
    spans: tuple[Span, ...] = ()

    @property
    def anomalous(self) -> bool:
        """Whether it behaves unlike itself, rather than being new."""
        return any(r.code in _BEHAVIOUR for r in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a program is, who says so, and how sure. A proposal: no verdict acts by itself."""

    category: Category
    confidence: float  # 0..1
    tier: Tier
    reason: str
    rule: str = ""  # id of the rule, for tier RULES
    model: str = ""  # "groq/llama-3.1-8b-instant", for tier LLM
    may_act: bool = True  # False: the model has not passed its exam, so it may only be shown
    pending: bool = False  # an LLM was asked; its answer will come or not

    @classmethod
    def unknown(cls, reason: str, *, tier: Tier = Tier.NONE, pending: bool = False) -> Verdict:
        """We do not know; the program is left alone."""
        return cls(category=Category.UNKNOWN, confidence=0.0, tier=tier, reason=reason, pending=pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a process stands at this moment with the scheduler and its terminal (proc_pid_stat(5))."""

    flags: int  # task_struct.flags, PF_*
    nice: int
    policy: int  # SCHED_*
    affinity_restricted: bool  # may not run on all CPUs that pid 1 may run on
    leads_session: bool  # pid == session id, with a terminal
    owns_terminal: bool  # its process group is its terminal's foreground one, and not the session leader's own
    io_priority: int = 0  # as ioprio_get(2) gives it, 0: none of its own
    game_mode: bool = False  # started by gamemoderun
    presents: str = ""  # what it shows or plays to a person: "display (/dev/dri/card0)", "" if nothing is known of


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Somebody who waits while the target runs."""

    key: ProcessKey
    comm: str
    wait_pct: float  # of the window stood in a run queue, all its threads together


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """The harm that one process does right now, over one window of samples."""

    window_ns: int
    target_cpu_pct: float  # 100 is one CPU
    pressure_pct: float  # share of the window in which some task of the host waited for a CPU (PSI cpu some)
    run_queue_p99_us: float | None
    victims: tuple[Victim, ...]  # worst first, never of the target's own cgroup or family

    @property
    def text(self) -> str:
        """The harm in one sentence."""
        worst = f"; {self.victims[0].comm} waits {self.victims[0].wait_pct:.0f} %" if self.victims else ""
        return f"uses {self.target_cpu_pct:.0f} % of a CPU while the host waits {self.pressure_pct:.0f} % of the time{worst}"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a program may still have. Exactly one step of a ladder."""

    cpu_weight: int | None = None  # 1..10000, the kernel's default is 100; 0: idle
    cpu_quota_pct: float | None = None  # 100 is one CPU
    io_weight: int | None = None  # 1..10000, the kernel's default is 100
    memory_high_bytes: int | None = None  # above it the kernel reclaims, and the program waits

    @property
    def nudges(self) -> bool:
        """Whether it is weight alone: what has it may still use all that nobody else wants."""
        return self.cpu_weight != 0 and not self.caps

    @property
    def caps(self) -> bool:
        """Whether it takes something away that nobody else may want."""
        return self.cpu_quota_pct is not None or self.memory_high_bytes is not None

    def __str__(self) -> str:
        """As the operator writes it in the policy."""
        parts = []
        if self.cpu_weight is not None:
            parts.append("idle" if self.cpu_weight == 0 else f"cpu_weight={self.cpu_weight}")
        if self.cpu_quota_pct is not None:
            parts.append(f"cpu_quota={self.cpu_quota_pct:g}%")
        if self.io_weight is not None:
            parts.append(f"io_weight={self.io_weight}")
        if self.memory_high_bytes is not None:
            parts.append(f"memory_high={self.memory_high_bytes >> 20}M")
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A safety rule that said no, and why."""

    rule: str
    reason: str


class DecisionKind(enum.StrEnum):
    """What was decided, in one word for the summary and the metrics."""

    NOTE = "note"  # known now, nothing hurts
    LIMIT = "limit"  # to be limited (in mode observe: would be)
    PENDING = "pending"  # to be limited if a person approves
    REFUSED = "refused"  # hurts, but a safety rule forbids
    LEAVE = "leave"  # hurts, but the policy has no limit for what it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What may be done to one process, and why.

    A decision is a proposal: nothing has been written yet. Only `brainkernel.act` turns it into an `Action`,
    and every `Action` carries the value to restore. `limit` is None: leave it alone.
    """

    id: int
    time_ns: int  # CLOCK_REALTIME, for people
    decided_ns: int = 0  # CLOCK_BOOTTIME
    suspect: Suspect
    verdict: Verdict
    kind: DecisionKind
    reason: str  # shown to the operator verbatim
    symptom: Symptom | None = None
    limit: Limit | None = None
    refusals: tuple[Refusal, ...] = ()
    ladder: tuple[Limit, ...] = ()  # all steps that are open to it, lightest first
    acts: bool = False  # mode enforce, not paused: `act` may write
    lease_ns: int = 0  # how long the limit may stand without being renewed
    spans: tuple[Span, ...] = ()
    version: int = 0  # of policy, rules and models that decided; 0: none was kept


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One deed of a person (or of the agent, where `uid` is None) that is to be accounted for."""

    time_ns: int  # CLOCK_REALTIME
    deed: str  # "approve", "deny_always", "timed_out", "pause" ...
    uid: int | None = None  # by SO_PEERCRED
    pid: int | None = None
    decision_id: int | None = None
    exe: str = ""
    script: str = ""
    category: str = ""
    until_ns: int | None = None  # CLOCK_REALTIME, for what ends by itself
    text: str = ""


class Route(enum.StrEnum):
    """By which contract with systemd and the kernel a limit is set (DESIGN.md section 8)."""

    UNIT = "unit"
    SCOPE = "scope"
    TASK = "task"
    SUBTREE = "subtree"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Change:
    """One value written, and the one to restore. `before` and `after` as the interface spells them."""

    name: str  # the systemd property, the cgroup file, the thread ...
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A limit that stands. It holds all that undo needs, so that a restart can undo it from the ledger alone."""

    id: int  # that of its decision
    target: ProcessKey
    comm: str
    route: Route
    unit: str  # the unit whose properties were set, or that it lives in; "" if none
    cgroup: str  # its path below the cgroup root
    cgroup_id: int  # inode of that directory: a path can be used again
    limit: Limit
    changes: tuple[Change, ...]
    moved: tuple[ProcessKey, ...] = ()  # processes put into a cgroup of ours, or limited one by one
    user_uid: int | None = None  # whose manager owns the unit; None: the system's
    started_ns: int = 0  # CLOCK_BOOTTIME
    expires_ns: int = 0  # CLOCK_BOOTTIME
    why: str = ""  # this route and no other
    notes: tuple[str, ...] = ()  # what of the limit could not be had here, and why
    step: int = 0  # of its decision's ladder, at which it began
    lowest: int = 0  # the first step of that ladder that reaches those who wait: what is below it is as good as no limit
    earlier: tuple[str, ...] = ()  # what earlier steps gave single tasks: a child born amid a step has it still

    @property
    def owns_cgroup(self) -> bool:
        """Whether all that lives in `cgroup` is limited by it, and nothing else is."""
        return self.route in (Route.UNIT, Route.SCOPE, Route.SUBTREE)


class ReleaseResult(enum.StrEnum):
    """How the end of a limit went."""

    RESTORED = "restored"
    GONE = "gone"  # the unit or process ended, and the limit with it
    FOREIGN = "foreign"  # somebody else changed the value: it is theirs
    FAILED = "failed"  # still ours, will be tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a limit achieved, both sides measured over windows of the same length."""

    action_id: int
    window_ns: int
    target_cpu_pct_before: float
    target_cpu_pct_after: float
    pressure_pct_before: float
    pressure_pct_after: float
    victim: str  # comm of the worst victim, "" if there was none
    victim_wait_pct_before: float
    victim_wait_pct_after: float
    helped: bool
    throttled_pct: float | None = None  # of the window after, in which the limit held the target back; None: it has no quota
    run_queue_p99_us_before: float | None = None
    run_queue_p99_us_after: float | None = None

    @property
    def text(self) -> str:
        """The effect in one sentence."""
        parts = [f"used {self.target_cpu_pct_after:.0f} % of a CPU instead of {self.target_cpu_pct_before:.0f} %"]
        if self.victim and self.victim_wait_pct_before > 0:
            less = 100 * (1 - self.victim_wait_pct_after / self.victim_wait_pct_before)
            parts = [f"{self.victim} waited {abs(less):.0f} % {'less' if less >= 0 else 'more'}", f"it {parts[0]}"]
        if self.throttled_pct is not None:
            parts[-1] += f" and was held back {self.throttled_pct:.0f} % of the time"
        parts.append(f"the host waited {self.pressure_pct_after:.0f} % of the time instead of {self.pressure_pct_before:.0f} %")
        if self.run_queue_p99_us_before is not None and self.run_queue_p99_us_after is not None:
            parts.append(
                f"run queue p99 {self.run_queue_p99_us_after / 1000:.1f} ms instead of {self.run_queue_p99_us_before / 1000:.1f} ms"
            )
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is to be remembered of one outcome or of a person's word about a decision."""

    decision_id: int
    identity: Identity
    category: Category
    helped: bool | None = None
    undone_by_person: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamResult:
    """How one model did in its exam, with one version of the prompt."""

    backend: str
    model: str
    prompt_version: str
    time_ns: int  # CLOCK_REALTIME
    passed: bool
    asked: int
    failures: tuple[str, ...] = ()  # the criteria that were not met, in sentences
    measures: dict[str, float] = field(default_factory=dict)  # shares of 1
    paper: str = ""  # digest of the questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a person said of a decision."""

    time_ns: int  # CLOCK_REALTIME
    good: bool
    label: Category | None = None  # what the program is in that person's eyes
    text: str = ""
    uid: int | None = None  # who said it, by SO_PEERCRED


class JudgementSource(enum.StrEnum):
    """Where a word about a decision comes from; each has a weight in the configuration."""

    FEEDBACK = "feedback"
    UNDO = "undo"  # a person took the limit back soon after it was set
    EFFECT = "effect"  # measured: the limit helped, or helped nobody
    LABELS = "labels"  # people wrote down beforehand what the program is
    EXAM = "exam"  # a language model answered questions whose answers are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One word about whether a decision was right. A question it does not answer is None."""

    time_ns: int  # CLOCK_REALTIME of the word, not of the decision
    decision_id: int
    source: JudgementSource
    limited: bool  # the decision was a limit, written or only proposed
    act_right: bool | None = None  # whether limiting, or leaving alone, was right
    category_right: bool | None = None
    content: bool | None = None  # a person was content
    label: Category | None = None  # what the program is in that person's eyes
    uid: int | None = None  # of that person
    version: int = 0  # that decided


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision and all that followed from it: what the store keeps and `explain` shows."""

    decision: Decision
    action: Action | None = None
    refusals: tuple[Refusal, ...] = ()  # of `act`, after those of the decision
    outcome: Outcome | None = None  # the latest measurement
    released_ns: int | None = None  # CLOCK_REALTIME
    release: ReleaseResult | None = None
    feedback: tuple[Feedback, ...] = ()

    @property
    def active(self) -> bool:
        """Whether a limit of this decision still stands, as far as we know."""
        return self.action is not None and self.release in (None, ReleaseResult.FAILED)
