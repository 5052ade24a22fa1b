"""Which GPUs there are, by files as the drivers of Nvidia and AMD lay them out: stand-ins, no GPU is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubwright.engines.docker import gpus as of_docker
from hubwright.engines.local import gpus as of_local
from hubwright.errors import MachineError, Refused
from hubwright.machine.gpus import ids, nodes
from hubwright.machine.policy import Policy

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
    assert ids(tmp_path) == ("GPU-a", "GPU-b")
    put(tmp_path, "proc/driver/nvidia/gpus/0000:af:00.0/information", INFORMATION % ("GPU-????????-????", "No"))
    assert ids(tmp_path) == ("GPU-a", "GPU-b", "3"), "its number, while the driver has not looked at it"


def test_without_the_drivers_word_they_are_numbers(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        put(tmp_path, f"dev/{name}")
    assert ids(tmp_path) == ("0", "1")


def test_amds_are_known_by_their_nodes(tmp_path: Path) -> None:
    for name in ("renderD129", "renderD128", "card0"):
        put(tmp_path, f"dev/dri/{name}")
    assert ids(tmp_path) == (), "a display alone computes nothing"
    put(tmp_path, "dev/kfd")
    assert ids(tmp_path) == ("/dev/dri/renderD128", "/dev/dri/renderD129")


def test_docker_is_told_ids_and_nodes_apart() -> None:
    found = of_docker.handed(("GPU-a", "/dev/null", "1"))
    assert (found.ids, found.nodes, found.groups) == (("GPU-a", "1"), ("/dev/null",), ())
    with pytest.raises(Refused, match="/dev/hwt-none is not on this machine"):
        of_docker.handed(("/dev/hwt-none",))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A machine with two of Nvidia's, which it numbers the other way round, and a display of the first."""
    for address, name, minor in (("0000:18:00.0", "GPU-a", 1), ("0000:3b:00.0", "GPU-b", 0)):
        told = f"{INFORMATION % (name, 'No')}Device Minor: \t {minor}\n"
        put(tmp_path, f"proc/driver/nvidia/gpus/{address}/information", told)
        put(tmp_path, f"dev/nvidia{minor}")
    for name in ("card0", "renderD128"):
        (tmp_path / "sys/bus/pci/devices/0000:18:00.0/drm" / name).mkdir(parents=True)
        put(tmp_path, f"dev/dri/{name}")
    return tmp_path


def policy(most: int | None = None, named: list[str] | None = None) -> Policy:
    return Policy.parse({"hide_gpus": True, "gpus": named, "limits": {"gpus": most}})


def test_each_gpu_is_known_by_all_of_its_nodes(two: Path) -> None:
    first = ("/dev/nvidia1", "/dev/dri/card0", "/dev/dri/renderD128")
    assert nodes("GPU-a", two) == nodes("0", two) == first
    assert nodes("GPU-b", two) == ("/dev/nvidia0",)
    assert nodes("GPU-c", two) == nodes("/dev/dri/renderD129", two) == ()


def test_a_node_is_known_by_what_it_leads_to_and_with_the_display_beside_it(tmp_path: Path) -> None:
    put(tmp_path, "dev/dri/renderD128")
    (tmp_path / "dev/dri/by-path").mkdir()
    (tmp_path / "dev/dri/by-path/one").symlink_to("../renderD128")
    for name in ("card0", "renderD128"):
        (tmp_path / "sys/class/drm/renderD128/device/drm" / name).mkdir(parents=True)
    assert nodes("/dev/dri/by-path/one", tmp_path) == ("/dev/dri/renderD128", "/dev/dri/card0")


def test_a_forked_server_is_kept_from_all_but_its_own(two: Path) -> None:
    mine = of_local.handed(("GPU-b",), policy(1), "ada", two)
    assert mine.hidden == ("/dev/nvidia1", "/dev/dri/card0", "/dev/dri/renderD128")
    assert mine.environment == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    none = of_local.handed((), policy(), "ada", two)
    assert set(none.hidden) == {"/dev/nvidia0", *mine.hidden} and none.environment == {"CUDA_VISIBLE_DEVICES": ""}
    assert of_local.handed(("0",), policy(1, ["0"]), "ada", two).environment == {"CUDA_VISIBLE_DEVICES": "0"}
    second = of_local.handed(("1",), policy(1, ["1"]), "ada", two)
    assert second.environment == {"CUDA_VISIBLE_DEVICES": "0"}, "the first one that it can open"


def test_amds_common_node_goes_with_a_gpu(tmp_path: Path) -> None:
    for name in ("kfd", "dri/renderD128", "dri/renderD129"):
        put(tmp_path, f"dev/{name}")
    assert of_local.handed((), policy(), "ada", tmp_path).hidden[-1] == "/dev/kfd"
    assert of_local.handed(("/dev/dri/renderD128",), policy(1), "ada", tmp_path).hidden == ("/dev/dri/renderD129",)


@pytest.mark.parametrize(
    ("granted", "rule", "words"),
    [
        (("GPU-a",), Policy(), "no GPUs"),
        (("GPU-a",), policy(), "no GPUs"),
        (("GPU-a", "GPU-b"), policy(1), "1 GPU"),
        (("GPU-a",), policy(1, ["GPU-b"]), "not for servers"),
        (("GPU-c",), policy(1, ["GPU-c"]), "not on this machine"),
    ],
)
def test_root_gives_no_gpu_that_its_policy_does_not(two: Path, granted: Any, rule: Policy, words: str) -> None:
    with pytest.raises(Refused, match=words):
        of_local.handed(granted, rule, "ada", two)


def test_a_node_that_comes_later_could_be_opened_so_nobody_starts_before(two: Path) -> None:
    (two / "dev/nvidia1").unlink()
    with pytest.raises(MachineError, match="/dev/nvidia1 is not there yet"):
        of_local.handed((), policy(), "ada", two)
    assert of_local.handed(("GPU-a",), policy(1), "ada", two).hidden == ("/dev/nvidia0",)


def test_the_same_gpu_is_known_by_another_name() -> None:
    assert of_local.same(("/dev/../dev/null",), ("/dev/null",)) == "/dev/../dev/null"
    assert of_local.same(("/dev/null",), ("/dev/zero",)) == ""


def test_a_part_of_a_gpu_is_for_containers() -> None:
    assert "only containers" in of_local.problems(("MIG-1",))
