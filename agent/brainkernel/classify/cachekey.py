"""The key under which a verdict is kept: the same program, used the same way, by the same kind of user and parent."""

from __future__ import annotations

import functools
import re
from _blake2 import blake2b  # hashlib loads OpenSSL: 3.6 MB of the daemon's memory
from typing import TYPE_CHECKING

from brainkernel.classify.paths import name_of, normalised

if TYPE_CHECKING:
    from brainkernel.model import Suspect

_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_ARGUMENTS_MAX = 64

# What differs between two runs of one job: in this order, because a date is also a number.
_SHAPES = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<uuid>"),
    (re.compile(r"\b\d{4}-?\d\d-?\d\d(?:[T_-]?\d\d[:h-]?\d\d(?:[:m-]?\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?\b"), "<date>"),
    (re.compile(r"(?<=/tmp/)[^/\s]+|(?<=/var/tmp/)[^/\s]+|\btmp[._-]?\w{6,}\b|\b\w+\.[A-Za-z0-9]{6,10}(?=/|$)(?<=[A-Z0-9])"), "<tmp>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{7,}\b"), "<hex>"),
    (re.compile(r"\d+"), "<n>"),
)


@functools.lru_cache(maxsize=256)  # the gate, its memory and the cache ask for the same one
def argv_shape(argv: tuple[str, ...]) -> str:
    """Fold what differs between two runs of one job: numbers, dates, ids, temporary names.

    The text of an option and the names of files stay: a verdict on `rm build` says nothing of `rm /var/log/auth.log`.
    """
    return "\x1f".join(_shape(a) for a in argv[:_ARGUMENTS_MAX])


def _shape(argument: str) -> str:
    for pattern, shape in _SHAPES:
        argument = pattern.sub(shape, argument)
    return argument


def cache_key(suspect: Suspect) -> str:
    """Return the key as hexadecimal digits: file version, shape of argv, who started it, what kind of user it runs as.

    A file that was replaced or rewritten has another ctime and so another key.
    """
    program, file = suspect.program, suspect.identity.file
    parent = name_of(program.parents[0]) if program.parents else ""
    parts = (
        normalised(program.exe),
        f"{file.dev}:{file.ino}:{file.ctime_ns}" if file else "",
        argv_shape(program.argv[:1] and program.argv[1:]),
        _argument_count(len(program.argv)),
        parent,
        _uid_class(program.uid),
        ",".join(sorted(m.value for m in suspect.evidence.marks)),
    )
    return blake2b("\x00".join(parts).encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()


# What stands beyond the arguments that are compared still counts by its number: nothing can be hidden behind them.
def _argument_count(count: int) -> str:
    return str(count) if count > _ARGUMENTS_MAX else ""


def _uid_class(uid: int) -> str:
    return "root" if uid == 0 else "system" if uid < _FIRST_HUMAN_UID else "human"
