"""Images of containers, in the files of four runtimes as these write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from brainkernel.enrich.images import Images
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

ID = "4caa058a931a9fdde7e2c050fe41e594ee8ca156a79104fba590ecdceb478f6a"
OTHER = "9" * 64


def written(root: Path, name: str, value: object) -> None:
    """A file of a runtime."""
    file = root / name
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(value))


def of_docker(root: Path) -> None:
    written(root, f"var/lib/docker/containers/{OTHER}/config.v2.json", {"ID": OTHER, "Config": {"Image": "redis:7"}})
    written(root, f"var/lib/docker/containers/{ID}/config.v2.json", {"ID": ID, "Config": {"Hostname": "web", "Image": "nginx:1.25"}})


def of_kubernetes(root: Path) -> None:
    annotations = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.image-name": "nginx:1.25"}
    written(
        root, f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"ociVersion": "1.1.0", "annotations": annotations}
    )


def of_podman(root: Path) -> None:
    metadata = json.dumps({"image-name": "nginx:1.25", "image-id": "a" * 64, "name": "web"})
    stored = [{"id": OTHER, "metadata": "{}"}, {"id": ID, "names": ["web"], "image": "a" * 64, "metadata": metadata}]
    written(root, "var/lib/containers/storage/overlay-containers/containers.json", stored)


@pytest.mark.parametrize("runtime", [of_docker, of_kubernetes, of_podman])
def test_image_is_found_by_the_beginning_of_an_id(tmp_path: Path, runtime: object) -> None:
    """A cgroup's short id is enough, and another container's image is not taken for it."""
    assert callable(runtime)
    runtime(tmp_path)

    assert Images(tmp_path).image_of(ID[:12]) == "nginx:1.25"
    assert Images(tmp_path).image_of("0" * 12) == ""


@pytest.mark.parametrize("container", ["", "web", "../../../etc/x", "kubepods"])
def test_what_is_no_id_has_no_image(tmp_path: Path, container: str) -> None:
    """Containers of lxc and nspawn have names; a name leads to no file."""
    of_docker(tmp_path)

    assert Images(tmp_path).image_of(container) == ""


@given(st.binary(max_size=300))
def test_image_of_damaged_files_is_not_known(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever stands in them, evidence is missing and nothing is raised."""
    root = tmp_path_factory.mktemp("host")
    for name in (f"var/lib/docker/containers/{ID}/config.v2.json", "var/lib/containers/storage/overlay-containers/containers.json"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(content)

    assert len(Images(root).image_of(ID[:12])) <= 200
