"""Which Julia an environment runs: an archive is unpacked once, an address must give what its checksum says."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path

import pytest
from tests import julia_here
from tests.conftest import Account
from tests.environments import Lab

from hubwright.envs import building, trying
from hubwright.envs.julia import program
from hubwright.errors import MachineError

NOTHINGS = f", sha256: '{'0' * 64}'"
pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with an archive of a whole Julia, and one of something else, in a folder that is served on this machine."""
    place = lab.folder / "served"
    place.mkdir()
    subprocess.run(["tar", "-cf", str(place / "julia.tar"), "-C", str(julia_here.julia()), "usr"], check=True)
    with tarfile.open(place / "other.tar", "w") as archive:
        archive.add(__file__, "bin/other")
    julia_here.registry(lab.folder / "registry", "IJulia", "Words")
    (place / "broken.tar.gz").write_bytes(b"\x1f\x8b" + b"x" * 100)
    lab.write("  default: {kind: own}")
    building.make_folders(lab.site)
    return lab


@pytest.fixture(scope="module")
def address(lab: Lab) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(lab.folder / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def find(lab: Lab, julia: str, more: str = "") -> tuple[Path, str]:
    lab.write(f"  lab: {{kind: julia, julia: '{julia}'{more}}}")
    with trying.account(lab.site):
        return program.find(lab.entry("lab"), lab.site, "environments.lab", lambda step: None)


def test_an_archive_and_an_address_give_the_same_julia_once(lab, address):
    found, version = find(lab, "./served/julia.tar")
    assert version == "1.5.3"
    place = lab.site.environments / ".julia"
    assert found.is_relative_to(place)
    assert (found.stat().st_uid, found.stat().st_mode & 0o777) == (0, 0o755)
    before = found.stat().st_ino
    sha256 = digest(lab.folder / "served/julia.tar")
    assert find(lab, f"{address}/julia.tar", f", sha256: '{sha256}'")[0].stat().st_ino == before
    shutil.rmtree(place)
    again, _ = find(lab, f"{address}/julia.tar", f", sha256: '{sha256.upper()}'")
    assert again == found
    assert [path.name for path in place.iterdir()] == [sha256[:16]]


@pytest.mark.parametrize(
    ("julia", "more", "words"),
    [
        ("./served/other.tar", "", "other.tar has no bin/julia"),
        ("./served/broken.tar.gz", "", "broken.tar.gz cannot be unpacked: "),
        ("./served/other.tar", NOTHINGS, "has the SHA-256 sum .*, not 0000"),
        ("./served/none.tar", "", "none.tar cannot be read: No such file"),
        ("ADDRESS/other.tar", NOTHINGS, "gives what has the SHA-256 sum .*, not 0000"),
        ("ADDRESS/none.tar", NOTHINGS, "none.tar answers 404"),
        ("http://127.0.0.1:9/julia.tar", NOTHINGS, "cannot be fetched: "),
        ("/bin/false", "", "/bin/false does not run: "),
    ],
)
def test_what_is_no_julia_is_refused_in_one_sentence(lab, address, julia, more, words):
    with pytest.raises(MachineError, match=words):
        find(lab, julia.replace("ADDRESS", address), more)
    place = lab.site.environments / ".julia"
    assert not place.exists() or not [path for path in place.iterdir() if path.name.startswith(".")]


def whole(lab: Lab, julia: str, sha256: str) -> Lab:
    """Write an environment with a package and a kernel, on the Julia of an archive."""
    more = "packages: [Words], registries: [./registry/Registry], pkg_server: ''"
    return lab.write(f"  lab: {{kind: julia, julia: '{julia}', sha256: '{sha256}', {more}}}")


@pytest.mark.parametrize("place", ["./served/", "ADDRESS/"])
def test_a_whole_environment_is_built_on_it_and_its_kernel_runs(lab: Lab, address: str, ada: Account, place: str):
    """By a command, as somebody does who has no Julia; a wrong checksum is refused, and what was built serves on."""
    archive, sha256 = place.replace("ADDRESS", address) + "julia.tar", digest(lab.folder / "served/julia.tar")
    julias = lab.site.environments / ".julia"
    if julias.exists():
        shutil.rmtree(julias)
    done = whole(lab, archive, sha256).env("build", "lab")
    assert done.returncode == 0, done.stderr
    version = lab.current()
    assert (version.language, version.packages["Words"]) == ("1.5.3", "1.2.0")
    said = lab.cell(ada, "using Words; println(Words.hello()); print(Sys.BINDIR)")
    assert said.startswith("hello\n")
    assert Path(said.partition("\n")[2]).is_relative_to(julias / sha256[:16])
    refused = whole(lab, archive.replace("julia.tar", "other.tar"), "0" * 64).env("build", "lab")
    assert refused.returncode == 71
    assert re.search(
        r"environments\.lab\.julia: .*other\.tar .*has the SHA-256 sum [0-9a-f]{64}, not 0{64}", refused.stderr
    )
    assert "Traceback" not in refused.stderr
    assert lab.current() == version
    assert lab.cell(ada, "using Words; print(Words.hello())") == "hello"
