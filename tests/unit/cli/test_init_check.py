"""`hubwright init` and `hubwright check`, run as a person runs them."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def hubwright(tmp_path):
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "hubwright", *args]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)

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
