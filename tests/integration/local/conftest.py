"""The local engine as it is without settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import Account
from tests.running import Notebook, Service


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    """A service that runs."""
    return service().up()


@pytest.fixture(scope="module")
def notebook(running: Service, person: Account) -> Notebook:
    """Somebody's server in it."""
    return running.start(person.name)
