"""Kernels that nobody uses are stopped, and their servers are not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.conftest import Account
from tests.idle_kernels import IDLE, check_idle_kernels_go
from tests.integration.conftest import PAM
from tests.running import Service

pytestmark = pytest.mark.root


def test_an_idle_kernel_is_stopped_and_a_computing_one_is_not(
    service: Callable[..., Service], account: Callable[..., Account]
) -> None:
    running = service(f"{PAM}idle: {json.dumps(IDLE)}\n").up()
    check_idle_kernels_go(running.start(account().name))
