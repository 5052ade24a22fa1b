"""Environments of conda packages, solved and linked without a conda installation."""

from hubwright.envs import later
from hubwright.envs.conda.config import Config

NAME = "conda"
__all__ = ["NAME", "Config"]
__getattr__ = later("hubwright.envs.conda.build")
