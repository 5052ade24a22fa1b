"""Hubwright, a JupyterHub distribution: one file describes a multi-user notebook service, one command runs it."""

__version__ = "0.1.0"
