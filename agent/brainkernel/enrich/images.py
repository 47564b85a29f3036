"""The image that a container was made of, as its runtime wrote it down in files that only root may change."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CACHE_ENTRIES = 256
_FILE_BYTES_MAX = 4 << 20
_IMAGE_CHARS_MAX = 200
_ID_CHARS_MIN = 12  # shorter ones are names, of lxc and nspawn, which have no images


class _DockerConfig(msgspec.Struct):
    Image: str = ""


class _Docker(msgspec.Struct):
    Config: _DockerConfig


class _Bundle(msgspec.Struct):
    annotations: dict[str, str] = {}


class _Stored(msgspec.Struct):
    id: str
    metadata: str = ""


class _Metadata(msgspec.Struct):
    image: str = msgspec.field(default="", name="image-name")


class Images:
    """The images of docker's, containerd's (Kubernetes'), podman's and CRI-O's containers below `fs_root`."""

    def __init__(self, fs_root: Path) -> None:
        self._docker = fs_root / "var/lib/docker/containers"
        self._bundles = fs_root / "run/containerd/io.containerd.runtime.v2.task"
        self._storage = fs_root / "var/lib/containers/storage/overlay-containers/containers.json"
        self._found: OrderedDict[str, str] = OrderedDict()

    def image_of(self, container: str) -> str:
        """The image of a container, by its id or the beginning of it; "" if no runtime here tells. Never raises."""
        if len(container) < _ID_CHARS_MIN or not container.isalnum():
            return ""
        if (known := self._found.get(container)) is not None:
            return known
        sources: tuple[Callable[[str], str], ...] = (self._of_docker, self._of_containerd, self._of_storage)
        image = next((found for look in sources if (found := look(container))), "")
        self._found[container] = image  # a runtime writes it down before it starts anything
        if len(self._found) > _CACHE_ENTRIES:
            self._found.popitem(last=False)
        return image

    def _of_docker(self, container: str) -> str:
        for directory in _beginning_with(self._docker, container):
            with contextlib.suppress(OSError, ValueError):
                return _bounded(msgspec.json.decode(_content(directory / "config.v2.json"), type=_Docker).Config.Image)
        return ""

    def _of_containerd(self, container: str) -> str:
        for namespace in _beginning_with(self._bundles, ""):
            for directory in _beginning_with(namespace, container):
                with contextlib.suppress(OSError, ValueError):
                    told = msgspec.json.decode(_content(directory / "config.json"), type=_Bundle).annotations
                    return _bounded(told.get("io.kubernetes.cri.image-name", ""))
        return ""

    def _of_storage(self, container: str) -> str:
        with contextlib.suppress(OSError, ValueError):
            for stored in msgspec.json.decode(_content(self._storage), type=list[_Stored]):
                if stored.id.startswith(container):
                    return _bounded(msgspec.json.decode(stored.metadata, type=_Metadata).image)
        return ""


def _beginning_with(directory: Path, prefix: str) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        yield from (directory / e.name for e in entries if e.name.startswith(prefix))


# Raises OSError if it cannot be read, ValueError if it is larger than such a file can be.
def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        msg = f"{file} is too large"
        raise ValueError(msg)
    return data


def _bounded(image: str) -> str:
    return image[:_IMAGE_CHARS_MAX]
