"""`hubwright init` and `hubwright check`, run as a person runs them."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.fixture
def hubwright(tmp_path):
    def run(*args: str, before: tuple[str, ...] = (), **more) -> subprocess.CompletedProcess[str]:
        argv = [*before, sys.executable, "-m", "hubwright", *args]
        return subprocess.run(argv, **{"cwd": tmp_path, **more}, capture_output=True, text=True, timeout=60)

    return run


def test_init_writes_a_file_once(hubwright, tmp_path):
    assert hubwright("init").returncode == 0
    text = (tmp_path / "hub.yaml").read_text()
    assert "engine:" in text
    again = hubwright("init")
    assert again.returncode == 77
    assert "stays as it is" in again.stderr
    assert (tmp_path / "hub.yaml").read_text() == text


def test_check_tells_every_mistake_with_its_line(hubwright, tmp_path):
    (tmp_path / "hub.yaml").write_text("hub:\n  nam: x\nengine:\n  memory: lots\n")
    done = hubwright("check")
    assert done.returncode == 78
    assert "hub.yaml:2 hub.nam:" in done.stdout
    assert "hub.yaml:4 engine.memory:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_check_reports_extra_and_a_taken_port_as_json(hubwright, tmp_path, free_port):
    (tmp_path / "hub.yaml").write_text(
        f"hub: {{listen: '127.0.0.1:{free_port}'}}\nextra:\n  JupyterHub:\n    cleanup_servers: true\n    log_level: 10\n"
    )
    told = json.loads(hubwright("check", "--json", "--state", str(tmp_path / "state")).stdout)
    warnings = {item["where"]: item["what"] for item in told["problems"] if item["severity"] == "warning"}
    assert "changes what Hubwright sets itself" in warnings["hub.yaml:4 extra.JupyterHub.cleanup_servers"]
    assert "without a check" in warnings["hub.yaml:5 extra.JupyterHub.log_level"]
    import socket

    with socket.create_server(("127.0.0.1", free_port)):
        done = hubwright("check", "--json")
    told = json.loads(done.stdout)
    assert not told["ok"]
    assert done.returncode != 0
    assert any(item["where"] == "hub.yaml:1 hub.listen" and "taken" in item["what"] for item in told["problems"])


def test_a_named_file_must_exist(hubwright):
    done = hubwright("check", "--config", "nowhere.yaml")
    assert done.returncode == 78
    assert "there is no such file" in done.stdout


@pytest.mark.parametrize("command", ["init", "check"])
def test_help_has_examples(hubwright, command):
    told = hubwright(command, "--help").stdout
    assert "Examples" in told
    assert f"hubwright {command}" in told
    assert "--config" in told
    assert "--state" in told


@pytest.mark.parametrize("command", ["list", "build"])
def test_examples_are_set_in(hubwright, command):
    told = hubwright("env", command, "--help").stdout.splitlines()
    assert f"   sudo hubwright env {command}" in [line.rstrip() for line in told]


def test_a_group_of_commands_offers_no_completion_of_its_own(hubwright):
    told = hubwright("env", "--help").stdout
    assert "rollback" in told
    assert "completion" not in told


def test_a_paragraph_of_help_is_as_wide_as_the_terminal(hubwright):
    told = hubwright("up", "--help").stdout.splitlines()
    prose = told[told.index(next(line for line in told if "What an earlier" in line)) :]
    prose = [line.strip() for line in prose[: next(n for n, line in enumerate(prose) if not line.strip())]]
    following = [line.split()[0] for line in prose[1:]]
    assert all(len(line) + 1 + len(word) > 76 for line, word in zip(prose, following, strict=False)), prose


def test_a_wrong_command_is_told(hubwright):
    done = hubwright("chekc")
    assert done.returncode == 2
    assert "chekc" in done.stderr


def test_check_says_which_sizes_the_local_engine_cannot_hold(hubwright, tmp_path):
    (tmp_path / "hub.yaml").write_text(
        "profiles:\n  sizes:\n    Big: {cpu: 1, memory: 2G,\n          gpu: 1}\n  default: {sizes: [Big]}\n"
    )
    done = hubwright("check", "--state", str(tmp_path / "state"))
    assert done.returncode == 71
    expected = "hub.yaml:4 profiles.sizes.Big.gpu:" if os.geteuid() == 0 else "hub.yaml:1 profiles: needs root"
    assert expected in done.stdout


@pytest.fixture
def problems(hubwright):
    """Run `check`, and return what it tells of: `{where: (severity, what and what to do)}`."""

    def check(*args: str, **more) -> dict[str, tuple[str, str]]:
        done = hubwright("check", "--json", *args, **more)
        assert "Traceback" not in done.stderr, done.stderr
        told = json.loads(done.stdout)
        assert told["ok"] == (done.returncode == 0) == all(one["severity"] != "error" for one in told["problems"])
        return {one["where"]: (one["severity"], f"{one['what']} {one['remedy']}") for one in told["problems"]}

    return check


@pytest.fixture
def reachable():
    """A folder that every account can enter: else root's state would be put below /var/lib/hubwright."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/lib" if os.geteuid() == 0 else None) as name:
        Path(name).chmod(0o755)
        yield Path(name)


