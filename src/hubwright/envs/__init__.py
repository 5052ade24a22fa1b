"""Environments that kernels come from."""
