"""Which GPUs there are, by files as the drivers of Nvidia and AMD lay them out: stand-ins, no GPU is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubwright.engines.docker import gpus
from hubwright.errors import Refused
from hubwright.machine import capacity

INFORMATION = (
    "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 45\nGPU UUID: \t %s\nBus Type: \t PCIe\nGPU Excluded:\t %s\n"
)


def put(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_nvidias_are_known_by_their_ids_in_the_order_of_their_addresses(tmp_path: Path) -> None:
    told = {"0000:3b:00.0": ("GPU-b", "No"), "0000:18:00.0": ("GPU-a", "No"), "0000:86:00.0": ("GPU-c", "Yes")}
    for address, words in told.items():
        put(tmp_path, f"proc/driver/nvidia/gpus/{address}/information", INFORMATION % words)
    assert capacity.gpus(tmp_path) == ("GPU-a", "GPU-b")
    put(tmp_path, "proc/driver/nvidia/gpus/0000:af:00.0/information", INFORMATION % ("GPU-????????-????", "No"))
    assert capacity.gpus(tmp_path) == ("GPU-a", "GPU-b", "3"), "its number, while the driver has not looked at it"


def test_without_the_drivers_word_they_are_numbers(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        put(tmp_path, f"dev/{name}")
    assert capacity.gpus(tmp_path) == ("0", "1")


def test_amds_are_known_by_their_nodes(tmp_path: Path) -> None:
    for name in ("renderD129", "renderD128", "card0"):
        put(tmp_path, f"dev/dri/{name}")
    assert capacity.gpus(tmp_path) == (), "a display alone computes nothing"
    put(tmp_path, "dev/kfd")
    assert capacity.gpus(tmp_path) == ("/dev/dri/renderD128", "/dev/dri/renderD129")


def test_docker_is_told_ids_and_nodes_apart() -> None:
    found = gpus.handed(("GPU-a", "/dev/null", "1"))
    assert (found.ids, found.nodes, found.groups) == (("GPU-a", "1"), ("/dev/null",), ())
    with pytest.raises(Refused, match="/dev/hwt-none is not on this machine"):
        gpus.handed(("/dev/hwt-none",))
