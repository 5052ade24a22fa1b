"""What every `engine` section of hub.yaml has: the limits of one server, how many one may have, and who is let in."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hubwright.fields import Bytes, Cpus, Processes, UserName


class Section(BaseModel):
    """The keys that are the same wherever servers run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    memory: Bytes | None = Field(
        default=None,
        description="The memory that one server with all its kernels may take, swap included. "
        "Limits need root and control groups.",
        examples=["2G"],
    )
    cpu: Cpus | None = Field(
        default=None, description="The processors that one server may take; 0.5 is half of one.", examples=[1]
    )
    processes: Processes | None = Field(
        default=None,
        description="The processes and threads that one server may have.",
        examples=[512],
    )
    servers: int = Field(
        default=1,
        ge=1,
        le=1000,
        strict=True,
        description="How many servers a person may have: the first one, and named ones beside it.",
        examples=[3],
    )
    admit: tuple[UserName, ...] = Field(
        default=(),
        description="Accounts that may have servers although they could become root: members of sudo, and the like.",
        examples=[["alice"]],
    )

    def configure_hub(self, spawner_class: str, c: dict[str, dict[str, Any]]) -> None:
        """Write into `c` which spawner there is, and how many servers a person may have."""
        c.setdefault("JupyterHub", {}).update(
            spawner_class=spawner_class,
            allow_named_servers=self.servers > 1,
            # JupyterHub counts the named servers only, and takes 0 for "no limit"
            named_server_limit_per_user=self.servers - 1,
        )
