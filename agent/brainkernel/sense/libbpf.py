"""The dozen functions of libbpf.so.1 that we need, by ctypes: no compiler and no header at run time.

Every function that fails raises SenseError with libbpf's own last message.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from ctypes import CFUNCTYPE, POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.errors import SenseError

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY = "libbpf.so.1"
KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")

_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

# name: (result, arguments), once and for all. int results are 0 or -errno, pointers NULL with errno set (libbpf 1.x).
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_iter_create": (c_int, (c_int,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "bpf_link__fd": (c_int, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map_delete_elem": (c_int, (c_int, c_char_p)),
    "bpf_map_lookup_batch": (c_int, (c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_void_p)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_char_p, c_void_p)),
    "bpf_map_update_batch": (c_int, (c_int, c_char_p, c_char_p, POINTER(c_uint32), c_void_p)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_char_p, c_char_p, c_uint64)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__find_map_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_object__find_program_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_program__attach": (c_void_p, (c_void_p,)),
    "bpf_program__attach_iter": (c_void_p, (c_void_p, c_void_p)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "libbpf_num_possible_cpus": (c_int, ()),
    "libbpf_set_print": (c_void_p, (_PRINT,)),
}

_LIBBPF_WARN = 0  # enum libbpf_print_level
_messages: list[str] = []  # the newest warnings, for the next error
_MESSAGES_MAX = 50


@functools.cache
def library() -> ctypes.CDLL:
    """Load libbpf and declare its functions. Raises SenseError if it is not installed or too old."""
    try:
        lib = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        msg = f"{LIBRARY} is missing ({error}); install libbpf1 (Debian 12 and newer; the 0.x of Debian 11 does not do)"
        raise SenseError(msg) from None
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(lib, name)
        except AttributeError:
            msg = f"{LIBRARY} has no {name}; it is older than 1.0"
            raise SenseError(msg) from None
        function.restype = result
        function.argtypes = arguments
    lib.libbpf_set_print(_print_callback)
    return lib


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.vsnprintf.argtypes = (c_char_p, c_size_t, c_char_p, c_void_p)
    return libc


# A va_list parameter is a pointer on x86-64 and arm64, so it can be handed on as one.
def _collect(level: int, template: bytes, arguments: int) -> int:
    if level != _LIBBPF_WARN:
        return 0
    text = ctypes.create_string_buffer(1024)
    _libc().vsnprintf(text, len(text), template, arguments)
    _messages.append(text.value.decode(errors="replace").strip().removeprefix("libbpf: "))
    del _messages[:-_MESSAGES_MAX]
    return 0


_print_callback = _PRINT(_collect)  # held here, as libbpf keeps only the address


def messages() -> list[str]:
    """What libbpf has complained about since the last call of `forget_messages`, oldest first."""
    return list(_messages)


def forget_messages() -> None:
    """Start collecting anew."""
    _messages.clear()


class LibbpfError(SenseError):
    """A call of libbpf failed; `errno` says how."""

    def __init__(self, what: str, code: int) -> None:
        self.errno = abs(code)
        said = f": {_messages[-1]}" if _messages else ""
        super().__init__(f"{what}: {os.strerror(self.errno)}{said}")


def _checked(what: str, result: int) -> int:
    if result < 0:
        raise LibbpfError(what, result)
    return result


def checked_pointer(what: str, pointer: int | None) -> int:
    """The pointer a function gave; LibbpfError with errno if it is NULL."""
    if not pointer:
        raise LibbpfError(what, ctypes.get_errno() or errno.EINVAL)
    return pointer


def read_info(descriptor: int, info: Any, size: Any) -> None:
    """Fill a struct bpf_*_info of what a descriptor stands for, as far as `size` goes. Both are references."""
    _checked("bpf_obj_get_info_by_fd", library().bpf_obj_get_info_by_fd(descriptor, info, size))


# struct bpf_object_open_opts of libbpf 1.0 up to btf_custom_path; `sz` tells the library how much of it we know.
class _OpenOptions(ctypes.Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("object_name", c_char_p),
        ("relaxed_maps", c_bool),
        ("pin_root_path", c_char_p),
        ("unused", c_uint32),
        ("kconfig", c_char_p),
        ("btf_custom_path", c_char_p),
    )


class BpfObject:
    """One compiled object in the kernel: programs, maps, links. `close` takes all of it out again."""

    def __init__(self, path: Path, kernel_types: Path = KERNEL_TYPES) -> None:
        """Open and parse it; nothing is in the kernel yet."""
        self._lib = library()
        forget_messages()
        # Named, or else libbpf looks through the types of all modules for each one that this kernel has not, which takes
        # CAP_SYS_ADMIN (BPF_BTF_GET_NEXT_ID), and libbpf 1.1 gives up without it. What we read is all in the kernel itself.
        options = _OpenOptions(sz=ctypes.sizeof(_OpenOptions), btf_custom_path=os.fsencode(kernel_types))
        self._object: int | None = checked_pointer(str(path), self._lib.bpf_object__open_file(os.fsencode(path), byref(options)))
        self._links: list[int] = []

    def constant(self, section: str) -> bytes:
        """What a read-only data section holds; only before `load`."""
        start, size = self._initial_value(section)
        return ctypes.string_at(start, size)

    def set_constant(self, section: str, value: bytes) -> None:
        """Overwrite a read-only data section; only before `load`."""
        start, size = self._initial_value(section)
        if len(value) != size:
            msg = f"{section} holds {size} bytes, not {len(value)}"
            raise SenseError(msg)
        ctypes.memmove(start, value, size)

    def resize_maps(self, max_entries: Mapping[str, int]) -> None:
        """Set the size of maps by name; only before `load`."""
        for name, entries in max_entries.items():
            _checked(name, self._lib.bpf_map__set_max_entries(self._map(name), entries))

    def leave_out(self, program: str) -> None:
        """Do not load this program; only before `load`."""
        _checked(program, self._lib.bpf_program__set_autoload(self._program(program), False))

    def load(self) -> None:
        """Create the maps, verify and load the programs."""
        _checked("the kernel refused the programs", self._lib.bpf_object__load(self._object))

    def attach(self, program: str) -> None:
        """Let a program run from now on."""
        self._links.append(checked_pointer(program, self._lib.bpf_program__attach(self._program(program))))

    def attach_iterator(self, program: str) -> int:
        """Make an iterator program readable and return the descriptor that `iterate` takes."""
        link = checked_pointer(program, self._lib.bpf_program__attach_iter(self._program(program), None))
        self._links.append(link)
        return int(self._lib.bpf_link__fd(link))

    def map_fd(self, name: str) -> int:
        """The descriptor of a loaded map, owned by the object."""
        return _checked(name, self._lib.bpf_map__fd(self._map(name)))

    def close(self) -> None:
        """Detach and unload everything. May be called twice."""
        while self._links:
            self._lib.bpf_link__destroy(self._links.pop())
        if self._object is not None:
            self._lib.bpf_object__close(self._object)
            self._object = None

    def _initial_value(self, section: str) -> tuple[int, int]:
        size = c_size_t()
        start = checked_pointer(section, self._lib.bpf_map__initial_value(self._map(section), byref(size)))
        return start, size.value

    def _map(self, name: str) -> int:
        return checked_pointer(f"map {name}", self._lib.bpf_object__find_map_by_name(self._object, name.encode()))

    def _program(self, name: str) -> int:
        return checked_pointer(f"program {name}", self._lib.bpf_object__find_program_by_name(self._object, name.encode()))


def possible_cpus() -> int:
    """How many CPUs this host may ever have: the kernel numbers per-CPU data by it."""
    return _checked("libbpf_num_possible_cpus", library().libbpf_num_possible_cpus())


def iterate(link_fd: int) -> int:
    """Begin one run of an attached iterator: a descriptor to read to the end and close."""
    return _checked("bpf_iter_create", library().bpf_iter_create(link_fd))


class BpfMap:
    """Look up and change the entries of one map; keys and values are bytes of the sizes in bpf/event.h."""

    def __init__(self, fd: int, key_bytes: int, value_bytes: int) -> None:
        """Name the sizes that the map was declared with."""
        self._lib = library()
        self._fd = fd
        self._key_bytes = key_bytes
        self._value_bytes = value_bytes

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if it is not there."""
        value = ctypes.create_string_buffer(self._value_bytes)
        result = self._lib.bpf_map_lookup_elem(self._fd, key, value)
        if result == -errno.ENOENT:
            return None
        _checked("bpf_map_lookup_elem", result)
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Insert or replace one entry."""
        _checked("bpf_map_update_elem", self._lib.bpf_map_update_elem(self._fd, key, value, 0))

    def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Insert or replace entries with one system call."""
        if not entries:
            return
        count = c_uint32(len(entries))
        _checked(
            "bpf_map_update_batch",
            self._lib.bpf_map_update_batch(self._fd, b"".join(entries), b"".join(entries.values()), byref(count), None),
        )

    def delete(self, key: bytes) -> bool:
        """Take one entry out; False if it was not there."""
        result = self._lib.bpf_map_delete_elem(self._fd, key)
        if result == -errno.ENOENT:
            return False
        _checked("bpf_map_delete_elem", result)
        return True

    def items(self, max_entries: int) -> list[tuple[bytes, bytes]]:
        """All entries, with one system call: `max_entries` is the size of the map, which bounds the answer."""
        keys = ctypes.create_string_buffer(self._key_bytes * max_entries)
        values = ctypes.create_string_buffer(self._value_bytes * max_entries)
        next_batch = ctypes.create_string_buffer(max(self._key_bytes, 8))
        count = c_uint32(max_entries)
        result = self._lib.bpf_map_lookup_batch(self._fd, None, next_batch, keys, values, byref(count), None)
        if result != -errno.ENOENT:  # ENOENT: that was all of it
            _checked("bpf_map_lookup_batch", result)
        k, v = self._key_bytes, self._value_bytes
        return [(keys.raw[i * k : (i + 1) * k], values.raw[i * v : (i + 1) * v]) for i in range(count.value)]
