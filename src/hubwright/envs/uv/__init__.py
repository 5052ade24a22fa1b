"""Python environments of named packages, made with uv."""

from hubwright.envs import later
from hubwright.envs.uv.config import Config

NAME = "uv"
__all__ = ["NAME", "Config"]
__getattr__ = later("hubwright.envs.uv.build")
