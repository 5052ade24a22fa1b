"""`engine: {kind: docker}` in hub.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hubwright.engines.gpus import GpuSection
from hubwright.fields import Duration, Processes, matching, shown
from hubwright.profiles.config import Amount, HomePattern, Volume

_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,250}(@sha256:[0-9a-f]{64})?")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
_CAPABILITY = re.compile(r"[A-Z][A-Z_]{1,40}")


def _check_socket(value: str) -> str:
    if value.startswith(("tcp:", "http:", "https:", "ssh:")):
        raise ValueError(
            f"must be a Unix socket of this machine, not {shown(value)}: whoever can reach Docker's TCP port is root "
            "there, and containers elsewhere could reach neither the homes nor the hub of this machine."
        )
    if not re.fullmatch(r"unix:///[^\x00-\x20]{1,100}", value):
        raise ValueError(f'must be a Unix socket such as "unix:///var/run/docker.sock", not {shown(value)}.')
    return value


def _check_network(value: str) -> str:
    if value == "host" or value.startswith("container:"):
        raise ValueError("must not be a network that shares the machine's ports with every user.")
    if not _NETWORK.fullmatch(value):
        raise ValueError(f'must be the name of a Docker network such as "lab", or "none", not {shown(value)}.')
    return value


def _check_capability(value: str) -> str:
    if not _CAPABILITY.fullmatch(value) or value in {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE"}:
        raise ValueError(f"is no capability that a notebook may have: {shown(value)}.")
    return value


Image = Annotated[
    str,
    AfterValidator(
        matching(_IMAGE, 'must be the name of an image such as "quay.io/jupyter/base-notebook:hub-6", not {}.')
    ),
]


class Config(GpuSection):
    """Each notebook server is a Docker container on this machine, as its user's Unix account."""

    kind: Literal["docker"] = Field(default="docker", description="Where servers run: in Docker containers.")
    socket: Annotated[str, AfterValidator(_check_socket)] = Field(
        default="unix:///var/run/docker.sock",
        description="Docker's socket. A TCP address is refused.",
        examples=["unix:///run/docker.sock"],
    )
    image: Image = Field(
        default="hubwright/singleuser:latest",
        description="The image of a server when nobody chose another. It must hold JupyterHub 6's single-user server.",
        examples=["quay.io/jupyter/base-notebook:latest"],
    )
    pull: Literal["missing", "always", "never"] = Field(
        default="missing",
        description="When images are fetched from their registry: those that are `missing`, `always` when the service "
        "starts, or `never`.",
    )
    command: tuple[str, ...] = Field(
        default=("jupyterhub-singleuser",),
        min_length=1,
        description="What a container runs; the settings of Hubwright follow. The image's entrypoint stays.",
        examples=[["start-singleuser.sh"]],
    )
    network: Annotated[str, AfterValidator(_check_network)] | None = Field(
        default=None,
        description="A Docker network that is there already, or `none`. Left out, containers get a network of their "
        "own, in which they reach the outside but not each other.",
        examples=["none"],
    )
    processes: Processes | None = Field(
        default=4096,
        description="The processes and threads that one server may have.",
        examples=[512],
    )
    cap: Amount = Field(
        default=Amount(),
        description="What all containers may take together, so that the machine itself stays responsive. Needs root.",
        examples=[{"cpu": 60, "memory": "200G"}],
    )
    home: HomePattern | None = Field(
        default=None,
        description="Where homes are, with `{username}` in it; the account's own home unless named. "
        "A home has the same path inside a container as outside.",
        examples=["/data/homes/{username}"],
    )
    volumes: tuple[Volume, ...] = Field(
        default=(),
        description="Folders of the machine that every container sees; read-only unless `writable`.",
        examples=[[{"source": "/srv/shared", "target": "/srv/shared"}]],
    )
    capabilities: tuple[Annotated[str, AfterValidator(_check_capability)], ...] = Field(
        default=(),
        description="Linux capabilities that containers keep; all others are dropped.",
        examples=[["NET_RAW"]],
    )
    start_timeout: Annotated[Duration, Field(ge=5, le=3600)] = Field(
        default=120.0, description="How long a container may take until its server answers."
    )
    pull_timeout: Annotated[Duration, Field(ge=5, le=86400)] = Field(
        default=1800.0, description="How long fetching an image may take."
    )
