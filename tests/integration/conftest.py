"""The real service, started from the environment the tests run in, with Unix accounts of the test's own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Account, remove_account
from tests.running import Service, port

PAM = """\
hub:
  listen: "127.0.0.1:{port}"
auth:
  kind: pam
  allow: all
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Callable[..., Service]]:
    """Make services, `service(yaml)`; `{port}` in the text becomes a free one. All are stopped at the end."""
    made: list[Service] = []

    def make(yaml: str = PAM) -> Service:
        folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
        folder.chmod(0o755)
        number = port()
        made.append(Service(folder, yaml.replace("{port}", str(number)), number))
        return made[-1]

    yield make
    for one in made:
        one.clean()
        shutil.rmtree(one.folder, ignore_errors=True)


@pytest.fixture
def small() -> Iterator[Path]:
    """A disk of 48 MB."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def names() -> Iterator[list[str]]:
    """Names that no account has; their accounts are removed."""
    made = [f"hwt-{secrets.token_hex(4)}" for _ in range(3)]
    yield made
    for name in made:
        remove_account(name)


@pytest.fixture(scope="module")
def person(module_account: Callable[..., Account]) -> Account:
    """Somebody with a Unix account, for the tests of a whole module."""
    return module_account()
