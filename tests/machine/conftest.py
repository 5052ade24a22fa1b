"""Guests: machines with systemd and control groups of version 2, as Debian makes them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.machine import image
from tests.machine.guest import Guest, Running, fresh
from tests.machine.image import Image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever makes the image, or waits for an emulated processor, needs longer than a usual test."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def machine_image() -> Iterator[Image]:
    """The image that guests begin as; made by the first test that needs it."""
    if why := image.missing():
        pytest.skip(why)
    with image.image() as found:
        yield found


@pytest.fixture(scope="session")
def running() -> Running:
    """Gives a machine that begins as an image, for a `with`; whatever happens, nothing of it stays."""
    return _running


@pytest.fixture
def guest(machine_image: Image) -> Iterator[Guest]:
    """A running machine for one test."""
    with _running(machine_image) as one:
        yield one


@pytest.fixture(scope="module")
def module_guest(machine_image: Image) -> Iterator[Guest]:
    """A running machine for the tests of a whole module."""
    with _running(machine_image) as one:
        yield one


@contextmanager
def _running(image: Image) -> Iterator[Guest]:
    one = fresh(image)
    try:
        one.start()
        yield one
    finally:
        one.end()
        shutil.rmtree(one.folder, ignore_errors=True)
