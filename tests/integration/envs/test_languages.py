"""What somebody sees of a conda environment and of an R, and what he installs into each: in a running service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests import conda_channel, conda_r, r_repository
from tests.conda_channel import module
from tests.conftest import Account, wait_until
from tests.integration.local.test_parity import PROBE, _differences
from tests.running import Service

from hubwright.engines.local.zygotes import seen

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  chem: {kind: conda, display: Chemistry, channels: [./channel], packages: [alpha], preload: [alpha]}
  stats: {kind: r, display: Statistics, repository: ./cran, packages: [low]}
  forge: {kind: conda, channels: [./channel], kernel: r, packages: [r-stats]}
"""


ALPHA = replace(
    module("alpha", text="import os\nHERE = os.environ['ALPHA_DATA']\nPROGRAM = __import__('shutil').which('alpha')\n"),
    modes={"bin/alpha": 0o755},
)
"""A package that reads, when it is imported, what its activation sets, and looks for a program."""
MORE = {"etc/conda/activate.d/alpha.sh": "export ALPHA_DATA=$CONDA_PREFIX/share\n", "bin/alpha": "#!/bin/sh\n"}


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    """A service that has built all at its start, at the same time."""
    one = service(YAML)
    conda_channel.base(one.folder / "channel")
    conda_channel.write(one.folder / "channel", replace(ALPHA, files={**ALPHA.files, **MORE}), *conda_r.packages())
    low = ("low", "1.0", r_repository.archive("low", "1.0"))
    bad = ("bad", "1.0", r_repository.archive("bad", "1.0", "stop('it needs libodd')\n"))
    r_repository.write(one.folder / "cran", low, bad, ("mine", "2.0", r_repository.archive("mine", "2.0")))
    return one.up(wait=280)


@pytest.fixture(scope="module")
def other(module_account: Callable[..., Account]) -> Account:
    return module_account()


def test_both_are_shown_and_run(running, person):
    notebook = running.opened(person.name)
    specs = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    shown = {name: (one["spec"]["display_name"], one["spec"]["language"]) for name, one in specs.items()}
    assert (shown["chem"], shown["stats"]) == (("Chemistry", "python"), ("Statistics", "R"))
    kernel = notebook.kernel("chem")
    assert kernel.run("import alpha; print(alpha.__version__)") == "1.0\n"
    assert kernel.run("import os, sys; print(os.path.exists(os.environ['CONDA_PREFIX'] + '/conda-meta'))") == "True\n"
    assert notebook.kernel("stats").run("cat(low::low_version())") == "1.0"


def test_kernels_of_a_conda_environment_are_forked_and_are_what_executing_gives(running, person):
    notebook = running.opened(person.name)
    launch = running.environments / "chem" / "current" / "kernel" / "launch"
    person.add_kernel("executed", [str(launch), "-f", "{connection_file}"])
    wait_until(lambda: [one["ready"] for one in seen.ask(running.run / "zygotes.sock", 10)] == [True], 60)
    forked, executed = notebook.kernel("chem"), notebook.kernel("executed")
    loaded = "import sys; print('alpha' in sys.modules)"
    assert (forked.run(loaded), executed.run(loaded)) == ("True\n", "False\n")
    differ = list(_differences(forked.value(PROBE), executed.value(PROBE)))
    assert not differ, "\n".join(differ)
    told = "import alpha, json; print(json.dumps([alpha.HERE, alpha.PROGRAM]))"
    prefix = (running.environments / "chem" / "current" / "prefix").resolve()
    assert forked.value(told) == executed.value(told) == [f"{prefix}/share", f"{prefix}/bin/alpha"]


def test_what_one_installs_in_r_is_ones_own(running, person, other):
    hers, his = running.opened(person.name), running.opened(other.name)
    kernel = hers.kernel("stats")
    kernel.run(f"install.packages('mine', repos = 'file://{running.folder}/cran')")
    assert kernel.run("cat(mine::mine_version(), dirname(find.package('mine')))").startswith(
        f"2.0 {person.home}/.local/"
    )
    assert hers.kernel("stats").run("cat(mine::mine_version())") == "2.0"
    assert his.kernel("stats").run("cat(requireNamespace('mine', quietly = TRUE))") == "FALSE"
    assert kernel.run("cat(file.access(dirname(find.package('low')), 2))") == "-1"


