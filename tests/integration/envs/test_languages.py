"""What somebody sees of a conda environment and of an R, and what he installs into each: in a running service."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import conda_channel, r_repository
from tests.conda_channel import module
from tests.conftest import Account
from tests.running import Notebook, Service

from hubwright.fields import instance_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  chem: {kind: conda, display: Chemistry, channels: [./channel], packages: [alpha]}
  stats: {kind: r, display: Statistics, repository: ./cran, packages: [low]}
"""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Iterator[Service]:
    """A service that has built both at its start, at the same time."""
    one = service(YAML)
    small = [module("alpha"), *conda_channel.installed("ipykernel", "pip")]
    conda_channel.write(one.folder / "channel", conda_channel.python(), *small)
    low = ("low", "1.0", r_repository.archive("low", "1.0"))
    r_repository.write(one.folder / "cran", low, ("mine", "2.0", r_repository.archive("mine", "2.0")))
    one.up(wait=280)
    try:
        yield one
    finally:
        shutil.rmtree(Path("/opt/hubwright/environments") / instance_of(one.state), ignore_errors=True)


@pytest.fixture(scope="module")
def other(module_account: Callable[..., Account]) -> Account:
    return module_account()


def opened(service: Service, account: Account) -> Notebook:
    return (
        Notebook(service, account.name, "")
        if service.server(account.name).get("ready")
        else service.start(account.name)
    )


def test_both_are_shown_and_run(running, person):
    notebook = opened(running, person)
    specs = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    shown = {name: (one["spec"]["display_name"], one["spec"]["language"]) for name, one in specs.items()}
    assert (shown["chem"], shown["stats"]) == (("Chemistry", "python"), ("Statistics", "R"))
    kernel = notebook.kernel("chem")
    assert kernel.run("import alpha; print(alpha.__version__)") == "1.0\n"
    assert kernel.run("import os, sys; print(os.path.exists(os.environ['CONDA_PREFIX'] + '/conda-meta'))") == "True\n"
    assert notebook.kernel("stats").run("cat(low::low_version())") == "1.0"


def test_what_one_installs_in_r_is_ones_own(running, person, other):
    hers, his = opened(running, person), opened(running, other)
    kernel = hers.kernel("stats")
    kernel.run(f"install.packages('mine', repos = 'file://{running.folder}/cran')")
    assert kernel.run("cat(mine::mine_version(), dirname(find.package('mine')))").startswith(
        f"2.0 {person.home}/.local/"
    )
    assert hers.kernel("stats").run("cat(mine::mine_version())") == "2.0"
    assert his.kernel("stats").run("cat(requireNamespace('mine', quietly = TRUE))") == "FALSE"
    assert kernel.run("cat(file.access(dirname(find.package('low')), 2))") == "-1"


def test_what_one_installs_in_a_conda_environment_is_ones_own(running, person, other):
    kernel = opened(running, person).kernel("chem")
    said = kernel.run("%pip install six==1.17.0")
    assert "Successfully installed six-1.17.0" in said, said
    assert str(person.home) in opened(running, person).kernel("chem").run("import six; print(six.__file__)")
    assert (
        opened(running, other).kernel("chem").run("import importlib.util as u; print(u.find_spec('six'))") == "None\n"
    )


def test_ones_own_packages_stay_when_the_environment_is_built_anew(running, person):
    path = running.folder / "hub.yaml"
    path.write_text(path.read_text().replace("packages: [alpha]", "packages: [alpha, python]"))
    running.cli("env", "build", "chem")
    kernel = opened(running, person).kernel("chem")
    assert kernel.run("import sys; print(sys.base_prefix)").endswith("/versions/2/prefix\n")
    assert kernel.run("import alpha, six; print(six.__version__)") == "1.17.0\n"
