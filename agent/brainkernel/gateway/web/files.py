"""The files of the dashboard, in memory: the gateway reads no file once it has given up its rights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served."""

    content_type: str
    body: bytes
    etag: str


def load() -> dict[str, File]:
    """Read all files below `static`, by their path there. What has no type to be served with stays away (licences, checksums)."""
    return dict(_files_below(files(__package__).joinpath("static"), ""))


def _files_below(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            found += _files_below(entry, f"{prefix}{entry.name}/")
        elif suffix in TYPES:
            body = entry.read_bytes()
            found.append((f"{prefix}{entry.name}", File(TYPES[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')))
    return found
