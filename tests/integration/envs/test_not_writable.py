"""Nobody but root writes to what is shared; what installs elsewhere goes on working, and says where it may."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.environments import Lab
from tests.running import Notebook, Service

from hubwright.errors import HubwrightError

pytestmark = [pytest.mark.root, pytest.mark.timeout(200)]
SHARED = "The environment lab is shared, and nobody changes it in place."
UV = Path(sys.prefix, "bin", "uv")
EXTENSION = {
    "name": "tau",
    "version": "1.0",
    "jupyterlab": {"extension": True, "_build": {"load": "static/tau.js", "extension": "./extension"}},
}
"""What a prebuilt extension of JupyterLab says of itself."""


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    return lab.write("  lab: {kind: uv, packages: [six==1.16.0]}")


@pytest.fixture(scope="module")
def wheel(lab: Lab) -> Path:
    return wheels.write(lab.folder / "wheels", "tau")


def prefix(built: Lab) -> Path:
    return Path(built.current().prefix)


def writable(folder: Path) -> list[Path]:
    """Return what others than the owner may write below a folder."""
    found = [folder, *folder.rglob("*")]
    return [path for path in found if not path.is_symlink() and path.lstat().st_mode & 0o022]


@pytest.fixture
def run(ada: Account) -> Callable[..., str]:
    """Run a command as a person; return all that it says. It must do what it is asked where `does` holds."""

    def runs(*words: object, does: bool, **env: str) -> str:
        done = subprocess.run(
            [*map(str, words)],
            user=ada.uid,
            group=ada.gid,
            extra_groups=[],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=100,
            cwd=ada.home,
            env={"HOME": str(ada.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **env},
        )
        assert (done.returncode == 0) == does, done.stdout
        return done.stdout

    return runs


def test_nothing_of_an_environment_can_be_written_by_others(built):
    """A file of root's that everybody may write would fill the disk past all quotas."""
    assert not writable(prefix(built))
    assert {path.lstat().st_uid for path in prefix(built).rglob("*")} == {0}


def test_nor_what_fetched_pythons_are_locked_with(folder, monkeypatch):
    """Also where the fetching failed."""
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "file:///nonexistent")
    fetched = Lab(folder).write('  lab: {kind: uv, managed: true, python: "3.13", packages: [six]}')
    with pytest.raises(HubwrightError):
        fetched.build()
    pythons = fetched.site.environments / ".python"
    assert (pythons / ".lock").exists()
    assert not writable(pythons)


@pytest.mark.parametrize(
    "words",
    [
        ("--target={prefix}/lib",),
        ("--target", "{prefix}/new/folder"),
        ("-t", "{current}/lib"),
        ("--prefix", "{current}"),
        ("--user",),
        (),
    ],
)
def test_pip_into_a_shared_environment_says_what_to_do(built, wheel, run, words):
    """By whichever path one comes: `current` is a link to it."""
    current = built.site.environments / "lab" / "current" / "prefix"
    told = [word.format(prefix=prefix(built), current=current) for word in words]
    said = run(current / "bin" / "pip3", "install", "--no-index", *told, wheel, does=False)
    assert said.startswith(SHARED)
    assert "%pip install in a notebook" in said
    assert not [*prefix(built).rglob("tau*")]


def test_pip_of_a_shared_environment_installs_elsewhere(built, wheel, run, ada):
    pip = prefix(built) / "bin" / "pip"
    run(pip, "install", "--no-index", "--target", ada.home / "target", wheel, does=True)
    run(pip, "install", "--no-index", f"--prefix={ada.home}/prefix", wheel, does=True)
    run(pip, "install", "--no-index", wheel, does=True, PIP_TARGET=str(ada.home / "told"))
    found = {path.relative_to(ada.home).parts[0] for path in ada.home.rglob("tau.py")}
    assert found == {"target", "prefix", "told"}
    assert "Would install tau-1.0" in run(pip, "install", "--no-index", "--dry-run", wheel, does=True)
    assert "--target" in run(pip, "install", "--help", does=True)
    assert "six" in run(pip, "freeze", does=True)


