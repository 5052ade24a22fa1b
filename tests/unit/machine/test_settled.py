"""Where a path leads when nobody but root can change it; every other path is refused, link or not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubwright.errors import Refused
from hubwright.machine.settled import settle

pytestmark = pytest.mark.root
SOMEBODY = 54321


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's, in folders of root's."""
    made = Path(tempfile.mkdtemp(prefix="hwt-settled-", dir="/srv"))
    made.chmod(0o755)
    for name in ("homes/ada", "data/deep"):
        (made / name).mkdir(parents=True)
    yield made
    shutil.rmtree(made)


def test_links_of_roots_are_followed_and_gone(place: Path) -> None:
    (place / "all").symlink_to("homes")
    (place / "whole").symlink_to(place / "data/../all")
    os.chown(place / "homes/ada", SOMEBODY, SOMEBODY)
    assert settle(place / "whole/ada") == place / "homes/ada", "what it leads to may be anybody's"
    assert settle(place / "data") == place / "data"
    assert settle(Path("/")) == Path("/")


def test_a_folder_of_somebody_elses_on_the_way_is_refused_with_and_without_a_link(place: Path) -> None:
    os.chown(place / "data", SOMEBODY, SOMEBODY)
    with pytest.raises(
        Refused, match=f"{place}/data/deep could be led elsewhere: {place}/data belongs to user id 54321"
    ):
        settle(place / "data/deep")
    shutil.rmtree(place / "data/deep")
    (place / "data/deep").symlink_to("/etc")
    with pytest.raises(Refused, match="could be led elsewhere"):
        settle(place / "data/deep")
    with pytest.raises(Refused, match="could be led elsewhere"):
        settle(place / "data/deep/ssh")
    (place / "through").symlink_to("data/deep")
    with pytest.raises(Refused, match="could be led elsewhere"):
        settle(place / "through")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_may_write_is_refused(place: Path, mode: int) -> None:
    (place / "data").chmod(mode)
    with pytest.raises(Refused, match="can be written by others than root"):
        settle(place / "data/deep")


def test_what_leads_nowhere_is_said(place: Path) -> None:
    (place / "one").symlink_to("two")
    (place / "two").symlink_to("one")
    with pytest.raises(Refused, match="too many links"):
        settle(place / "one")
    with pytest.raises(FileNotFoundError):
        settle(place / "none/of/it")
    (place / "file").write_text("")
    with pytest.raises(Refused, match="file is not a folder"):
        settle(place / "file/of")
