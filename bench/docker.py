"""Start to first result in containers, as root, on a Docker daemon that runs: python bench/docker.py.

Three sides on the same hub (Hubwright's): dockerspawner as it comes with an image made the usual way; Hubwright's
engine with that image; Hubwright's engine with the image of images/singleuser. Sides alternate, users are fresh.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import table
from accounts import accounts
from client import Failed, User
from measure import say
from ours import Ours

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
IMAGES = {
    "hubwright-bench/plain:1": (HERE / "docker_plain/Dockerfile", HERE / "docker_plain"),
    "hubwright-bench/ours:1": (ROOT / "images/singleuser/Dockerfile", ROOT),
}
PLAIN, OURS = IMAGES


class Contained(Ours):
    """Hubwright's defaults with its Docker engine."""

    image = OURS
    socket = "unix:///var/run/docker.sock"
    gateway = ""

    def __init__(self, users: list[str], *, spawner: dict[str, Any] | None = None, log_to: Path | None = None) -> None:
        super().__init__(users, spawner=spawner, log_to=log_to)
        file = self.folder / "hub.yaml"
        file.write_text(json.dumps(self.change(json.loads(file.read_text())), indent=2))

    def change(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings with the engine in them."""
        return settings | {"engine": {"kind": "docker", "socket": self.socket, "image": self.image, "pull": "never"}}


class PlainImage(Contained):
    """The same with an image made the usual way."""

    name = "hubwright, plain image"
    image = PLAIN


class AsItComes(Contained):
    """dockerspawner with its own defaults; set are its image, the daemon, and how containers reach the hub."""

    name = "dockerspawner"
    image = PLAIN

    def change(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings with dockerspawner in the place of Hubwright's spawner."""
        settings = super().change(settings)
        settings["hub"]["listen"] = f"0.0.0.0:{self.port}"
        settings["https"] = {"kind": "none", "insecure": True}
        settings["extra"] = {
            "JupyterHub": {"concurrent_spawn_limit": 0, "spawner_class": "dockerspawner.DockerSpawner"},
            "DockerSpawner": {"image": PLAIN, "client_kwargs": {"base_url": self.socket}},
            "Spawner": {"hub_connect_url": f"http://{self.gateway}:{self.port}"},
        }
        return settings


SIDES = (AsItComes, PlainImage, Contained)


def main() -> int:
    """Build both images, measure, write the CSV; 1 when ours is not 1.5 times as fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", default=Contained.socket)
    parser.add_argument("--base", default="python:3.13-slim", help="the image that both are built on")
    parser.add_argument("--number", type=int, default=15, help="users a side, after one that is discarded")
    parser.add_argument("--out", type=Path, default=HERE / "docker.csv")
    parser.add_argument("--no-build", action="store_true", help="take the images of an earlier run")
    chosen = parser.parse_args()
    Contained.socket = chosen.socket
    Contained.gateway = _docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    if not chosen.no_build:
        for image, (file, context) in IMAGES.items():
            say(f"building {image}")
            options = ["--network=host", f"--build-arg=BASE={chosen.base}", f"--tag={image}", f"--file={file}"]
            _docker("build", "--quiet", *options, str(context))
    sizes = {image: _docker("image", "inspect", image, "--format", "{{.Size}}") for image in IMAGES}
    server = _docker("version", "--format", "{{.Server.Version}}")
    notes = table.machine({"dockerspawner": version("dockerspawner"), "docker": server})
    notes["images"] = ", ".join(f"{image} {int(size) / 2**20:.0f} MiB" for image, size in sizes.items())
    _remove_left()
    rows = measure(chosen.number)
    _remove_left()
    table.write(chosen.out, notes, rows)
    return 0 if report(chosen.out) >= 1.5 else 1


def measure(number: int) -> list[dict[str, Any]]:
    """Return a row for each side and user; a failure is a row with an error."""
    rows: list[dict[str, Any]] = []
    with accounts((number + 1) * len(SIDES)) as made, ExitStack() as running:
        names = list(made)
        stacks = [running.enter_context(side(names)) for side in SIDES]
        tokens = {stack.name: stack.tokens(names) for stack in stacks}
        for turn in range(number + 1):
            for index in range(len(stacks)):
                stack = stacks[(index + turn) % len(stacks)]
                name = names.pop()
                row = {"side": stack.name, "user": name, "ready": "", "session": "", "result": "", "error": ""}
                try:
                    row |= asdict(asyncio.run(_first(stack.url, name, tokens[stack.name][name])))
                except Failed as error:
                    row["error"] = str(error)
                if turn:
                    rows.append(row)
                    say(f"{stack.name} {turn}/{number}: {row['error'] or row['result']}")
                stack.stop_server(name)
    return rows


def report(path: Path) -> float:
    """Print the medians; return how many times sooner ours is than dockerspawner."""
    _, rows = table.read(path)
    medians = {}
    for side in SIDES:
        found = sorted(table.column(rows, side.name, "result"))
        medians[side.name] = found[len(found) // 2]
        print(f"{side.name}: {medians[side.name]:.2f} s")
    ratio = medians[AsItComes.name] / medians[Contained.name]
    print(f"{ratio:.2f} times sooner")
    return ratio


async def _first(url: str, name: str, token: str) -> Any:
    async with User(url, name, token) as user:
        return await user.first_result(60)


def _remove_left() -> None:
    """Remove what dockerspawner leaves: it would start an earlier run's container again, with that run's settings."""
    if left := _docker("ps", "--all", "--quiet", "--filter", "name=^jupyter-hwb-").split():
        _docker("rm", "--force", *left)


def _docker(*words: str) -> str:
    command = ["docker", "--host", Contained.socket, *words]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=1800, env={**os.environ, "DOCKER_BUILDKIT": "0"}
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
