"""An index, channel or repository that wants a password, or refuses: told in words, and no password is shown."""

from __future__ import annotations

import base64
import http.server
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tests import conda_channel, r_repository, wheels
from tests.environments import Lab
from tests.r_repository import archive

from hubwright.envs import building
from hubwright.errors import MachineError

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
PASSWORD = "hwt-s3cret"
ENTRIES = {
    "uv": "  lab: {{kind: uv, packages: [hwt-tau], index: '{}/simple'}}",
    "conda": "  lab: {{kind: conda, channels: ['{}/channel'], packages: [hwt-tau]}}",
    "r": "  lab: {{kind: r, repository: '{}/cran', packages: [hwttau]}}",
}


class _Closed(http.server.SimpleHTTPRequestHandler):
    """Files for who knows the password; what it does not have of an index is PyPI's."""

    refusal = 401

    def do_GET(self) -> None:
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.refusal == 200 and self.path.startswith(f"/t/{PASSWORD}/"):
            super().do_GET()
        elif told != base64.b64encode(f"hwt:{PASSWORD}".encode()).decode() or self.refusal == 403:
            self.send_response(401 if self.refusal == 200 else self.refusal)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
        elif self.path.startswith("/simple/") and not Path(self.translate_path(self.path)).exists():
            self.send_response(302)
            self.send_header("Location", f"https://pypi.org{self.path}")
            self.end_headers()
        else:
            super().do_GET()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(lab: Lab) -> Path:
    """A folder with one package in an index, a channel and a repository."""
    root = lab.folder / "served"
    wheels.write(root / "simple/hwt-tau", "hwt_tau")
    conda_channel.base(root / "channel")
    conda_channel.write(root / "channel", conda_channel.module("hwt-tau"))
    r_repository.write(root / "cran", ("hwttau", "1.0", archive("hwttau", "1.0")))
    return root


@pytest.fixture(scope="module")
def address(served: Path) -> Iterator[Callable[..., str]]:
    """Serve it; `address("user:password@")` is where, `address(refusal=403)` where nobody gets it."""
    made = []

    def serve(who: str = "", refusal: int = 401) -> str:
        kind = type("Closed", (_Closed,), {"refusal": refusal})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(served)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
        return f"http://{who}127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("who", "refusal"), [("", 401), ("hwt:wr0ng@", 401), (f"hwt:{PASSWORD}@", 403)])
def test_it_is_told_and_says_where(lab, address, kind, who, refusal):
    lab.write(ENTRIES[kind].format(address(who, refusal)))
    with pytest.raises(MachineError) as told:
        lab.build()
    text = str(told.value)
    assert str(refusal) in text
    assert "127.0.0.1" in text
    assert "wr0ng" not in text
    assert PASSWORD not in text
    assert "Traceback" not in text
    assert lab.versions().current() is None or lab.versions().current().packages


@pytest.mark.parametrize("kind", ENTRIES)
def test_with_the_password_it_is_built_and_nobody_sees_it(lab, address, kind):
    """Not in an argument of any process meanwhile, nor in what others may read afterwards."""
    lab.write(ENTRIES[kind].format(address(f"hwt:{PASSWORD}@")))
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(file.read_bytes())
            time.sleep(0.01)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        version = lab.build()
    finally:
        stop.set()
        looking.join()
    assert version.packages.get("hwt-tau", version.packages.get("hwt_tau", version.packages.get("hwttau"))) == "1.0"
    assert len(seen) > 20
    assert not [one for one in seen if PASSWORD.encode() in one]
    found = subprocess.run(
        ["grep", "-rlF", PASSWORD, str(lab.site.environments)], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    assert not [one for one in found if _is_shown(Path(one), lab)], found
    assert building.versions_of("lab", lab.site).current()


def test_a_token_opens_a_channel_as_a_password_does(lab, served, address):
    """As Anaconda's servers have them, within the address; it is written down nowhere either."""
    (served / "t" / PASSWORD).mkdir(parents=True)
    (served / "t" / PASSWORD / "channel").symlink_to(served / "channel")
    tokens = address(refusal=200)
    lab.write(ENTRIES["conda"].format(f"{tokens}/t/{PASSWORD}").replace("hwt-tau]", "hwt-tau], display: Token"))
    version = lab.build()
    record = next(Path(version.prefix, "conda-meta").glob("hwt-tau-*.json")).read_text()
    assert f"{tokens}/channel/noarch/" in record
    assert PASSWORD not in record
    others = f"'{tokens}/t/other/channel', '{tokens}/t/{PASSWORD}/channel'"
    lab.write(f"  lab: {{kind: conda, channels: [{others}], packages: [hwt-tau]}}")
    with pytest.raises(MachineError, match=r"The channels of 127\.0\.0\.1 have different passwords or tokens"):
        lab.build()


def test_a_password_that_is_not_in_hub_yaml_is_found_as_conda_finds_it(lab, address, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login hwt password {PASSWORD}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    lab.write(ENTRIES["conda"].format(address()).replace("hwt-tau]", "hwt-tau], display: Netrc"))
    assert lab.build().packages["hwt-tau"] == "1.0"


def _is_shown(path: Path, lab: Lab) -> bool:
    """Whether somebody else than root may read a file."""
    done = subprocess.run(["cat", str(path)], user="nobody", group="nogroup", extra_groups=[], capture_output=True)
    return done.returncode == 0
