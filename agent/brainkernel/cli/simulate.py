"""Show what another policy or local model would have decided, from the decisions that the agent kept, before it is loaded.

Each kept decision is judged again under the new configuration: its verdict, the harm and what safety saw stay as they
were; with --model, programs that only the local model or nobody knew are judged by that one. It reads the state database
beside the running agent and writes nothing. Exit code 1 when a program would be
limited that is system-critical, interactive or a service, that a person called so, or that a protected list kept from it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.cli import options
from brainkernel.errors import UsageError

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel simulate --policy new.toml --since 7d", "a week under the new configuration file"),
    ("brainkernel simulate --model model.bin", "the configuration as it is, with another local model"),
    ("brainkernel simulate --policy new.toml --json | jq .would_be_limited", "for programs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of simulate."""
    parser.add_argument("--policy", type=Path, metavar="F", help="the new configuration file (its policy, safety, symptoms, approvals)")
    parser.add_argument("--model", type=Path, metavar="M", help="another local model: the model.bin of a version, or of scripts/train")
    parser.add_argument("--since", type=options.duration, default="7d", metavar="T", help="how far back: 2h, 7d (default: %(default)s)")
    options.add_state_dir(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate and print; 1 if protected programs would be touched. Raises UsageError, ConfigError and StoreError."""
    from brainkernel import config, simulating  # noqa: PLC0415 # --help needs neither
    from brainkernel.classify.knowledge import Knowledge  # noqa: PLC0415
    from brainkernel.classify.model import LocalModel, ModelTier  # noqa: PLC0415
    from brainkernel.cli import terminal  # noqa: PLC0415
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.store.reading import read_decisions, read_judgements  # noqa: PLC0415

    if arguments.policy is None and arguments.model is None:
        msg = "name what is to be tried: --policy F, --model M, or both"
        raise UsageError(msg)
    for file in (arguments.policy, arguments.model):
        if file is not None and not file.is_file():
            msg = f"{file}: no such file"
            raise UsageError(msg)
    policy = config.load(arguments.policy)
    model = ModelTier(LocalModel(arguments.model), Knowledge()).judge if arguments.model else None
    since_ns = SystemClock().wall_ns() - int(arguments.since * 1e9)
    decisions, judgements = read_decisions(arguments.state_dir, since_ns), read_judgements(arguments.state_dir, since_ns)
    found = simulating.simulate(decisions, judgements, policy, model)
    if arguments.json:
        print(terminal.json_line(simulating.object_of(found)))
    else:
        print("\n".join(simulating.lines_of(found)))
    sys.stdout.flush()
    return int(bool(found.protected))
