"""The real service, started from the environment the tests run in, with Unix accounts of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Account
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


@pytest.fixture(scope="module")
def person(module_account: Callable[..., Account]) -> Account:
    """Somebody with a Unix account, for the tests of a whole module."""
    return module_account()
