"""What Docker is told, what its words mean, and what a container may put in the place of its server's socket."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hubwright.engines.docker import cap, images, user
from hubwright.engines.docker.config import Config
from hubwright.engines.docker.container import Container, Mount, mounts_of, mounts_of_all, name_of, oom_score
from hubwright.engines.docker.place import Place
from hubwright.errors import Refused
from hubwright.profiles.config import Amount, Volume

BASE = Container("1a2b3c4d", "0" * 16, "ada", "", "x:1", ("run",), 1000, 1000, "/home/ada", env={"LANG": "C"})


def test_everything_is_dropped_and_limited() -> None:
    host = replace(BASE, memory=2**30, cpu=0.5, processes=99, reserved_cpu=2, reserved_memory=2**29).as_api()[
        "HostConfig"
    ]
    assert (host["Memory"], host["MemorySwap"], host["MemoryReservation"]) == (2**30, 2**30, 2**29)
    assert (host["CpuQuota"], host["CpuPeriod"], host["CpuShares"], host["PidsLimit"]) == (50_000, 100_000, 2048, 99)
    assert host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges"] and host["Init"]
    assert "Privileged" not in host and "Binds" not in host


def test_gpus_are_named_to_docker_one_by_one() -> None:
    host = replace(BASE, gpus=("GPU-a", "3"), devices=("/dev/kfd", "/dev/dri/renderD129")).as_api()["HostConfig"]
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "DeviceIDs": ["GPU-a", "3"], "Capabilities": [["gpu"]]}]
    assert [one["PathOnHost"] for one in host["Devices"]] == ["/dev/kfd", "/dev/dri/renderD129"]
    assert "Devices" not in (plain := BASE.as_api()["HostConfig"]) and "DeviceRequests" not in plain


@pytest.mark.parametrize(
    "wrong",
    [["GPU-a", "GPU-a"], ["all"], ["/etc/shadow"], ["/dev/../etc/shadow"], ["GPU-a b"], [-1], [""], [0, "0"], [True]],
)
def test_what_is_no_list_of_gpus_is_refused(wrong: list[object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"kind": "docker", "gpus": wrong})


def test_gpus_may_be_numbers() -> None:
    assert Config.model_validate({"kind": "docker", "gpus": [0, "1"]}).gpus == ("0", "1")


def test_a_server_without_a_reserve_weighs_less_than_one_with() -> None:
    assert (
        BASE.as_api()["HostConfig"]["CpuShares"] < replace(BASE, reserved_cpu=0.5).as_api()["HostConfig"]["CpuShares"]
    )


def test_settings_are_the_same_for_another_token_only() -> None:
    token = replace(BASE, env={**BASE.env, "JUPYTERHUB_API_TOKEN": "x"})
    assert token.settings == replace(BASE, env={**BASE.env, "JUPYTERHUB_API_TOKEN": "y"}).settings
    others = {"memory": 5, "cpu": 1.0, "image": "y:1", "uid": 7, "mounts": (Mount("/a", "/a"),), "env": {"LANG": "D"}}
    seen = {replace(token, **{name: value}).settings for name, value in others.items()}
    assert len(seen) == len(others) and token.settings not in seen


def test_names_of_two_services_and_two_servers_differ() -> None:
    assert len({name_of(instance, key) for instance in ("1a2b3c4d", "1a2b3c4e") for key in ("0" * 16, "1" * 16)}) == 4


def test_a_later_volume_for_the_same_place_counts_and_the_user_is_filled_in() -> None:
    volumes = [
        Volume(source="/srv/a", target="/data"),
        Volume(source="/srv/{username}", target="/data", writable=True),
    ]
    assert mounts_of(volumes, "ada") == (Mount("/srv/ada", "/data", True),)
    assert mounts_of_all(volumes) == (Mount("/srv/a", "/data"),)


def test_progress_of_a_pull_never_falls_and_ends_at_a_hundred() -> None:
    progress = images.Progress()
    layers = {"a": 100, "b": 900}
    told = [progress.add({"id": layer, "status": "Pulling fs layer"}) for layer in layers]
    for part in range(0, 101, 10):
        for layer, size in layers.items():
            event = {"current": size * part // 100, "total": size}
            told.append(progress.add({"id": layer, "status": "Downloading", "progressDetail": event}))
    told += [progress.add({"id": layer, "status": "Pull complete"}) for layer in layers]
    told.append(progress.add({"status": "Status: Downloaded newer image"}))
    assert told == sorted(told) and told[-1] == 100 and len(set(told)) > 8


def test_layers_that_are_here_are_no_progress() -> None:
    progress = images.Progress()
    assert progress.add({"id": "a", "status": "Already exists"}) == 0
    assert progress.add({"id": "b", "status": "Pulling fs layer"}) == 0
    half = {"current": 50, "total": 100}
    assert 0 < progress.add({"id": "b", "status": "Downloading", "progressDetail": half}) < 50


def test_a_container_within_its_reserve_is_the_last_to_be_ended() -> None:
    assert [oom_score(reserved, 2**31) for reserved in (0, 2**29, 2**30, 2**31)] == [1000, 750, 500, 0]


@given(st.integers(2**28, 2**40), st.floats(0.001, 1), st.floats(0, 1), st.integers(2**20, 2**40))
def test_every_process_without_a_reserve_ends_before_any_within_one(whole, part, used, small) -> None:
    """By the kernel's own arithmetic (mm/oom_kill.c): what it takes, and so many thousandths of the whole."""
    reserved = int(whole * part)
    within = int(reserved * used) + oom_score(reserved, whole) * (whole // 1000)
    assert within <= small + oom_score(0, whole) * (whole // 1000) + 1000


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("manifest for x:1 not found: manifest unknown", "Docker cannot find image x:1: its registry has none"),
        ("pull access denied for x, repository does not exist", "Docker cannot find image x:1"),
        ("no matching manifest for linux/arm64/v8", "is not made for this machine's processor"),
        ("toomanyrequests: You have reached your pull rate limit", "too many requests"),
        ("unauthorized: authentication required", "The registry refuses to hand out x:1"),
        ("Get https://r/v2/: dial tcp: lookup r: no such host", "its registry cannot be reached"),
    ],
)
def test_a_failed_pull_is_said_in_a_sentence(said: str, meant: str) -> None:
    error = images.trouble_of("x:1", f"Docker says: {said}.")
    assert meant in error.problem.what and error.problem.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"socket": "tcp://127.0.0.1:2375"},
        {"socket": "ssh://somebody@host"},
        {"network": "host"},
        {"image": "Not An Image"},
        {"home": "/home/shared"},
        {"capabilities": ["SYS_ADMIN"]},
        {"volumes": [{"source": "relative", "target": "/x"}]},
    ],
)
def test_what_would_give_the_machine_away_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)


