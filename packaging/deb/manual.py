"""The manual, the default configuration and the completions, made of the parsers and of what config and metrics declare.

usage: manual.py command|settings|metrics|default-settings|completion SHELL

Nothing is described twice: whoever adds an option, a setting or a metric describes it where it is declared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
import shtab
from brainkernel import __version__
from brainkernel.cli.catalogue import ALL
from brainkernel.cli.parser import parser_of
from brainkernel.config import CategoryPolicy, Config
from brainkernel.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "brainkernel \\- see what starts on this host and who suffers, and slow it down reversibly"
_FILES = (
    ("/etc/brainkernel/brainkernel.toml", "the configuration, see brainkernel.toml(5)"),
    ("/etc/brainkernel/conf.d/*.toml", "further settings, read after it in order of name"),
    ("/etc/brainkernel/rules.d/*.yaml", "your own rules; they come before the shipped ones"),
    ("/etc/credstore/brainkernel.groq-api-key", "the key of a Groq account, for the gateway alone; mode 0600"),
    ("/etc/brainkernel/alerts.yaml", "alert rules; see `brainkernel alert --help`"),
    ("/etc/credstore/brainkernel.notify-NAME", "where the channel slack, pagerduty, operations or webhook leads: Apprise URLs; mode 0600"),
    ("/etc/credstore/brainkernel.http-token", "the token that the dashboard and the metrics ask for; mode 0600"),
    ("/etc/default/brainkernel-gateway", "environment of the gateway: OLLAMA_HOST, GROQ_BASE_URL"),
    ("/var/lib/brainkernel/state.db", "decisions, baselines, verdicts"),
    ("/var/lib/brainkernel/versions/", "kept versions of policy, rules and models; current.json says which one is in force"),
    ("/var/lib/brainkernel/ledger", "what is limited and what was there before; `release --all` needs nothing else"),
    ("/run/brainkernel/control.sock", "where the commands ask the daemon; the group brainkernel may read"),
)
_SIGNALS = (
    ("SIGHUP", "read the configuration and the rules again (systemctl reload brainkernel)"),
    ("SIGUSR1", "pause: stop acting at once and take back what stands"),
    ("SIGTERM, SIGINT", "release every limit and end"),
)
_EXITS = (("0", "ok"), ("1", "failed"), ("2", "wrong usage"), ("3", "not permitted"), ("4", "the daemon is not running"))


class Setting(NamedTuple):
    """One setting as it is declared."""

    name: str
    help: str
    kind: str
    default: Any


class Section(NamedTuple):
    """One table of the configuration."""

    name: str
    help: str
    settings: tuple[Setting, ...]


def sections() -> Iterator[Section]:
    """Every table that a configuration may have. The policies of all categories are of one form, each with its defaults."""
    for field in msgspec.structs.fields(Config):
        table = field.default
        yield Section(field.name, _summary_of(type(table)), tuple(_settings_of(table)))
        for inner in msgspec.structs.fields(table):
            if isinstance(inner.default, CategoryPolicy):
                yield Section(f"{field.name}.{inner.name}", _summary_of(CategoryPolicy), tuple(_settings_of(inner.default)))


def _settings_of(table: msgspec.Struct) -> Iterator[Setting]:
    for name, hint in get_type_hints(type(table), include_extras=True).items():
        default = getattr(table, name)
        if not isinstance(default, msgspec.Struct):
            metas = [meta for meta in _metas_of(hint) if isinstance(meta, msgspec.Meta)]
            help_text = next((meta.description for meta in metas if meta.description), "")
            yield Setting(name, help_text, _kind_of(hint, metas), default)


def _metas_of(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        yield from metas
        yield from _metas_of(inner)


def _kind_of(hint: Any, metas: list[msgspec.Meta]) -> str:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(hint, "list of texts")
    signs = (("ge", "at least"), ("gt", "more than"), ("le", "at most"))
    bounds = [f"{sign} {getattr(meta, name):g}" for meta in metas for name, sign in signs if getattr(meta, name) is not None]
    return ", ".join([words, *bounds])


def _summary_of(thing: type) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _toml_of(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def command_page() -> str:
    """Write brainkernel(1)."""
    lines = [_head("BRAINKERNEL", 1), ".SH NAME", _NAME, ".SH SYNOPSIS", ".B brainkernel\n.I COMMAND\n[options]"]
    lines += [".SH DESCRIPTION", _roff(parser_of("").description or ""), ".SH COMMANDS"]
    commands = _subparsers()
    for entry in ALL:
        lines += _command_lines(entry.name, commands[entry.name])
    for heading, rows in (("EXIT STATUS", _EXITS), ("SIGNALS OF THE DAEMON", _SIGNALS), ("FILES", _FILES)):
        lines += [f".SH {heading}", *(f".TP\n.B {_roff(name)}\n{_roff(text)}" for name, text in rows)]
    lines += [".SH SEE ALSO", ".BR brainkernel.toml (5),\n.BR brainkernel-metrics (7),\n.BR systemd.resource-control (5)"]
    return "\n".join([*lines, ".PP\n/usr/share/doc/brainkernel-agent/operating.md.gz: the operator's guide"])


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in parser_of(None)._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 # argparse has no other way
    return dict(action.choices)


def _command_lines(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: "))
    yield f".SS {_roff(name)}\n.B {_roff(usage)}\n.PP\n{_roff(parser.description or '')}"
    for action in parser._actions:  # noqa: SLF001 # argparse has no other way
        if action.dest == "help":
            continue
        value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
        words = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        shown = f"{words} {value}" if action.option_strings and action.nargs != 0 else words
        yield f".TP\n.B {_roff(shown)}\n{_roff((action.help or '') % {'default': action.default, 'prog': 'brainkernel'})}"
    if parser.epilog:
        yield f".PP\n.nf\n{_roff(parser.epilog)}\n.fi"


def settings_page() -> str:
    """Write brainkernel.toml(5)."""
    lines = [_head("BRAINKERNEL.TOML", 5), ".SH NAME", "brainkernel.toml \\- configuration of the BrainKernel agent", ".SH SYNOPSIS"]
    lines += ["/etc/brainkernel/brainkernel.toml\n.br\n/etc/brainkernel/conf.d/*.toml", ".SH DESCRIPTION"]
    text = (
        "TOML. Everything has a default. Files of conf.d are read after the main one, in order of name, and what they set holds. "
        "A key that does not exist, a wrong type or a value out of bounds is refused with file, line and key; "
        "`brainkernel check-config` looks without applying. `systemctl reload brainkernel` applies a valid configuration; an invalid one "
        "is refused and the old one stays in force. The tables agent (but for mode) and store take effect at a restart of brainkernel, "
        "llm and http at a restart of brainkernel-gateway."
    )
    lines.append(_roff(text))
    lines.append(".PP\nA table [policy.CATEGORY] that is set replaces that category's defaults as a whole: name its limits, too.")
    for section in sections():
        lines += [f".SH [{section.name}]", _roff(section.help)]
        for one in section.settings:
            lines.append(f".TP\n.B {_roff(one.name)}\n{_roff(one.help)} ({_roff(one.kind)}; default: {_roff(_toml_of(one.default))})")
    return "\n".join([*lines, ".SH SEE ALSO", ".BR brainkernel (1)"])


def metrics_page() -> str:
    """Write brainkernel-metrics(7)."""
    lines = [_head("BRAINKERNEL-METRICS", 7), ".SH NAME", "brainkernel-metrics \\- figures of the BrainKernel agent for Prometheus"]
    lines += [".SH DESCRIPTION", "Served by the gateway at http://127.0.0.1:9750/metrics (http.listen in brainkernel.toml(5))."]
    for metric in METRICS:
        labels = f"; labels: {', '.join(metric.labels)}" if metric.labels else ""
        lines.append(f".TP\n.B {_roff(metric.name)}\n{_roff(metric.help)} ({metric.kind.value}{labels})")
    return "\n".join([*lines, ".SH SEE ALSO", ".BR brainkernel (1)"])


def default_settings() -> str:
    """Write the configuration as it is installed: every setting with its default, and nothing set."""
    lines = ["# What the BrainKernel agent may do: see brainkernel.toml(5). Each line below is the default.", ""]
    for section in sections():
        # An empty table of a policy would mean "no limits"; one of settings means nothing.
        mark = "#" if "." in section.name else ""
        lines += [f"# {section.help}", f"{mark}[{section.name}]"]
        for one in section.settings:
            lines += [f"# {one.help} ({one.kind})", f"#{one.name} = {_toml_of(one.default)}"]
        lines.append("")
    return "\n".join(lines)


def completion(shell: str) -> str:
    """Write the completion of a shell."""
    return shtab.complete(parser_of(None), shell)


def _head(title: str, section: int) -> str:
    built = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    return f'.TH {title} {section} "{built:%Y-%m-%d}" "brainkernel {__version__}"'


# A line may not begin with a control character; a hyphen is a minus where it may be typed.
def _roff(text: str) -> str:
    lines = text.strip("\n").replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line or ".PP" for line in lines)


def main() -> None:
    """Print one of them."""
    makers = {"command": command_page, "settings": settings_page, "metrics": metrics_page, "default-settings": default_settings}
    what, *rest = sys.argv[1:]
    print(completion(rest[0]) if what == "completion" else makers[what]())


if __name__ == "__main__":
    main()
