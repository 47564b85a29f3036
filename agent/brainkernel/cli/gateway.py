"""Run the unprivileged gateway in the foreground of its service.

It alone speaks to language models, serves the metrics and the dashboard, and delivers alerts; it sees nothing that was not
redacted, and decides nothing. The daemon works without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.cli import options

if TYPE_CHECKING:
    import argparse

EXAMPLES = (("brainkernel gateway", "what brainkernel-gateway.service runs"),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of gateway."""
    options.add_config(parser)
    options.add_runtime_dir(parser)
    parser.add_argument(
        "--drop-privileges-to",
        metavar="USER",
        help="become this user before the first byte of the network is read",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="D",
        default=Path(os.environ["STATE_DIRECTORY"]) if os.environ.get("STATE_DIRECTORY") else None,
        help="where alerts wait until they are delivered (default: $STATE_DIRECTORY, as systemd sets it; else in memory)",
    )
    parser.add_argument("--end-with", type=options.natural, metavar="PID", help="end when this process, the parent, has ended")


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM."""
    from brainkernel import config  # noqa: PLC0415 # --help needs neither
    from brainkernel.gateway import credentials  # noqa: PLC0415
    from brainkernel.gateway.notify.channels import directories_of  # noqa: PLC0415
    from brainkernel.gateway.service import serve  # noqa: PLC0415 # LLM clients
    from brainkernel.gateway.web.token import read_token  # noqa: PLC0415
    from brainkernel.link.messages import GATEWAY_SOCKET  # noqa: PLC0415

    credentials.take(os.environ)
    settings = config.load(arguments.config)
    return serve(
        arguments.runtime_dir / GATEWAY_SOCKET,
        settings,
        drop_privileges_to=arguments.drop_privileges_to,
        dies_with_parent=arguments.end_with,
        state_dir=arguments.state_dir,
        notify_dirs=directories_of(os.environ, arguments.config or config.DEFAULT_CONFIG_FILE),
        token=read_token(settings.http.token_file, os.environ),
    )
