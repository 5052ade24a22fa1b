"""What two people have of a Julia environment in a running service: a kernel, and packages of their own on top."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from tests import julia_here
from tests.conftest import Account
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  julia:
    kind: julia
    display: Julia 1.5
    julia: JULIA
    packages: [./Greeting]
    registries: [./registry/Registry]
    pkg_server: ""
"""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    """A service that has built it at its start."""
    one = service(YAML.replace("JULIA", str(julia_here.julia() / "usr/bin/julia")))
    julia_here.registry(one.folder / "registry", "IJulia", "Words", "Extra")
    shutil.copytree(julia_here.PACKAGES / "Greeting", one.folder / "Greeting")
    return one.up(wait=240)


@pytest.fixture(scope="module")
def notebooks(running: Service, module_account: Callable[..., Account]) -> tuple[Notebook, Notebook]:
    """Of two people."""
    return running.start(module_account().name), running.start(module_account().name)


def test_a_kernel_runs_cells_and_is_restarted(notebooks):
    hers, his = notebooks
    specs = hers.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    assert (specs["julia"]["spec"]["display_name"], specs["julia"]["spec"]["language"]) == ("Julia 1.5", "julia")
    for notebook in (hers, his):
        kernel = notebook.kernel("julia")
        assert kernel.run('using Greeting; greet("you")') == '"hello, you"'
        assert kernel.run("sqrt(-1)").startswith("DomainError")
        assert kernel.run("println(6 * 7)") == "42\n"


def test_what_one_adds_in_a_notebook_is_ones_own(notebooks):
    hers, his = notebooks
    assert hers.kernel("julia").run('import Pkg; Pkg.add("Extra"); using Extra; Extra.more()').endswith('"hello!"')
    assert hers.kernel("julia").run("using Extra, Greeting; Extra.more()") == '"hello!"'
    assert "Package Extra not found" in his.kernel("julia").run("using Extra")


def test_the_project_beside_a_notebook_is_the_active_one_and_stays_as_it_is(notebooks):
    hers, _ = notebooks
    content = {"type": "file", "format": "text", "content": "# mine\n[deps]\n"}
    assert hers.ask("PUT", "api/contents/Project.toml", content).status_code == 201
    kernel = hers.kernel("julia")
    assert kernel.run("basename(dirname(Base.active_project()))") == f'"{hers.user}"'
    assert kernel.run("using Greeting; greet(1)") == '"hello, 1"'
    assert hers.ask("GET", "api/contents/Project.toml").json()["content"] == content["content"]


def test_what_is_broken_in_ones_own_julia_stops_no_server_and_is_named(running, account):
    """A project of one's own that cannot be read is none; a startup file is the kernel's end."""
    person = account()
    for name, text in (("environments/v1.5/Project.toml", "[deps\nno toml"), ("config/startup.jl", 'error("mine")\n')):
        path = person.home / ".julia" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    subprocess.run(["chown", "-R", f"{person.uid}:{person.gid}", str(person.home)], check=True)
    notebook = running.start(person.name)
    answer = notebook.ask("POST", "api/kernels", {"name": "julia"})
    assert answer.status_code == 500, answer.text
    said = answer.json()["message"]
    assert said.startswith("Julia 1.5 ended while it started. It said: ERROR: ")
    assert "mine" in said
    assert "~/.julia/config/startup.jl" in said
    (person.home / ".julia/config/startup.jl").unlink()
    assert notebook.kernel("julia").run("6 * 7") == "42"
    assert notebook.kernel().run("6 * 7") == "42"
