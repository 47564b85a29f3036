"""GPUs, from a /sys like that of amdgpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.metrics import Figures
from brainkernel.monitoring.gpus import Gpus

if TYPE_CHECKING:
    from pathlib import Path


def a_card(sys: Path, name: str, **files: str) -> Path:
    device = sys / "class/drm" / name / "device"
    device.mkdir(parents=True)
    for file, text in files.items():
        (device / file).write_text(text)
    return device


def test_gpu_that_tells_is_read(tmp_path: Path) -> None:
    """Use as a share, memory in bytes; connectors and cards of other drivers are left out."""
    a_card(tmp_path, "card0", gpu_busy_percent="37\n", mem_info_vram_total="8589934592\n", mem_info_vram_used="1024\n")
    a_card(tmp_path, "card0-DP-1", gpu_busy_percent="1\n")
    a_card(tmp_path, "card1", vendor="0x8086\n")
    figures = Figures()

    Gpus(tmp_path, figures).read()

    assert figures.by_labels(metrics.GPU_BUSY) == {("card0",): 0.37}
    assert figures.by_labels(metrics.GPU_MEMORY) == {("card0", "total"): 8589934592, ("card0", "used"): 1024}


def test_host_without_a_gpu_has_no_such_figure(tmp_path: Path) -> None:
    """Nothing is invented where there is none, or where it sleeps."""
    asleep = a_card(tmp_path, "card0", gpu_busy_percent="5\n")
    figures = Figures()
    gpus = Gpus(tmp_path, figures)
    (asleep / "gpu_busy_percent").write_text("")

    gpus.read()
    Gpus(tmp_path / "nothing", figures).read()

    assert figures.by_labels(metrics.GPU_BUSY) == {}
