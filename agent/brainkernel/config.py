"""Every setting, declared once: its type, bounds, default and help all derive from the field below.

Reading: `load(path)` merges `brainkernel.toml` and `conf.d/*.toml` over the defaults. A wrong key, type or
bound is a `ConfigError` with file, line, key and the nearest valid name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from brainkernel.errors import ConfigError
from brainkernel.model import Category, Limit
from brainkernel.tomlplaces import line_of_key

DEFAULT_CONFIG_FILE = Path("/etc/brainkernel/brainkernel.toml")
DEFAULT_STATE_DIR = Path("/var/lib/brainkernel")
DEFAULT_RUNTIME_DIR = Path("/run/brainkernel")
WEIGHT_MAX = 10_000  # of cpu.weight and io.weight, Documentation/admin-guide/cgroup-v2.rst
MEMORY_HIGH_MIN_MIB = 16  # below this hardly a shell lives

Percent = Annotated[float, Meta(ge=0)]
# Bounds, since TOML knows `inf`: a time is added to a clock in nanoseconds, and kept in SQLite's 64 bits.
Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
Count = Annotated[int, Meta(ge=0)]
Price = Annotated[float, Meta(ge=0)]


def _setting(help_text: str) -> Meta:
    return Meta(description=help_text)


class Agent(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the agent runs."""

    mode: Annotated[Literal["observe", "enforce"], _setting("observe computes and shows everything and writes nothing; enforce limits")] = (
        "observe"
    )
    loader: Annotated[Literal["auto", "core", "bcc", "netlink", "replay"], _setting("how kernel events are read")] = "auto"
    all_events: Annotated[bool, _setting("turn the gate in the kernel off: every exec becomes a record")] = False
    sample_interval_s: Annotated[Seconds, _setting("how often all tasks are sampled for CPU time and run delay")] = 1.0


