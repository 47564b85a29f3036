"""Run the agent in the foreground: both processes, one line per new program, a summary at the end.

First it says what this host can do: kernel, BTF, loader, cgroup v2 or why not, systemd, language model. Ctrl-C or
--seconds ends it; every limit it set is then released.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import options

if TYPE_CHECKING:
    import argparse

    from brainkernel.run import RunOptions

EXAMPLES = (
    ("brainkernel run", "watch, in the configured mode (observe by default)"),
    ("brainkernel run --seconds 20 --json", "20 seconds, one JSON object per line"),
    ("brainkernel run --mode enforce --state-dir /tmp/try", "limit what hurts others, with a state of its own"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of run."""
    parser.add_argument("--seconds", type=options.seconds, metavar="N", help="end after this time (default: at Ctrl-C)")
    parser.add_argument(
        "--mode", choices=("observe", "enforce"), help="observe writes nothing; enforce limits (default: the configuration's)"
    )
    parser.add_argument(
        "--loader", choices=("auto", "core", "bcc", "netlink"), help="how kernel events are read (default: the configuration's)"
    )
    parser.add_argument("--all-events", action="store_true", help="turn the gate in the kernel off: show every exec, known or not")
    parser.add_argument("--no-gateway", action="store_true", help="start no gateway: no LLM, no metrics endpoint")
    options.add_json(parser)
    options.add_config(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run it until the end."""
    from brainkernel.cli.live_report import JsonReport, TextReport  # noqa: PLC0415 # the whole agent: --help must not load it
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.host import read_facts  # noqa: PLC0415
    from brainkernel.run import run_foreground  # noqa: PLC0415

    run_options = run_options_of(arguments)
    mode = run_options.config().agent.mode
    report: JsonReport | TextReport
    if arguments.json:
        report = JsonReport(sys.stdout, all_events=arguments.all_events)
    else:
        report = TextReport(sys.stdout, SystemClock(), all_events=arguments.all_events)
    report.banner(read_facts(), mode)
    try:
        report.summary(run_foreground(run_options, report))
    finally:
        report.close()
    return 0


def run_options_of(arguments: argparse.Namespace) -> RunOptions:
    """The typed form of the parsed options."""
    from brainkernel.run import RunOptions  # noqa: PLC0415 # the whole agent

    return RunOptions(
        config_file=arguments.config,
        state_dir=arguments.state_dir,
        runtime_dir=arguments.runtime_dir,
        seconds=arguments.seconds,
        mode=arguments.mode,
        loader=arguments.loader,
        all_events=arguments.all_events,
        gateway=not arguments.no_gateway,
    )
