"""R: its own packages in a library of their own, and what the R itself has."""

from hubwright.envs import later
from hubwright.envs.r.config import Config

NAME = "r"
__all__ = ["NAME", "Config"]
__getattr__ = later("hubwright.envs.r.build")