def test_r_shows_in_the_notebook_why_a_package_cannot_be_installed(running, person):
    kernel = running.opened(person.name).kernel("stats")
    said = kernel.run(f"install.packages('bad', repos = 'file://{running.folder}/cran')")
    assert "it needs libodd" in said, said
    assert kernel.run("cat(list.files())") == "", "its output is kept beside the notebook"
    assert kernel.run("cat(names(formals(install.packages))[1:3])") == "pkgs lib repos"


def test_what_somebody_has_of_his_own_to_install_with_stays(running, person):
    """An `install.packages()` that is attached, as renv does it, and a library that he names himself."""
    profile = "library(utils)\nattach(list(install.packages = function(...) cat('my own')), name = 'mine')\n"
    files = {".Rprofile": profile, ".Renviron": "R_LIBS_USER=~/a:~/b\n"}
    notebook = running.opened(person.name)
    try:
        for name, text in files.items():
            (person.home / name).write_text(text)
        assert notebook.kernel("stats").run("install.packages('low')") == "my own"
        (person.home / ".Rprofile").unlink()
        kernel = notebook.kernel("stats")
        kernel.run(f"install.packages('mine', repos = 'file://{running.folder}/cran')")
        assert not [*person.home.glob("*:*"), *person.home.glob("~*")]
    finally:
        for name in files:
            (person.home / name).unlink(missing_ok=True)


def test_an_r_of_conda_is_shown_and_runs_with_a_library_of_ones_own(running, person):
    notebook = running.opened(person.name)
    shown = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]["forge"]["spec"]
    assert (shown["display_name"], shown["language"]) == ("forge", "R")
    kernel = notebook.kernel("forge")
    prefix = running.environments / "forge" / "current" / "prefix"
    assert kernel.run("cat(6 * 7, Sys.getenv('CONDA_PREFIX'))") == f"42 {prefix.resolve()}"
    kernel.run(f"install.packages('mine', repos = 'file://{running.folder}/cran')")
    assert kernel.run("cat(dirname(find.package('mine')))").startswith(f"{person.home}/.local/")
    assert kernel.run("cat(basename(dirname(find.package('mine'))))").startswith("forge-R-")


def test_what_one_installs_in_a_conda_environment_is_ones_own(running, person, other):
    kernel = running.opened(person.name).kernel("chem")
    said = kernel.run("%pip install six==1.17.0")
    assert "Successfully installed six-1.17.0" in said, said
    assert str(person.home) in running.opened(person.name).kernel("chem").run("import six; print(six.__file__)")
    assert (
        running.opened(other.name).kernel("chem").run("import importlib.util as u; print(u.find_spec('six'))")
        == "None\n"
    )


def test_whoever_would_change_a_shared_environment_hears_what_to_do(running, person):
    """Conda itself cannot be had here; it reads the file that is looked at."""
    notebook = running.opened(person.name)
    kernel = notebook.kernel("chem")
    prefix = (running.environments / "chem" / "current" / "prefix").resolve()
    for words in (
        f"{prefix}/bin/python -m pip install toolz",
        f"{prefix}/bin/python -m pip install --user toolz",
        f"{prefix}/bin/python -m pip uninstall -y alpha",
        f"uv pip install --python {prefix}/bin/python toolz",
        "uv pip install --system toolz",
    ):
        said = kernel.run(f"!{words}")
        assert "The environment chem is shared, and nobody changes it in place." in said, said
        assert "%pip install" in said
    frozen = json.loads((prefix / "conda-meta" / "frozen").read_text())
    assert "hubwright env add chem" in frozen["message"]
    assert "Successfully installed toolz" in kernel.run("%pip install toolz")
    library = (running.environments / "stats" / "current" / "library").resolve()
    said = notebook.kernel("stats").run(f"install.packages('mine', lib = '{library}', repos = NULL)")
    assert f"{library}\"' is not writable" in said
    assert [path.name for path in library.iterdir()] == ["low"]


def test_ones_own_packages_stay_when_the_environment_is_built_anew(running, person):
    path = running.folder / "hub.yaml"
    path.write_text(path.read_text().replace("packages: [alpha]", "packages: [alpha, python]"))
    running.cli("env", "build", "chem")
    kernel = running.opened(person.name).kernel("chem")
    assert kernel.run("import sys; print(sys.base_prefix)").endswith("/versions/2/prefix\n")
    assert kernel.run("import alpha, six; print(six.__version__)") == "1.17.0\n"
