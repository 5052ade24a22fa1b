"""What a server in a container is: whose, with which folders, within which limits, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service]) -> Iterator[Service]:
    yield docker_service().up()


def test_a_server_runs_as_its_user_in_a_container(running, module_account) -> None:
    ada = module_account()
    notebook = running.start(ada.name)
    kernel = notebook.kernel()
    who = kernel.value("import os, json; print(json.dumps([os.getuid(), os.getgid(), os.getcwd()]))")
    assert who == [ada.uid, ada.gid, str(ada.home)]
