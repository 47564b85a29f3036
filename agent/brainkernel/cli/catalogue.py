"""Every command's name, one line of help and module, without importing any: `brainkernel --help` stays fast."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import argparse


class Command(Protocol):
    """What the module of a command offers. Its docstring is the description in its help and in the manual."""

    EXAMPLES: tuple[tuple[str, str], ...]  # command line, what it does

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and positional arguments, each with its help."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code. Raises BrainKernelError for what `main` shall say in one line."""
        ...


class Entry(NamedTuple):
    """One command."""

    name: str
    help: str
    module: str  # below brainkernel.cli

    def load(self) -> Command:
        """Import the command's module."""
        return cast("Command", importlib.import_module(f"brainkernel.cli.{self.module}"))


ALL = (
    Entry("run", "run the agent in the foreground and show what it sees", "run"),
    Entry("daemon", "run the privileged daemon (the service does this)", "daemon"),
    Entry("gateway", "run the unprivileged gateway (the service does this)", "gateway"),
    Entry("status", "what the running agent does and how it fares", "status"),
    Entry("top", "watch processes, categories and limits live", "top"),
    Entry("trends", "the agent's own figures over time: what is unlike itself, and where it goes", "trends"),
    Entry("list", "the latest decisions", "listing"),
    Entry("explain", "why one decision was made, and what it achieved", "explain"),
    Entry("undo", "take one limit back", "undo"),
    Entry("release", "take limits back, also when the daemon is gone", "release"),
    Entry("pending", "limits that wait for a person's approval", "pending"),
    Entry("approve", "allow a pending limit", "approve"),
    Entry("deny", "forbid a pending limit", "deny"),
    Entry("audit", "who paused, undid, approved or denied what", "audit"),
    Entry("strategy", "how bold the agent is: show it, or force it for a time", "strategy"),
    Entry("feedback", "say whether a decision was good", "feedback"),
    Entry("pause", "stop acting at once; go on watching", "pause"),
    Entry("resume", "act again after a pause", "resume"),
    Entry("alert", "how alerts stand, and test their deliveries", "alert"),
    Entry("classify", "say what programs are, from records in a file", "classify"),
    Entry("record", "write this host's process events into a file", "record"),
    Entry("replay", "run recorded events through the whole pipeline, without acting", "replay"),
    Entry("versions", "the kept versions of policy, rules and models, and which one is in force", "versions"),
    Entry("diff", "what differs between two versions", "diff"),
    Entry("rollback", "go back to an earlier version", "rollback"),
    Entry("canary", "try a version out on a share of all programs", "canary"),
    Entry("simulate", "see what another policy would have decided", "simulate"),
    Entry("redact", "show what would leave the host of given command lines", "redact"),
    Entry("prompt", "show the exact messages an LLM would get", "prompt"),
    Entry("exam", "test how well a model classifies, which decides what its verdicts may do", "exam"),
    Entry("check-config", "say whether the configuration and rules are valid", "check_config"),
    Entry("doctor", "look whether this host has what the agent needs", "doctor"),
    Entry("completion", "print the completion script of a shell", "completion"),
)
