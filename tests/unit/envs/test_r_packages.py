"""What of a repository of R packages fits together, and in which order it is installed."""

import gzip
import http.server
import threading

import pytest
from tests.r_repository import archive, write

from hubwright.envs.r.cran import Repository, resolve
from hubwright.envs.r.versions import Need, read_need, read_packages
from hubwright.errors import MachineError

HAS = {"methods": "4.2.2", "rlang": "1.0.0"}


@pytest.fixture
def repository(tmp_path):
    needs = {"top": "middle (>= 1.1), methods, rlang", "middle": "low", "low": "R (>= 4.0)", "young": "R (>= 9.1)"}
    made = write(tmp_path / "cran", ("middle", "1.0", archive("middle", "1.0")))
    packages = [(name, "1.2", archive(name, "1.2")) for name in ("top", "middle", "low", "young")]
    write(made, *packages, needs=needs)
    return Repository(made, tmp_path / "cache", "environments.stats", lambda step: None)


def names(packages):
    return [f"{one.name} {one.version}" for one in packages]


def install(repository, *wanted, has=HAS):
    return resolve([read_need(one) for one in wanted], has, "4.2.2", repository, "environments.stats")


def test_each_comes_after_what_it_needs(repository):
    assert names(install(repository, "top")) == ["low 1.2", "middle 1.2", "top 1.2"]


def test_what_that_r_has_is_not_installed_again_unless_it_is_asked_for(repository):
    assert names(install(repository, "top", has={**HAS, "middle": "1.5"})) == ["top 1.2"]
    assert names(install(repository, "top", has={**HAS, "middle": "1.0"})) == ["low 1.2", "middle 1.2", "top 1.2"]
    assert names(install(repository, "middle", has={**HAS, "middle": "1.5", "low": "3"})) == ["middle 1.2"]


def test_an_older_version_is_taken_from_the_archive(repository):
    assert names(install(repository, "middle==1.0")) == ["middle 1.0"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (["top", "middle==1.0"], "top needs middle >= 1.1, and middle 1.0 is to be installed"),
        (["young"], "young needs R >= 9.1, and this R is 4.2.2"),
        (["midle"], 'has no package midle. Perhaps you meant "middle"?'),
        (["middle==0.9"], "middle == 0.9 is asked for, and the repository has 1.2"),
        (["middle>=2"], "middle >= 2 is asked for, and the repository has 1.2"),
    ],
)
def test_what_does_not_fit_is_told(repository, wanted, words):
    with pytest.raises(MachineError) as told:
        install(repository, *wanted)
    assert words in str(told.value)


def test_two_that_need_each_other_end(tmp_path):
    packages = [(name, "1", archive(name, "1")) for name in ("hen", "egg")]
    made = write(tmp_path / "cran", *packages, needs={"hen": "egg", "egg": "hen"})
    assert len(install(Repository(made, tmp_path / "cache", "x", print), "hen")) == 2


def test_a_damaged_archive_is_refused_and_not_kept(repository, tmp_path):
    low = next(one for one in install(repository, "low"))
    assert repository.fetch(low).exists()
    (tmp_path / "cran/src/contrib/low_1.2.tar.gz").write_bytes(b"something else")
    assert repository.fetch(low).exists()  # it was fetched while it was whole
    repository.fetch(low).write_bytes(b"damaged in the cache")
    with pytest.raises(MachineError, match=r"low_1.2.tar.gz is not what the repository's index says"):
        repository.fetch(low)
    archived = tmp_path / "cran/src/contrib/Archive/middle/middle_1.0.tar.gz"
    archived.write_bytes(gzip.compress(b"no tar"))
    with pytest.raises(MachineError, match="is no package of R"):
        install(repository, "middle==1.0")


@pytest.mark.parametrize(("text", "words"), [(None, "there is no such file"), (b"no gzip", "Not a gzipped file")])
def test_a_repository_that_cannot_be_read_says_how_it_must_look(tmp_path, text, words):
    contrib = tmp_path / "cran" / "src" / "contrib"
    contrib.mkdir(parents=True)
    if text:
        (contrib / "PACKAGES.gz").write_bytes(text)
    with pytest.raises(MachineError) as told:
        Repository(tmp_path / "cran", tmp_path / "cache", "x", print).index()
    assert words in str(told.value)
    assert "It must have the layout of CRAN" in str(told.value)


def test_a_repository_at_an_address(repository, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words):
            super().__init__(*words, directory=str(tmp_path / "cran"))

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://someone:secret@127.0.0.1:{server.server_port}/"
        far = Repository(address, tmp_path / "far", "x", print)
        assert names(install(far, "top")) == ["low 1.2", "middle 1.2", "top 1.2"]
        assert (
            far.fetch(far.find(Need("low"))).read_bytes() == (tmp_path / "cran/src/contrib/low_1.2.tar.gz").read_bytes()
        )
        assert names(install(far, "middle==1.0")) == ["middle 1.0"]
        server.shutdown()
    with pytest.raises(MachineError) as told:
        Repository(address, tmp_path / "far", "x", print).index()
    assert "cannot be read" in str(told.value)
    assert "secret" not in str(told.value)


def test_a_description_is_read_as_r_writes_it():
    text = "Package: a.b\nVersion: 1.0-3\nDepends: R (>= 3.5),\n  methods\nImports: x(>=1.0), y (< 2)\nTitle: A: b\n\n"
    (found,) = read_packages(text)
    assert (found.name, found.version, found.file) == ("a.b", "1.0-3", "a.b_1.0-3.tar.gz")
    assert [str(one) for one in found.needs] == ["R >= 3.5", "methods", "x >= 1.0", "y < 2"]


@pytest.mark.parametrize(
    ("need", "version", "fits"),
    [
        ("aa>=1.10", "1.9", False),
        ("aa>=1.10", "1.10-1", True),
        ("aa==1.0-3", "1.0.3", True),
        ("aa<2", "1.99.9", True),
        ("aa", "0", True),
    ],
)
def test_versions_are_compared_by_their_numbers(need, version, fits):
    assert read_need(need).fits(version) is fits