class Gate(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What counts as new and as anomalous."""

    debounce_s: Annotated[Seconds, _setting("one decision per program that hurts in this time, or in the strategy's if shorter")] = 30.0
    cpu_share_min_pct: Annotated[Percent, _setting("below this share of one CPU nothing is anomalous")] = 25.0
    baseline_factor: Annotated[float, Meta(gt=1), _setting("anomalous is this many times its own baseline")] = 3.0
    exec_burst_per_s: Annotated[Count, _setting("execs per second of one parent that count as a burst; 0: off")] = 200
    fork_storm_per_s: Annotated[
        Count, _setting("processes of one name in one cgroup that begin per second and stay, which count as a fork storm; 0: off")
    ] = 100


class Symptoms(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """When somebody is hurt: all of these must hold over the window before anything is limited."""

    window_s: Annotated[Seconds, _setting("length of the window that is judged")] = 2.0
    pressure_pct: Annotated[Percent, _setting("PSI cpu 'some': share of the window in which a task waited")] = 10.0
    target_cpu_pct: Annotated[Percent, _setting("the target must use at least this share of one CPU")] = 25.0
    victim_wait_pct: Annotated[Percent, _setting("some other process must stand in a run queue at least this share of the window")] = 10.0
    strong_wait_pct: Annotated[
        Percent, _setting("where one stands there at least this share, a limit begins at the strongest step that caps nothing")
    ] = 30.0


class CategoryPolicy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What may be done to a category when it hurts: steps of a ladder, lightest first; empty: never limited."""

    limits: Annotated[
        tuple[str, ...],
        _setting('steps such as "cpu_weight=20", "idle", "cpu_quota=20%", "cpu_weight=20 io_weight=20", "memory_high=512M"'),
    ] = ()
    min_confidence: Annotated[float, Meta(ge=0, le=1), _setting("a less certain verdict does not limit")] = 0.7
    approval: Annotated[bool, _setting("wait for a person's approve")] = False


# The quota's step keeps the one before: within its quota a hog would else run at full weight again, 20 ms on end.
_QUOTA_LADDER = ("cpu_weight=20", "idle", "idle cpu_quota=20%")


class Policy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What may be done, by category. Categories that are absent here are never limited."""

    step_after_s: Annotated[
        Seconds, _setting("go one step up the ladder if it still hurts after this time; at once if a whole window shows no effect")
    ] = 3.0
    lease_s: Annotated[Seconds, _setting("a limit ends after this time unless it still hurts")] = 60.0
    background: CategoryPolicy = CategoryPolicy(limits=_QUOTA_LADDER)
    bloatware: CategoryPolicy = CategoryPolicy(limits=_QUOTA_LADDER)
    suspicious: CategoryPolicy = CategoryPolicy(limits=_QUOTA_LADDER)
    development: CategoryPolicy = CategoryPolicy(limits=("cpu_weight=20",), min_confidence=0.8)
    interactive: Annotated[CategoryPolicy, _setting("browsers, editors and the like: weights only, nothing that caps them")] = (
        CategoryPolicy()
    )

    def of(self, category: Category) -> CategoryPolicy:
        """The policy of a category; for a category that is never limited, one without limits."""
        found = getattr(self, category.value, None)
        return found if isinstance(found, CategoryPolicy) else CategoryPolicy()


class Safety(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is never touched, beside the built-in list (`brainkernel doctor` shows both)."""

    protected_exes: Annotated[tuple[str, ...], _setting("exact paths of programs")] = ()
    protected_units: Annotated[tuple[str, ...], _setting("exact names of systemd units")] = ()
    protected_packages: Annotated[
        tuple[str, ...], _setting("names of packages; a file of theirs whose checksum is not the package's is not protected")
    ] = ()
    containers: Annotated[
        bool, _setting("let limits reach scopes of docker, podman and others that systemd manages; pods and virtual machines never")
    ] = False
    max_limits_per_minute: Annotated[Count, _setting("rate limit over the whole host")] = 10
    max_active_limits: Annotated[Count, _setting("how many limits may stand at once")] = 32


class Llm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which language model is asked, and how much it may cost."""

    backend: Annotated[
        Literal["auto", "groq", "ollama", "llamacpp", "none"],
        _setting("auto: groq if GROQ_API_KEY is set, else an Ollama that answers, else llamacpp if a model file is named, else none"),
    ] = "auto"
    groq_model: Annotated[str, _setting("model name at Groq")] = "llama-3.1-8b-instant"
    ollama_model: Annotated[str, _setting("model name at Ollama; empty: the first one it has")] = ""
    llamacpp_model_file: Annotated[str, _setting("path of a .gguf file")] = ""
    llamacpp_threads: Annotated[
        int, Meta(ge=1, le=256), _setting("of the embedded model: several answer sooner on idle CPUs, and spin for each other on busy ones")
    ] = 1
    may_act: Annotated[
        bool, _setting("let an LLM's verdict limit although its model has not passed `brainkernel exam`; without it the exam decides")
    ] = False
    deadline_ms: Annotated[int, Meta(ge=50), _setting("from the start of a program on; a later answer only goes into the cache")] = 3000
    batch_size: Annotated[int, Meta(ge=1, le=8), _setting("programs per question")] = 8
    groq_tokens_per_minute: Annotated[Count, _setting("rate limit of your Groq account, 6000 on its free tier; 0: none")] = 6000
    tokens_per_hour: Annotated[Count, _setting("hard stop, over restarts too")] = 200_000
    tokens_per_day: Annotated[Count, _setting("hard stop, over restarts too")] = 2_000_000
    groq_dollars_per_million_in: Annotated[
        Price, _setting("what a million tokens sent cost you; 0, as _out: by the shipped price list")
    ] = 0.0
    groq_dollars_per_million_out: Annotated[Price, _setting("what a million tokens received cost you")] = 0.0
    cache_days: Annotated[float, Meta(gt=0, le=3_660), _setting("how long an LLM's verdict is kept")] = 30.0
    refreshes_per_hour: Annotated[Count, _setting("verdicts of likely programs, asked for again before they expire; 0: none")] = 12


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the gateway serves."""

    listen: Annotated[str, _setting("address:port of the metrics and the dashboard; empty: none")] = "127.0.0.1:9750"
    socket: Annotated[str, _setting("path of a Unix socket that serves the same to its owner and group; empty: none")] = ""
    token_file: Annotated[
        str,
        _setting(
            "file with the token that whoever reads must have; empty: systemd's credential http-token, else none, for this host alone"
        ),
    ] = ""


class Tracing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Decisions as OpenTelemetry traces (needs the extra `otlp`: pip install 'brainkernel-agent[otlp]')."""

    endpoint: Annotated[
        str, _setting("where an OTLP collector takes traces over HTTP, as http://127.0.0.1:4318/v1/traces; empty: none")
    ] = ""
    decisions_per_minute: Annotated[int, Meta(ge=1, le=120), _setting("at most; those beyond are counted and left out")] = 60


class Notify(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How alerts are delivered. Where to, stands in files: notify.d/slack.url and so on, or systemd credentials."""

    messages_per_minute: Annotated[int, Meta(ge=1), _setting("per channel; what is beyond waits and is folded into one message")] = 6
    quiet_hours: Annotated[
        str,
        Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$"),
        _setting("such as 22:00-07:00, the host's time: only critical alerts are sent, the rest waits for their end; empty: never"),
    ] = ""


class Store(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is kept on disk."""

    decisions_max: Annotated[int, Meta(ge=100), _setting("oldest decisions beyond this number are deleted")] = 50_000


class Approvals(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Limits that wait for a person: those of a category whose `policy.CATEGORY.approval` says so, and these."""

    below_confidence: Annotated[
        float,
        Meta(ge=0, le=1),
        _setting("a limit whose verdict is less sure than this waits for a person, in every category; 0: none does"),
    ] = 0.0
    first_time: Annotated[bool, _setting("the first limit of each program waits for a person")] = False
    timeout_s: Annotated[Seconds, _setting("without an answer in this time the answer is no")] = 600.0


Weight = Annotated[float, Meta(ge=0, le=1)]


class Quality(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the agent's own decisions are judged."""

    min_samples: Annotated[float, Meta(ge=1), _setting("no rate is shown out of less than this; a sample counts as much as its weight")] = (
        10.0
    )
    feedback_weight: Annotated[Weight, _setting("of `brainkernel feedback`")] = 1.0
    undo_weight: Annotated[Weight, _setting("of a limit that a person took back within ten minutes")] = 0.9
    effect_weight: Annotated[Weight, _setting("of the measured effect: a limit that helped, or helped nobody")] = 0.25
    labels_weight: Annotated[Weight, _setting("of the labels file, once a day for each program")] = 0.8
    exam_weight: Annotated[Weight, _setting("of each question of the last exam of a language model (`brainkernel exam`)")] = 0.05
    labels_file: Annotated[str, _setting('what programs are, a line each: {"exe": "/usr/bin/x", "expected": CATEGORY}; empty: none')] = ""


class Learning(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the agent learns by itself."""

    enabled: Annotated[
        bool,
        _setting("learn from feedback, undone limits, measured effects and examined language models; what is learned is a new version"),
    ] = True


class Versions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The kept versions of policy, rules, thresholds, strategy and models."""

    keep: Annotated[int, Meta(ge=2), _setting("how many are kept; some 1.3 MB each")] = 32
    canary_share: Annotated[
        float, Meta(ge=0, lt=1), _setting("a new version decides about this share of all programs first; 0: about all of them at once")
    ] = 0.0
    canary_hours: Annotated[float, Meta(gt=0, le=366 * 24), _setting("how long it does so before it is taken up, unless it does worse")] = (
        24.0
    )


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole configuration."""

    agent: Agent = Agent()
    gate: Gate = Gate()
    symptoms: Symptoms = Symptoms()
    policy: Policy = Policy()
    safety: Safety = Safety()
    llm: Llm = Llm()
    http: Http = Http()
    notify: Notify = Notify()
    tracing: Tracing = Tracing()
    store: Store = Store()
    quality: Quality = Quality()
    approvals: Approvals = Approvals()
    learning: Learning = Learning()
    versions: Versions = Versions()


_PART = re.compile(
    r"cpu_weight=(?P<weight>\d{1,5})|(?P<idle>idle)|cpu_quota=(?P<quota>\d+(?:\.\d+)?)%"
    r"|io_weight=(?P<io_weight>\d{1,5})|memory_high=(?P<memory_high>\d{1,7})(?P<unit>[MG])"
)


def limit_of(text: str) -> Limit:
    """Parse one step of a ladder. Raises ValueError with what is allowed."""
    found: dict[str, Any] = {}
    for part in text.split():
        match = _PART.fullmatch(part)
        if match is None:
            msg = (
                f'{text!r} is not a limit; write "cpu_weight=N", "idle", "cpu_quota=N%", "io_weight=N", "memory_high=NM" or several of them'
            )
            raise ValueError(msg)
        for name, value in _knob_of(match).items():
            if name in found:
                msg = f"{text!r} sets {name} twice"
                raise ValueError(msg)
            found[name] = value
    if not found:
        msg = "an empty step limits nothing"
        raise ValueError(msg)
    return Limit(**found)


def _knob_of(match: re.Match[str]) -> dict[str, Any]:
    if match["idle"]:
        return {"cpu_weight": 0}
    if match["quota"]:
        return {"cpu_quota_pct": _at_least("cpu_quota", float(match["quota"]), 1, " %")}
    if match["memory_high"]:
        mebibytes = _at_least("memory_high", int(match["memory_high"]) * (1024 if match["unit"] == "G" else 1), MEMORY_HIGH_MIN_MIB, "M")
        return {"memory_high_bytes": int(mebibytes) << 20}
    name = "cpu_weight" if match["weight"] else "io_weight"
    weight = int(match["weight"] or match["io_weight"])
    if not 1 <= weight <= WEIGHT_MAX:
        msg = f"{name} must be 1 to {WEIGHT_MAX}, not {weight}"
        raise ValueError(msg)
    return {name: weight}


def _at_least(name: str, value: float, least: int, unit: str) -> float:
    if value < least:
        msg = f"{name} must be {least}{unit} or more, not {value:g}{unit}"
        raise ValueError(msg)
    return value


def load(path: Path | None) -> Config:
    """Read the configuration file and its conf.d beside it, in order of name.

    `None` means the default file, which may be absent; a file that is named must exist.
    """
    main = path or DEFAULT_CONFIG_FILE
    if path is not None and not path.is_file():
        msg = f"{path}: no such file; leave --config out to use the defaults"
        raise ConfigError(msg)
    files = [f for f in (main, *sorted((main.parent / "conf.d").glob("*.toml"))) if f.is_file()]
    # Over the defaults in all depth: who sets only `approval` of a category keeps its limits.
    merged: dict[str, Any] = msgspec.to_builtins(Config())
    for file in files:
        text = _text_of(file)
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            msg = f"{file}: {error}"
            raise ConfigError(msg) from None
        _convert(table, file, text)  # each file by itself, so that an error names its own line
        _merge(merged, table)
    return msgspec.convert(merged, Config)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read: {error}"
        raise ConfigError(msg) from None


def _merge(into: dict[str, Any], table: dict[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _convert(table: dict[str, Any], file: Path, text: str) -> Config:
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise _config_error(str(error), file, text) from None
    for category in Category:
        for step in config.policy.of(category).limits:
            try:
                if not limit_of(step).nudges and category is Category.INTERACTIVE:
                    _refuse_cap(step)
            except ValueError as error:
                where = _where(file, text, ["policy", category.value, "limits"])
                msg = f"{where}: {error}"
                raise ConfigError(msg) from None
    return config


def _refuse_cap(step: str) -> None:
    msg = f"{step!r} would cap what a person works with: only cpu_weight and io_weight are allowed here"
    raise ValueError(msg)


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_AT = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`$")


def _config_error(message: str, file: Path, text: str) -> ConfigError:
    if match := _UNKNOWN.fullmatch(message):
        path = [p for p in (match["path"] or "").split(".") if p]
        valid = [f.name for f in msgspec.structs.fields(_struct_at(path))]
        near = difflib.get_close_matches(match["key"], valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(valid)}"
        return ConfigError(f"{_where(file, text, [*path, match['key']])}: unknown key; {hint}")
    if match := _AT.fullmatch(message):
        path = [re.sub(r"\[.*", "", p) for p in match["path"].split(".")]
        return ConfigError(f"{_where(file, text, path)}: {match['what']}")
    return ConfigError(f"{file}: {message}")


def _struct_at(path: list[str]) -> type[msgspec.Struct]:
    struct: Any = Config
    for name in path:
        struct = next(f.type for f in msgspec.structs.fields(struct) if f.name == name)
    return struct  # type: ignore[no-any-return]


def _where(file: Path, text: str, path: list[str]) -> str:
    return f"{file}:{line_of_key(text, path)}: {'.'.join(path)}"
