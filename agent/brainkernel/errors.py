"""The broken contracts that reach a person, each with the exit code of its kind.

Something that is merely gone (a process, a unit, a file) is never an exception: the boundary that looked
returns None.
"""

from __future__ import annotations

from typing import ClassVar


class BrainKernelError(Exception):
    """Base of what `main` turns into one line on stderr and an exit code. The message says what to do next."""

    exit_code: ClassVar[int] = 1


class UsageError(BrainKernelError):
    """The call or a file it names is wrong: a bad option, configuration, rule or input record."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration, rule or alert file is not valid. The message names file, line and key."""


class PermissionDeniedError(BrainKernelError):
    """This needs root, a group or a capability that the caller does not have."""

    exit_code = 3


class DaemonNotRunningError(BrainKernelError):
    """No daemon answers on the control socket."""

    exit_code = 4


class SenseError(BrainKernelError):
    """A loader cannot see events on this host; the message says why, the next loader is tried."""


class ProtocolError(BrainKernelError):
    """A peer on a socket broke the protocol: too large, not JSON, not the schema. The connection is dropped."""


class StoreError(BrainKernelError):
    """The database cannot be used and could not be replaced."""


class NewerStateError(StoreError):
    """The database is of a newer version. Its service must not be tried again and again: that would end the same way."""

    exit_code = 2


class ActError(BrainKernelError):
    """A limit could not be applied, read back or undone. Never leaves `act`: it becomes a refusal or a retry."""
