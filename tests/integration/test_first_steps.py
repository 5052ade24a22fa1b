"""docs/first-steps.md as a teacher reads it: the page's commands, in its order, on a service that root starts."""

from __future__ import annotations

import json
import pwd
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.conftest import remove_account
from tests.integration.auth.hub import Browser
from tests.running import PREFIX, Service, port
from tests.slowness import SLOWNESS

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

PAGE = (Path(__file__).parents[2] / "docs" / "first-steps.md").read_text()
ELSEWHERE = {
    "sudo apt install python3-venv": "test_install.py hides it, and is told to install it",
    "sudo ./up": "test_install.py, from checkouts",
    "sudo ln -s /opt/hubwright/env/bin/hubwright /usr/local/bin/hubwright": "such a link, in a folder of the test's",
    "sudo /opt/hubwright/env/bin/pip install numpy pandas": "what runs these tests has them",
    "python3 -m venv ~/mine": "envs/test_uv.py has kernels of people's own",
    "~/mine/bin/pip install ipykernel whatever": "as above",
    "rm -rf /opt/hubwright /run/hubwright /var/lib/hubwright": "others on this machine use them",
    "rm -rf /srv/class/.hubwright": "the test removes its own",
    "userdel hubwright": "others on this machine use it",
    "groupdel hubwright-users": "as above",
}
"""What is not typed here, and where it is tried, or why not."""


def commands() -> dict[str, list[str]]:
    """Return every command of the page with what the page shows that it prints, in the page's order."""
    found: dict[str, list[str]] = {}
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.splitlines() if kind in ("sh", "") else ():
            if kind == "sh" or line.startswith("$ "):
                typed = re.sub(r"\s+#.*", "", line.removeprefix("$ "))
                found[typed] = []
            else:
                found[typed].append(line)
    return found


class Taught(Service):
    """`hubwright up`, with the state beside hub.yaml."""

    @property
    def state(self) -> Path:
        return self.folder / ".hubwright"

    def command(self, *words: str) -> list[str]:
        return [str(PREFIX / "bin" / "hubwright"), *words, "--config", str(self.folder / "hub.yaml")]


@dataclass
class Teacher:
    """Types commands of the page, for people of the test's own."""

    service: Taught
    people: dict[str, str]
    left: dict[str, list[str]] = field(default_factory=commands)
    """What was not typed yet."""
    browsers: list[Browser] = field(default_factory=list)

    def here(self, text: str) -> str:
        """Return a piece of the page as it is on this machine."""
        for name, instead in self.people.items():
            text = re.sub(rf"\b{name}\b", instead, text)
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.service.port}").replace("sudo ", "")

    def run(self, command: str, code: int = 0, answer: str = "") -> str:
        """Run shell words in the folder of hub.yaml; return what they print to either."""
        done = subprocess.run(
            ["sh", "-c", self.here(command)],
            cwd=self.service.folder,
            env={
                "PATH": f"{self.service.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "HOME": "/root",
            },
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * SLOWNESS,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def types(self, command: str, answer: str = "") -> str:
        """Run a command of the page, compare what it prints with what the page shows, and return it."""
        shown = self.left.pop(command)
        printed = self.run(command, answer=answer)
        self.compare(shown, printed)
        return printed

    def compare(self, shown: list[str], printed: str) -> None:
        """Lines of the page stand in the output, in this order; `...` is anything."""
        lines = iter(printed.splitlines())
        for line in map(self.here, shown):
            pattern = ".*".join(map(re.escape, line.split("...")))
            assert any(re.fullmatch(pattern, one) for one in lines), f"{line!r} is not printed:\n{printed}"

    def claim(self, printed: str, password: str = "correct horse") -> str | None:
        """Choose a password through the first link printed; return who is logged in then."""
        found = re.search(r"http\S+/hub/claim\S+", printed)
        assert found, printed
        self.browsers.append(Browser(self.service.url))
        self.browsers[-1].claim(dict(httpx.URL(found[0]).params), password)
        return self.browsers[-1].who()


@pytest.fixture
def teacher(names: list[str]) -> Iterator[Teacher]:
    """Somebody with a folder for hub.yaml, and `hubwright` alone to type."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    folder.chmod(0o755)
    (folder / "bin").mkdir()
    (folder / "bin" / "hubwright").symlink_to(PREFIX / "bin" / "hubwright")
    service = Taught(folder, "", port())
    had_admin = any(entry.pw_name == "hubadmin" for entry in pwd.getpwall())
    made = Teacher(service, dict(zip(("ada", "grace", "linus"), names, strict=True)))
    yield made
    for browser in made.browsers:
        browser.client.close()
    service.clean()
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    if not had_admin:
        remove_account("hubadmin")


def test_a_teacher_goes_through_the_first_steps(teacher: Teacher) -> None:
    service = teacher.service
    teacher.run("hubwright init")
    text = (service.folder / "hub.yaml").read_text()
    service.yaml = text.replace("# listen: 127.0.0.1:8000\n", f"listen: 127.0.0.1:{service.port}\n")
    assert service.yaml != text
    service.up()
    teacher.compare(teacher.left.pop("hubwright up"), service.output())
    assert teacher.claim(service.output()) == "hubadmin"
    assert service.state.is_dir()
    teacher.types("hubwright check")

    lost = teacher.types("sudo hubwright user add ada grace")
    assert teacher.claim(teacher.types("sudo hubwright user link ada")) == teacher.here("ada")
    assert teacher.claim(lost, "somebody else's") is None, "the old link stopped working"
    teacher.types("sudo hubwright user add linus --admin")
    assert re.search(teacher.here(r"linus\s+admin"), teacher.types("sudo hubwright user list"))
    grace = teacher.here("grace")
    teacher.run("sudo hubwright user remove grace", code=1, answer="n\n")
    assert f"{grace} is out." in teacher.types("sudo hubwright user remove grace", answer="y\n")
    assert Path(pwd.getpwnam(grace).pw_dir).is_dir(), "account and home stay"

    assert service.start(teacher.here("ada")).kernel().run("6 * 7") == "42"
    assert "1 server, 3 users." in teacher.types("sudo hubwright status")
    logs = teacher.types("sudo hubwright logs")
    assert all(f"{part}.log <==" in logs for part in ("hub", "caddy", "fork-server", "account-helper", "metrics"))
    following = "sudo hubwright logs hub --follow"
    assert teacher.left.pop(following) == []
    assert "GET" in teacher.run(f"timeout 3 {following}", code=124)
    teacher.types("sudo hubwright logs ada -n 100")
    assert re.fullmatch(r"\w{20,}\n", teacher.types("sudo hubwright token ada --expires 1h"))
    (curl,) = [command for command in teacher.left if command.startswith("curl ")]
    printed = teacher.types(curl)
    assert json.loads(printed[printed.index("{") :])["name"] == teacher.here("ada")

    assert service.down(signal.SIGINT) == 0
    teacher.run("hubwright status", code=69)
    assert set(teacher.left) == set(ELSEWHERE)
