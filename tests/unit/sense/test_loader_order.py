from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SystemClock
from brainkernel.errors import SenseError
from brainkernel.sense import hostcheck, loader, netlink, wire
from brainkernel.sense.loaders import live_loaders

if TYPE_CHECKING:
    from pathlib import Path


def test_auto_tries_the_most_capable_loader_first() -> None:
    """core, then bcc, then netlink."""
    assert list(live_loaders(clock=SystemClock())) == ["core", "bcc", "netlink"]


def test_auto_names_each_loader_that_refused_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling back is never silent: each refusal is kept in its order, with the remedy."""
    monkeypatch.setattr(hostcheck, "missing_for_core", lambda *_: "no BTF here")
    monkeypatch.setattr(hostcheck, "missing_for_bcc", lambda *_: "no headers here")
    monkeypatch.setattr(netlink.NetlinkLoader, "_begin", lambda _: None)

    chosen = loader.choose("auto", live_loaders(clock=SystemClock()))
    chosen.loader.close()

    assert chosen.loader.name == "netlink"
    assert chosen.refused == ("core: no BTF here", "bcc: no headers here")
    assert chosen.why == "core: no BTF here; bcc: no headers here"
    assert chosen.loader.limits


def test_forced_loader_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for one loader gets that one or the reason why not."""
    monkeypatch.setattr(hostcheck, "missing_for_bcc", lambda *_: "no headers here")

    with pytest.raises(SenseError, match="no headers here"):
        loader.choose("bcc", live_loaders(clock=SystemClock()))


def test_bcc_without_tracefs_or_headers_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that is missing comes with what to do."""
    source = tmp_path / "probe.bcc.c"
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    monkeypatch.setattr(platform, "release", lambda: "0.0-none")
    monkeypatch.setattr(hostcheck, "TRACING", ())

    no_source = hostcheck.missing_for_bcc(source, tmp_path)
    source.write_text("/* EVENT_ABI 0x00000000 */")
    stale = hostcheck.missing_for_bcc(source, tmp_path)
    source.write_text(f"/* EVENT_ABI {wire.ABI:#010x} */")
    no_headers = hostcheck.missing_for_bcc(source, tmp_path)
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    no_tracefs = hostcheck.missing_for_bcc(source, tmp_path)

    assert "build-bpf" in (no_source or "")
    assert "another version of brainkernel; run ./scripts/build-bpf" in (stale or "")
    assert "install linux-headers-0.0-none" in (no_headers or "")
    assert "mount -t tracefs" in (no_tracefs or "")


@pytest.mark.parametrize("module", ["brainkernel.sense.netlink", "brainkernel.sense.bcc", "brainkernel.sense.loaders"])
def test_loader_modules_bring_no_http_client_and_no_bcc(module: str) -> None:
    """The bindings themselves are imported when it is opened; the rest needs nothing but the standard library's socket."""
    probe = f"import {module}, sys; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()

    assert set(loaded) & {"bcc", "asyncio", "ssl", "http", "pyroute2", "urllib.request"} == set()
