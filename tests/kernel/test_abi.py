from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from brainkernel.errors import SenseError
from brainkernel.sense import wire
from brainkernel.sense.core import OBJECT_FILE, CoreLoader, CoreOptions
from support.btf import Btf
from support.kernel import require_kernel


@pytest.fixture(scope="module")
def btf() -> Btf:
    require_kernel()
    return Btf.of(OBJECT_FILE)


@pytest.mark.parametrize("layout", wire.LAYOUTS, ids=lambda layout: layout.name)
def test_layout_agrees_with_the_compiled_programs(btf: Btf, layout: wire.Layout) -> None:
    """A field that moves on one side only is a test failure, not a wrong reading."""
    members = btf.struct_members(layout.name)
    payload = layout is wire.EXEC  # its variable part comes after what is declared

    assert list(layout.offsets()) == (members[:-1] if payload else members)
    assert layout.size == (members[-1][1] if payload else btf.struct_size(layout.name))


def test_payload_holds_the_largest_record(btf: Btf) -> None:
    """The caps of event.h are those that wire.py states."""
    assert btf.struct_members("exec_event")[-1][2] == wire.LINEAGE_MAX * wire.ANCESTOR.size + wire.FILENAME_BYTES + wire.ARGV_BYTES


def test_enums_agree_with_the_compiled_programs(btf: Btf) -> None:
    """Each flag, kind and cause has the same number on both sides."""
    assert btf.enum_values("event_kind") == {f"EVENT_{k.name}": k.value for k in wire.Kind}
    assert btf.enum_values("exec_flags") == {f"EXEC_{f.name}": f.value for f in wire.ExecFlag}
    assert btf.enum_values("abilities") == {f"ABLE_{a.name}": a.value for a in wire.Ability}
    assert btf.enum_values("known_flags") == {"KNOWN_ALWAYS": wire.KNOWN_ALWAYS}
    assert btf.enum_values("failure") == {
        **{f"FAILURE_{name.upper()}": i for i, name in enumerate(wire.FAILURES)},
        "FAILURE_COUNT": len(wire.FAILURES),
    }


def test_wire_names_the_event_h_that_it_decodes() -> None:
    """Whoever changes event.h changes wire.py with it, and this number last."""
    header = Path(__file__).parents[2] / "bpf/event.h"

    assert f"{wire.ABI:08x}" == hashlib.sha256(header.read_bytes()).hexdigest()[:8]


def test_object_of_another_event_h_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """It would load, run, and send what nobody can decode: nothing would be seen, and nothing said."""
    require_kernel()
    image, abi = OBJECT_FILE.read_bytes(), struct.pack("<I", wire.ABI)
    assert image.count(abi) == 1
    stale = tmp_path / "probe.bpf.o"
    stale.write_bytes(image.replace(abi, bytes(4)))

    with pytest.raises(SenseError, match=r"another version of brainkernel; run \./scripts/build-bpf$"):
        CoreLoader(CoreOptions(object_file=stale)).open()
