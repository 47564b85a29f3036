"""Run the privileged daemon in the foreground of its service.

It sees, decides and acts; it opens no IP socket. `systemctl start brainkernel` starts it with few capabilities;
for a try by hand use `brainkernel run`, which starts both processes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import log, options

if TYPE_CHECKING:
    import argparse

_HOW_TO_GO_ON = {
    "observe": (
        "observing: nothing on this host is changed. `brainkernel status` says how it fares, `brainkernel list` what it would limit; "
        'to let it act, set agent.mode = "enforce" in /etc/brainkernel/brainkernel.toml and say `systemctl reload brainkernel`'
    ),
    "enforce": (
        "enforcing: what hurts others is slowed down, reversibly. `brainkernel list --active` shows whom, `brainkernel explain ID` why, "
        "`brainkernel undo ID` ends it, `brainkernel pause` ends all"
    ),
}

EXAMPLES = (("brainkernel daemon", "what brainkernel.service runs"),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of daemon."""
    options.add_config(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM; what happens is told in JSON lines on stderr, which the journal keeps."""
    from brainkernel.cli.flood import Flood  # noqa: PLC0415
    from brainkernel.cli.live_report import JournalReport  # noqa: PLC0415 # the whole agent: --help must not load it
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.host import read_facts  # noqa: PLC0415
    from brainkernel.run import RunOptions, run_foreground  # noqa: PLC0415

    flood = Flood(SystemClock())
    log.start(flood=flood)
    run_options = RunOptions(config_file=arguments.config, state_dir=arguments.state_dir, runtime_dir=arguments.runtime_dir, gateway=False)
    report = JournalReport(sys.stderr, flood)
    mode = run_options.config().agent.mode
    report.banner(read_facts(), mode)
    report.notice(_HOW_TO_GO_ON[mode])
    try:
        report.summary(run_foreground(run_options, report))
    finally:
        report.close()
    return 0
