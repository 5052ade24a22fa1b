"""What is broken in somebody's home keeps neither his server from starting nor the kernels that do not run it.

And what does not work because of it says so in words, with the file that is at fault.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest
from tests.conftest import Account
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
YAML = f"""\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
environments:
  lab: {{kind: existing, prefix: {sys.prefix}, preload: [json]}}
  stats: {{kind: r}}
"""
PACKAGES = "lib/python{}.{}/site-packages".format(*sys.version_info[:2])
OWN = ".local/share/hubwright/environments/lab-{}.{}".format(*sys.version_info[:2])
"""Where one's own packages for `lab` are."""
RAISE = "raise RuntimeError('mine is broken')\n"
SETTINGS = ".jupyter/jupyter_server_config"
STARTUP = ".ipython/profile_default/startup/00.py"


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML).up(wait=120)


@pytest.fixture
def opened(running: Service, account: Callable[..., Account]) -> Callable[[Mapping[str, str]], Notebook]:
    """Start the server of somebody whose home has these files."""

    def start(files: Mapping[str, str]) -> Notebook:
        person = account()
        for name, text in files.items():
            path = person.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run(["chown", "-R", f"{person.uid}:{person.gid}", str(person.home)], check=True)
        return running.start(person.name)

    return start


def refusal(notebook: Notebook, kernel: str) -> str:
    """Return why a kernel does not start, as JupyterLab shows it."""
    answer = notebook.ask("POST", "api/kernels", {"name": kernel})
    assert answer.status_code == 500, answer.text
    assert "Traceback" not in answer.json()["message"]
    return str(answer.json()["message"])


@pytest.mark.parametrize(
    ("ending", "text", "told"),
    [
        (".py", "c.ServerApp.x = = 1\n", "SyntaxError: invalid syntax"),
        (".py", RAISE, "RuntimeError: mine is broken"),
        (".json", "{", "Expecting property name enclosed in double quotes"),
    ],
)
def test_settings_that_cannot_be_read_are_left_out_and_told(opened, ending, text, told):
    notebook = opened({SETTINGS + ending: text})
    said = notebook.notice(lambda: None)
    assert said.startswith(f"/home/{notebook.user}/{SETTINGS}{ending} was left out: ")
    assert told in said
    assert notebook.kernel().run("6 * 7") == "42"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("c.ServerApp.port = 'here'\n", "expected an int, not the str 'here'."),
        ("import os; print('I am leaving', flush=True); os._exit(3)\n", "I am leaving."),
    ],
)
def test_settings_that_end_the_server_are_left_out_and_told(opened, text, told):
    notebook = opened({f"{SETTINGS}.py": text})
    said = notebook.notice(lambda: None)
    folder = f"/home/{notebook.user}/.jupyter"
    assert said.startswith(f"The server did not start with your own settings in {folder}, and runs without them: ")
    assert said.endswith(told)
    assert notebook.kernel().run("6 * 7") == "42"


def test_what_is_broken_in_ones_own_packages_breaks_no_server_and_no_kernel_beside_them(opened):
    """Packages of the machine's Python are none of ours; a `.pth` in them may even never come to its end."""
    names = ("ipykernel", "jupyter_server", "tornado", "traitlets")
    packages = {f".local/{PACKAGES}/{name}/__init__.py": RAISE for name in names}
    pth = {"raises.pth": "import no_such_module\n", "waits.pth": "import time; time.sleep(600)\n"}
    notebook = opened(packages | {f".local/{PACKAGES}/{name}": text for name, text in pth.items()})
    assert notebook.kernel().run("6 * 7") == "42"
    assert notebook.kernel("lab").run("6 * 7") == "42"


def test_a_package_of_ones_own_that_breaks_a_shared_environment_is_named_and_python3_runs(opened, running):
    notebook = opened({f"{OWN}/{PACKAGES}/tornado/__init__.py": RAISE})
    said = refusal(notebook, "lab")
    assert said.startswith("lab ended while it started. It said: RuntimeError: mine is broken.")
    assert f"~/{OWN}/{PACKAGES}" in said
    assert notebook.kernel().run("6 * 7") == "42"
    shutil.rmtree(f"/home/{notebook.user}/{OWN}")
    assert notebook.kernel("lab").run("6 * 7") == "42", "and the rest stays usable"


def test_a_startup_file_that_raises_is_no_harm_and_one_that_leaves_is_told(opened, running):
    assert opened({STARTUP: RAISE, ".ipython/profile_default/ipython_config.py": RAISE}).kernel().run("6 * 7") == "42"
    notebook = opened({STARTUP: "print('I am leaving', flush=True)\nimport os; os._exit(3)\n"})
    said = notebook.notice(lambda: notebook.ask("POST", "api/kernels", {"name": "python3"}))
    assert said.startswith("Python 3 (ipykernel) ended while it started. ")
    assert f"~/{STARTUP}" in said


@pytest.mark.parametrize(("text", "told"), [("stop('mine is broken')\n", "Error: mine is broken"), ("quit()\n", "")])
def test_an_r_profile_that_ends_r_is_named_and_python3_runs(opened, text, told):
    notebook = opened({".Rprofile": text})
    said = refusal(notebook, "stats")
    assert notebook.ask("GET", "api/kernels").json() == []
    assert said.startswith("stats ended while it started.")
    assert told in said
    assert "Your own files run in it: ~/.Rprofile. Mend them, or rename them" in said
    assert notebook.kernel().run("6 * 7") == "42"
    shutil.move(f"/home/{notebook.user}/.Rprofile", f"/home/{notebook.user}/kept")
    assert notebook.kernel("stats").run("cat(6 * 7)") == "42"
