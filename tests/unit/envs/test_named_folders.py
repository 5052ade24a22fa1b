"""A folder that packages are taken from is there and can be read, or the setting says why not."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.envs import named


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, also from above."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/lib") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.root
def test_a_folder_that_may_not_be_read_is_told_with_what_to_do(place):
    """As a service that an ordinary user has started: the folder itself, and one in a folder that is closed."""
    closed = place / "closed"
    (closed / "channel").mkdir(parents=True)
    closed.chmod(0o700)
    here = replace(site(), config=place / "hub.yaml", account="ann", privileged=False)
    os.seteuid(65534)
    try:
        found = [named.folder_problems(here, "channels", path) for path in ("closed", "closed/channel", "nowhere")]
    finally:
        os.seteuid(0)
    (first,), (second,), (third,) = found
    assert first.what == f"{closed} cannot be read: Permission denied."
    assert second.what == f"{closed / 'channel'} cannot be read: Permission denied."
    assert "ann must be able to read it" in first.remedy
    assert third.what == f"{place / 'nowhere'} is no folder."