def test_an_environment_of_ones_own_is_made_from_the_shared_python(built, wheel, run, ada):
    run(prefix(built) / "bin" / "python", "-m", "venv", "--without-pip", ada.home / "mine", does=True)
    run(prefix(built) / "bin" / "pip", "--python", ada.home / "mine", "install", "--no-index", wheel, does=True)
    run(UV, "venv", "--python", prefix(built) / "bin" / "python", ada.home / "quick", does=True)
    run(UV, "pip", "install", "--python", ada.home / "quick", "--no-index", wheel, does=True)
    for name in ("mine", "quick"):
        assert run(ada.home / name / "bin" / "python", "-c", "import tau; print(tau.__file__)", does=True).startswith(
            f"{ada.home}/{name}/"
        )


def test_uv_and_pip_by_whole_paths_name_the_folder_and_change_nothing(built, wheel, run):
    """They have no means to say more of a virtual environment: PEP 668 leaves those out."""
    python, before = prefix(built) / "bin" / "python", {*prefix(built).rglob("*")}
    for words in (
        (UV, "pip", "install", "--python", python, "--no-index", wheel),
        (UV, "pip", "uninstall", "--python", python, "six"),
        (python, "-m", "pip", "install", "--no-index", wheel),
        (python, "-m", "pip", "install", "--no-index", "--prefix", prefix(built), wheel),
        (python, "-m", "pip", "uninstall", "-y", "six"),
    ):
        said = run(*words, does=False, COLUMNS="500", UV_LINK_MODE="copy")
        assert "Permission denied" in said
        assert str(prefix(built)) in said
    assert {*prefix(built).rglob("*")} == before


@pytest.fixture(scope="module")
def notebook(service: Callable[..., Service], ada: Account) -> Notebook:
    """The server of a person, where Hubwright's own environment is the one that is shared."""
    return service().up().start(ada.name)


def page(notebook: Notebook) -> dict[str, object]:
    """Return what JupyterLab's page is told."""
    text = notebook.ask("GET", "lab").text
    begin = text.index("{", text.index('id="jupyter-config-data"'))
    return dict(json.JSONDecoder().raw_decode(text[begin:])[0])


def test_extensions_of_jupyterlab_are_ones_own(notebook, lab):
    """JupyterLab has no words for who may not install one; what works instead is in docs/environments.md."""
    kernel = notebook.kernel()
    paths = "def _jupyter_labextension_paths(): return [{'src': '.', 'dest': 'mine'}]"
    kernel.run("from pathlib import Path; Path('mine').mkdir()")
    kernel.run(f"Path('mine/__init__.py').write_text({paths!r})")
    for words in ("install tau", "develop mine", "disable @jupyterlab/celltags-extension"):
        said = kernel.run(f"!PYTHONPATH=. jupyter labextension {words} 2>&1")
        assert f"Permission denied: '{sys.prefix}" in said or f"-> '{sys.prefix}" in said, said
    place = "tau-1.0.data/data/share/jupyter/labextensions/tau"
    files = {f"{place}/package.json": json.dumps(EXTENSION), f"{place}/static/tau.js": ""}
    theme = wheels.write(lab.folder / "themes", "tau", files=files)
    assert "Successfully" in kernel.run(f"!pip install --no-index --no-deps --prefix ~/.local {theme}")
    own = json.dumps({**EXTENSION, "name": "mine"})
    kernel.run(f"Path('mine/package.json').write_text({own!r})")
    kernel.run("!ln -s ~/mine ~/.local/share/jupyter/labextensions/mine")
    kernel.run("!jupyter labextension disable --level=user @jupyterlab/celltags-extension")
    told = page(notebook)
    assert {"tau", "mine"} <= {one["name"] for one in told["federated_extensions"]}
    assert "@jupyterlab/celltags-extension" in told["disabledExtensions"]
