"""`hubwright profiles explain`, run as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "pharma-docker.yaml"


@pytest.fixture
def explain(tmp_path):
    def run(*args: str, config: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "hubwright", "profiles", "explain", *args]
        argv += ["--config", str(config), "--state", str(tmp_path / "state")]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def line_of(text: str, after: str = "") -> int:
    """Return the number of the first line that holds a text, behind one that holds another."""
    lines = EXAMPLE.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if after in line)
    return next(number for number, line in enumerate(lines[first:], first + 1) if text in line)


def test_each_value_comes_with_its_line(explain):
    done = explain("carol", "--group", "modelling", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["entitlement"]
    assert found["sizes"]["value"] == ["Large", "Extreme", "Normal"]
    assert found["sizes"]["where"] == f"{EXAMPLE}:{line_of('sizes:', 'carol:')} profiles.users.carol.sizes"
    assert found["reserve"]["value"] == {"cpu": 8, "memory": 32 * 2**30}
    assert found["reserve"]["where"].endswith(f":{line_of('reserve:', 'modelling:')} profiles.groups.modelling.reserve")
    assert found["home"]["value"] == "/home/carol"
    assert found["servers"]["where"].endswith(f":{line_of('servers:', 'default:')} profiles.default.servers")


def test_it_is_written_in_words_too(explain):
    told = explain("bob", "-g", "nobody").stdout
    assert "Small: 2 processors and 4G of memory" in told
    assert "at most 2 processors and 4G of memory" in told
    assert f"pharma-docker.yaml:{line_of('sizes:', 'default:')} profiles.default.sizes" in told


def test_a_service_that_does_not_run_cannot_say_groups(explain):
    assert "name them with --group" in explain("bob").stdout


def test_without_the_section_it_says_so(explain, tmp_path):
    (tmp_path / "hub.yaml").write_text("hub: {name: x}\n")
    done = explain("bob", config=tmp_path / "hub.yaml")
    assert done.returncode == 77
    assert "There is no `profiles` section" in done.stderr
