"""Many Unix accounts at once, and a course that they all get."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Account

FIRST = 3_000_000
"""Numbers of accounts that nothing else of the tests has."""


class Many:
    """Accounts that are made and removed by one run of a program each."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(self, count: int) -> list[Account]:
        names = [f"hwt-{secrets.token_hex(4)}" for _ in range(count)]
        first = FIRST + secrets.randbelow(10_000) * 100
        password = secrets.token_urlsafe(12)
        lines = [f"{name}:{password}:{first + i}:{first + i}::/home/{name}:/bin/bash" for i, name in enumerate(names)]
        self.made += names
        subprocess.run(["newusers"], input="\n".join(lines) + "\n", text=True, check=True, capture_output=True)
        found = [pwd.getpwnam(name) for name in names]
        for one in found:
            Path(one.pw_dir).chmod(0o700)
        return [Account(one.pw_name, password, one.pw_uid, one.pw_gid, Path(one.pw_dir)) for one in found]

    def remove(self) -> None:
        for name in self.made:
            subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
            shutil.rmtree(Path("/home") / name, ignore_errors=True)


@pytest.fixture(scope="module")
def many() -> Iterator[Many]:
    accounts = Many()
    try:
        yield accounts
    finally:
        accounts.remove()


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """The folder with the originals, a teacher's; everybody may read it."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-course-", dir="/srv"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def write(folder: Path, files: dict[str, str | None]) -> None:
    """Change a folder; None removes."""
    for path, text in files.items():
        place = folder / path
        if text is None:
            place.unlink()
            if not os.listdir(place.parent):
                place.parent.rmdir()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)


def tree(folder: Path) -> dict[str, str]:
    """What is in a folder: the text of files, and where links lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