ORDINARY = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
"""Whoever runs the tests, or nobody in root's place."""


@pytest.mark.root
@pytest.mark.parametrize(("size", "severity"), [("150m", "error"), ("700m", "warning"), ("1100m", None)])
def test_check_tells_of_a_disk_that_is_nearly_full(problems, reachable, size, severity):
    disk = reachable / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(disk)], check=True)
    try:
        found = problems("--state", str(disk / "state")).get(str(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    words = f"only {size.upper()} are free on the disk of the state folder."
    remedy = "Make room, or name another folder with --state."
    assert found == (severity and (severity, f"{words} {remedy}"))


def test_check_tells_of_a_folder_that_cannot_be_written(problems, reachable):
    reachable.chmod(0o555)
    found = problems("--state", str(reachable / "state"), cwd=reachable, **ORDINARY)
    words = "cannot be written by this account. Name another folder with --state."
    assert found[str(reachable)] == ("error", words)


@pytest.mark.root
def test_check_tells_who_may_change_hub_yaml(problems, tmp_path):
    config = tmp_path / "hub.yaml"
    config.write_text("hub: {name: Lab}\n")
    config.chmod(0o644)
    words = f"{config} can be changed by others than root: whoever changes it decides whom this service admits. "
    assert ("warning", words) not in problems().values()
    config.chmod(0o666)
    assert ("warning", words) in problems().values()


def test_check_tells_of_packages_that_are_too_old_or_missing(problems, tmp_path):
    """By another list of what is needed, which Python finds first."""
    needed = tmp_path / "first" / "hubwright-9.dist-info" / "METADATA"
    needed.parent.mkdir(parents=True)
    lines = ["pydantic<1", "hwt-nowhere>=1", "ruamel.yaml", 'hwt-elsewhere; sys_platform == "win32"']
    text = "".join(f"Requires-Dist: {line}\n" for line in lines)
    needed.write_text(f"Metadata-Version: 2.1\nName: hubwright\nVersion: 9\n{text}")
    found = problems(env={**os.environ, "PYTHONPATH": str(needed.parent.parent)})
    remedy = "Install Hubwright anew, into an environment of its own."
    assert {where: words for where, words in found.items() if where.startswith("package ")} == {
        "package pydantic": ("error", f"{version('pydantic')} is installed; Hubwright needs <1. {remedy}"),
        "package hwt-nowhere": ("error", f"no version is installed; Hubwright needs >=1. {remedy}"),
    }


@pytest.mark.root
def test_check_tells_of_programs_that_are_missing(problems):
    """Hidden in a mount namespace of the command's own."""
    caddy = Path(sys.prefix) / "bin" / "caddy"
    hidden = f'mount --bind /dev/null /usr/sbin/useradd && mount --bind /dev/null {caddy} && exec "$@"'
    found = problems(before=("unshare", "--mount", "sh", "-c", hidden, "sh"))
    assert found["useradd"] == ("error", "is not on this machine. Install it: apt install passwd.")
    assert found[str(caddy)] == ("error", "cannot be run, or is not there. Install Hubwright anew.")
    assert "groupadd" not in found
    assert problems().keys().isdisjoint({"useradd", str(caddy)})


NOT_IN = {
    "auth: {kind: pam}": ("auth.allow", "nobody can log in: no admin is named, and nobody is let in."),
    "auth: {kind: pam, allow: {groups: [hwt-none]}}": ("auth.allow.groups", "this machine has no group hwt-none."),
    "{hub: {admins: [hwt-none]}, auth: {kind: pam}}": ("hub.admins", "hwt-none has no account on this machine yet"),
    "people: {users: [daemon]}": ("people.users", 'The account "daemon" is a system account'),
}


@pytest.mark.root
@pytest.mark.parametrize("yaml", NOT_IN)
def test_check_tells_who_cannot_come_in(problems, tmp_path, yaml):
    (tmp_path / "hub.yaml").write_text(f"{yaml}\n")
    key, words = NOT_IN[yaml]
    severity, told = problems()[f"hub.yaml:1 {key}"]
    assert severity == "warning"
    assert told.startswith(words)


def test_check_tells_who_gets_no_server_without_root(problems, reachable):
    (reachable / "hub.yaml").write_text("people: {users: [hwt-none]}\n")
    found = problems("--state", str(reachable / "state"), cwd=reachable, **ORDINARY)
    severity, told = found["hub.yaml:1 people.users"]
    assert severity == "warning"
    assert told.startswith("without root hwt-none gets no server: only ")