def test_account_files_hold_the_user_in_place_of_who_has_the_name_or_id() -> None:
    person = user.Person("ada", 1000, 1000, (("ada", 1000), ("lab", 2000)), "/home/ada", "/home/ada")
    base = "root:x:0:0:root:/root:/bin/sh\njovyan:x:1000:100::/home/jovyan:/bin/sh\nada:x:7:7::/:/bin/sh\n"
    text = user.passwd_file(person, base, "/bin/bash")
    assert text == "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:ada:/home/ada:/bin/bash\n"
    assert user.group_file(person, "root:x:0:\n").splitlines()[1:] == ["ada:x:1000:ada", "lab:x:2000:ada"]


def test_the_cap_is_the_smaller_of_both() -> None:
    most = cap.smaller(Amount(cpu=4, memory=2**30), Amount(cpu=8))
    assert (most.cpu, most.memory) == (4, 2**30)
    assert cap.parent("1a2b3c4d", "systemd") == "hubwright-1a2b3c4d.slice"
    assert cap.folder("1a2b3c4d", "systemd", "c0").startswith("hubwright.slice/hubwright-1a2b3c4d.slice/")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "k")
    made.make("", "")
    return made


def test_a_socket_is_taken_once_it_is_open_for_others_and_the_folder_is_closed(place: Place) -> None:
    assert not place.take(os.geteuid())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place.inside / "http.sock"))
        (place.inside / "http.sock").chmod(0o600)
        assert not place.take(os.geteuid())
        (place.inside / "http.sock").chmod(0o666)
        server.listen()
        assert place.take(os.geteuid())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.socket))
    assert stat.S_IMODE(place.inside.stat().st_mode) == 0o700


def test_a_link_to_another_socket_is_refused(place: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other.sock"))
        (place.inside / "http.sock").symlink_to(tmp_path / "other.sock")
        with pytest.raises(Refused):
            place.take(os.geteuid())
        assert not os.path.lexists(place.socket)


def test_somebody_elses_socket_is_refused(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place.inside / "http.sock"))
        (place.inside / "http.sock").chmod(0o666)
        with pytest.raises(Refused):
            place.take(os.geteuid() + 1)
