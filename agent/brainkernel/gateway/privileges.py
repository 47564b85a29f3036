"""Giving all rights away, for good, before the first byte of the network is read."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
from pathlib import Path

from brainkernel.errors import PermissionDeniedError

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

DEFAULT_USER = "nobody"

_libc = ctypes.CDLL(None, use_errno=True)


def drop(user: str | int = DEFAULT_USER, *, dies_with_parent: int | None = None, proc: Path = Path("/proc")) -> None:
    """Become `user` without groups and capabilities, unable to gain any; end when the parent ends, if its pid is given.

    Call it before any thread is started: capabilities, no_new_privs and the parent's death belong to a thread.
    Raises PermissionDeniedError if anything of it fails, or if rights are left; the caller must not go on then.
    """
    uid, gid = _ids_of(user)
    try:
        if os.geteuid() == 0:
            if uid == 0:
                msg = "the gateway reads the network and must not run as root; name an unprivileged user"
                raise PermissionDeniedError(msg)
            last = int((proc / "sys/kernel/cap_last_cap").read_text(encoding="ascii"))
            for capability in range(last + 1):
                _prctl(_PR_CAPBSET_DROP, capability)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        _clear_capabilities()
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_DUMPABLE, 0)
        if dies_with_parent is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # after setresuid(2), which clears it: prctl(2)
    except OSError as error:
        msg = f"cannot give up privileges: {error}"
        raise PermissionDeniedError(msg) from None
    if dies_with_parent is not None and os.getppid() != dies_with_parent:
        msg = "the parent ended before we began"  # in that case no signal would ever come
        raise PermissionDeniedError(msg)
    _refuse_what_is_left(proc)


def _refuse_what_is_left(proc: Path) -> None:
    status = dict(line.split(":\t", 1) for line in (proc / "self/status").read_text().splitlines() if ":\t" in line)
    uids = status["Uid"].split()
    if "0" in uids or any(int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")):
        msg = "rights are left after giving them up; the gateway will not run like this"
        raise PermissionDeniedError(msg)


def _ids_of(user: str | int) -> tuple[int, int]:
    if isinstance(user, int):
        return user, user
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        msg = f"there is no user {user!r} to drop privileges to"
        raise PermissionDeniedError(msg) from None
    return entry.pw_uid, entry.pw_gid


def _prctl(option: int, argument: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


# setresuid(2) clears what is effective and permitted, but not what is inheritable.
def _clear_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
