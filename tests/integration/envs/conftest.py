"""Folders whose environments are built, and gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.environments import Lab

from hubwright.machine.place import place


def _made() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(place("127.0.0.1:8000", None, made / "hub.yaml", None).environments, ignore_errors=True)
    shutil.rmtree(made)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root's that everybody may enter, and the environments of a service there."""
    yield from _made()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One for all tests of a file."""
    for made in _made():
        yield Lab(made)


@pytest.fixture(scope="module")
def built(lab: Lab) -> Lab:
    """It, with the environment `lab` built."""
    lab.build()
    return lab


@pytest.fixture
def changed(built: Lab) -> Iterator[Lab]:
    """It, for a test that changes hub.yaml, which is put back; the environment may then be another version of the same."""
    before = built.yaml
    yield built
    (built.folder / "hub.yaml").write_text(before)
    built.yaml = before
