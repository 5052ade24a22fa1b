"""An environment of an older Python than Hubwright's own, which `python` names: 3.9, the oldest that has zygotes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import python_here
from tests.conftest import Account, wait_until
from tests.integration.envs.test_zygotes import is_forked, parent, pid_of, zygote_of
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  lab: {kind: uv, python: PYTHON, packages: [six, "numpy<2.1"], preload: [six, numpy]}
  twin: {kind: uv, python: PYTHON, packages: [six]}
"""
TOLD = """\
import json, sys
print(json.dumps([list(sys.version_info[:2]), sys.prefix, sys.base_prefix, 'numpy' in sys.modules]))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return python_here.python()


@pytest.fixture(scope="module")
def running(service: Callable[..., Service], python: Path) -> Service:
    """A service that has built both, and whose zygote is ready."""
    one = service(YAML.replace("PYTHON", str(python))).up(wait=350)
    wait_until(lambda: zygote_of(one), 40)
    return one


@pytest.fixture(scope="module")
def notebook(running: Service, person: Account) -> Notebook:
    return running.start(person.name)


def test_it_is_built_on_the_python_that_is_named(running: Service) -> None:
    for name in ("lab", "twin"):
        told = json.loads(running.cli("env", "show", name, "--json").stdout)
        assert told["language"].startswith(f"{python_here.VERSION}."), told


def test_a_kernel_that_is_executed_runs_a_cell(
    running: Service, notebook: Notebook, person: Account, python: Path
) -> None:
    kernel = notebook.kernel("twin")
    own = f"{person.home}/.local/share/hubwright/environments/twin-{python_here.VERSION}"
    assert kernel.value(TOLD) == [[3, 9], own, str(python.parents[1]), False]
    assert not is_forked(kernel, running)
    assert kernel.run("import six; print(six.PY3)") == "True\n"


def test_a_kernel_that_is_forked_runs_a_cell(
    running: Service, notebook: Notebook, person: Account, python: Path
) -> None:
    kernel = notebook.kernel("lab")
    own = f"{person.home}/.local/share/hubwright/environments/lab-{python_here.VERSION}"
    assert kernel.value(TOLD) == [[3, 9], own, str(python.parents[1]), True]
    assert parent(pid_of(kernel)) == zygote_of(running)
    assert kernel.run("import numpy; print(numpy.ones(3).sum())") == "3.0\n"
    assert kernel.run("1 / 0") == "ZeroDivisionError: division by zero"
    assert kernel.run("import os; print(os.getuid())") == f"{person.uid}\n"
    assert "pip" in kernel.run("%pip --version")
