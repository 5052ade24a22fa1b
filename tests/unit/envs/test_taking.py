"""Taking over what an account without rights has made, where a package's links would lead root out of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubwright.envs import marks, taking
from hubwright.errors import MachineError


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What was made: files, a link that is none of them, and one in a folder."""
    folder = tmp_path / "made"
    (folder / "lib/inner").mkdir(parents=True)
    (folder / "plain").write_text("plain")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "lib/inner/module.py").write_text("x = 1\n")
    (folder / "lib/inner/module.py").chmod(0o700)
    return folder


def test_plain_files_are_copied_and_those_that_are_there_stay(made: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    (prefix / "plain").write_text("as it was")
    assert taking.take(made, prefix) == 1
    assert {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()} == {
        "plain",
        "lib/inner/module.py",
    }
    assert (prefix / "plain").read_text() == "as it was"
    assert (prefix / "lib/inner/module.py").stat().st_mode & 0o777 == 0o755


def test_no_link_of_a_package_leads_what_is_taken_out_of_the_environment(made: Path, tmp_path: Path) -> None:
    prefix, outside = tmp_path / "prefix", tmp_path / "outside"
    prefix.mkdir()
    outside.mkdir()
    (prefix / "lib").symlink_to(outside)
    with pytest.raises(MachineError, match=r"leads out of the environment: .*/prefix/lib/inner"):
        taking.take(made, prefix)
    with pytest.raises(MachineError, match="leads out of the environment"):  # the target itself, as with bytecode
        taking.take(made, prefix / "lib", root=prefix)
    with pytest.raises(MachineError, match="leads out of the environment"):
        marks.for_python(prefix, "3.11", "lab")
    (prefix / "conda-meta").symlink_to("../outside")
    with pytest.raises(MachineError, match="leads out of the environment"):
        marks.for_conda(prefix, "lab")
    assert not list(outside.iterdir())


def test_a_link_within_the_environment_is_followed(made: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    (prefix / "lib64").mkdir(parents=True)
    (prefix / "lib").symlink_to("lib64")
    assert taking.take(made, prefix) == 2
    assert (prefix / "lib64/inner/module.py").read_text() == "x = 1\n"
