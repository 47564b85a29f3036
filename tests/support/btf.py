"""Just enough of BTF (Documentation/bpf/btf.rst) to read the layout of structs out of an ELF object."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF = 1, 2, 3, 4, 5, 6, 7, 8
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO, _VAR, _DATASEC, _FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = range(9, 20)
_BYTES_AFTER = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_BYTES_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}


@dataclass(frozen=True)
class _Type:
    kind: int
    name: str
    size_or_type: int
    extra: bytes
    count: int


class Btf:
    """The types of one object."""

    def __init__(self, elf: bytes) -> None:
        raw = _section(elf, ".BTF")
        _, _, _, header, type_at, type_bytes, text_at, _ = struct.unpack_from("<HBBIIIII", raw)
        self._text = raw[header + text_at :]
        self._types: list[_Type] = [_Type(0, "void", 0, b"", 0)]
        at, end = header + type_at, header + type_at + type_bytes
        while at < end:
            name, info, size = struct.unpack_from("<III", raw, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            extra = _BYTES_AFTER.get(kind, 0) + _BYTES_EACH.get(kind, 0) * count
            self._types.append(_Type(kind, self._name(name), size, raw[at + 12 : at + 12 + extra], count))
            at += 12 + extra

    @classmethod
    def of(cls, path: Path) -> Btf:
        return cls(path.read_bytes())

    def struct_size(self, name: str) -> int:
        return self._struct(name).size_or_type

    def struct_members(self, name: str) -> list[tuple[str, int, int]]:
        """Name, offset and size in bytes of each member."""
        members = []
        for name_at, type_id, offset in struct.iter_unpack("<III", self._struct(name).extra):
            members.append((self._name(name_at), offset // 8, self._size_of(type_id)))
        return members

    def enum_values(self, name: str) -> dict[str, int]:
        found = next(t for t in self._types if t.kind == _ENUM and t.name == name)
        return {self._name(name_at): value for name_at, value in struct.iter_unpack("<Ii", found.extra)}

    def _struct(self, name: str) -> _Type:
        return next(t for t in self._types if t.kind == _STRUCT and t.name == name)

    def _size_of(self, type_id: int) -> int:
        found = self._types[type_id]
        if found.kind in (_TYPEDEF, _CONST, _VOLATILE):
            return self._size_of(found.size_or_type)
        if found.kind == _ARRAY:
            element, _, count = struct.unpack("<III", found.extra)
            return int(count) * self._size_of(element)
        return 8 if found.kind == _PTR else found.size_or_type

    def _name(self, at: int) -> str:
        return self._text[at : self._text.index(b"\0", at)].decode()


def _section(elf: bytes, wanted: str) -> bytes:
    table_at, entry_bytes, count, names_index = struct.unpack_from("<Q", elf, 40) + struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table_at + i * entry_bytes) for i in range(count)]
    names_at = headers[names_index][4]
    for name, _, _, _, offset, size in headers:
        start = names_at + name
        if elf[start : elf.index(b"\0", start)].decode() == wanted:
            return elf[offset : offset + size]
    raise LookupError(wanted)
