"""What a package could leave behind: files, accounts, units, BPF programs, maps and pins, cgroups."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path

from vm.inside.waiting import output_of

# Everything but the kernel's own trees, what dpkg, journald and other services keep of each event, and scratch.
_NOT_LOOKED_AT = frozenset(
    """
    /proc /sys /dev /payload /opt /tmp /var/tmp /var/log /var/backups /var/cache /var/lib/dpkg /var/lib/apt /run/log /run/user /run/systemd/journal
    /run/systemd/sessions /run/systemd/users /run/systemd/units /run/systemd/inaccessible /run/udev /run/systemd/netif
    /run/systemd/propagate /run/systemd/transient /var/lib/systemd/timers /run/systemd/generator /run/systemd/dynamic-uid /var/lib/private /var/lib/vm-tests /root /home
    """.split()
)
_BPFFS = "/sys/fs/bpf"
_SYSTEMDS = ("sd_",)  # its own programs for IPAddressDeny= and DevicePolicy= come and go with any service


def traces() -> set[str]:
    """Every file, account, unit, BPF program, map, pin and service's cgroup there is now."""
    return {*_files(), *_accounts(), *_units(), *_bpf(), *_pins(), *_cgroups()}


def _files() -> set[str]:
    found = set()
    for directory, folders, files in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(directory, f) not in _NOT_LOOKED_AT and f != "__pycache__"]  # noqa: PTH118
        found |= {f"file {directory}/{name}" for name in (*files, *folders)}
    return found


def _accounts() -> set[str]:
    return {f"user {u.pw_name}" for u in pwd.getpwall()} | {f"group {g.gr_name}" for g in grp.getgrall()}


def _units() -> set[str]:
    listed = output_of("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "brainkernel*")
    # A removed package leaves its links in *.wants until it is purged, as all of Debian's do: to systemd a unit "not-found".
    return {f"unit {words[0]}" for line in listed.splitlines() if (words := line.split()) and words[1] != "not-found"}


def _bpf() -> set[str]:
    found = set()
    for kind in ("prog", "map", "link"):
        for one in json.loads(output_of("bpftool", "-j", kind, "show")):
            name = str(one.get("name", ""))
            if (kind == "prog" and not name.startswith(_SYSTEMDS)) or "brainkernel" in str(one.get("pids", "")) or name in _our_maps():
                found.add(f"bpf {kind} {one['id']} {name}")
    return found


def _pins() -> set[str]:
    assert os.path.ismount(_BPFFS), "nothing could be pinned, so nothing would be found"
    return {f"pin {directory}/{name}" for directory, _, files in os.walk(_BPFFS) for name in files}


# As bpf/probe.bpf.c names them; the kernel keeps 15 characters.
def _our_maps() -> set[str]:
    sources = Path("/payload/bpf").glob("*.[ch]")
    words = {
        line.strip().removeprefix("} ").partition(" ")[0] for s in sources for line in s.read_text().splitlines() if 'SEC(".maps")' in line
    }
    return {word[:15] for word in words if word}


def _cgroups() -> set[str]:
    return {f"cgroup {d}" for d, _, _ in os.walk("/sys/fs/cgroup") if "brainkernel" in d}
