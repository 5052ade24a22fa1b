"""What is seen of a build while it runs, at a terminal and in a log: each step when it begins."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from itertools import pairwise

import pytest
from tests import julia_here, r_repository
from tests.environments import Lab
from tests.slowness import SLOWNESS

from hubwright.envs.steps import EVERY

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
  python: {{kind: uv, packages: [six]}}
  stats: {{kind: r, repository: ./cran, packages: [top]}}
  julia:
    kind: julia
    julia: {julia}
    packages: [Words]
    registries: [./registry/Registry]
    pkg_server: ""
"""
NEEDS = {"top": "low (>= 1.0)"}
STEPS = {
    "python": ["Looking for packages that fit together", "Compiling what is Python"],
    "stats": ["Installing low", "Installing top"],
    "julia": ["Fetching the registry Registry", "Precompiling the packages", "Taking over what was built"],
}
_SHOWN = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\u2800-\u28ff]")
"""What a terminal is told besides words, and the wheel that turns."""


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with an environment of each kind that other tests do not look at in this way."""
    archives = [r_repository.archive("low", "1.0"), r_repository.archive("top", "1.0", Imports=NEEDS["top"])]
    r_repository.write(lab.folder / "cran", *zip(("low", "top"), ("1.0", "1.0"), archives, strict=True), needs=NEEDS)
    julia_here.registry(lab.folder / "registry", "IJulia", "Words")
    return lab.write(YAML.format(julia=julia_here.julia() / "usr"))


def watched(lab: Lab, name: str, terminal: bool) -> dict[str, float]:
    """Build; return each line that was shown, and when for the first time, in seconds before the end."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    seen: dict[str, float] = {}
    with subprocess.Popen(lab.command("build", name), stdin=theirs, stdout=theirs, stderr=theirs, env=env) as building:
        os.close(theirs)
        while text := _read(ours):
            for line in re.split(r"[\r\n]+", _SHOWN.sub("", text)):
                seen.setdefault(line.strip().removesuffix(" ..."), time.monotonic())
        end = time.monotonic()
        os.close(ours)
        assert building.wait(30) == 0, seen
    return {line: end - moment for line, moment in seen.items() if line}


def _read(ours: int) -> str:
    try:
        return os.read(ours, 65536).decode(errors="replace")
    except OSError:  # so a terminal ends
        return ""


@pytest.mark.parametrize(("name", "terminal"), [("python", False), ("python", True), ("stats", True), ("julia", False)])
def test_steps_are_shown_when_they_begin(lab, name, terminal):
    seen = watched(lab, name, terminal)
    wanted = [*STEPS[name], "Trying its kernel"]
    found = [next((line for line in seen if line.startswith(f"{name}: {step}")), "") for step in wanted]
    assert all(found), seen
    moments = [seen[line] for line in found]
    assert moments == sorted(moments, reverse=True), "in this order"
    assert moments[-1] > 0.5, "a kernel takes longer to start: it was not told at the end"
    assert moments[0] - moments[-1] > 0.3
    assert max(one - other for one, other in pairwise(sorted(seen.values(), reverse=True))) < (EVERY + 5) * SLOWNESS
