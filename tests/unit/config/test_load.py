"""hub.yaml is read with its lines; whatever is wrong with it is told, all at once, and never as a traceback."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from hubwright.config.load import load
from hubwright.config.tree import parse
from hubwright.errors import ConfigError, Problem


def refused(path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "hub.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_without_a_file_the_defaults_serve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load()
    assert loaded.path is None
    assert (loaded.hub.auth.kind, loaded.hub.engine.kind) == ("first_use", "local")
    assert loaded.where("engine.memory") == "hub.yaml engine.memory"


def test_a_hub_yaml_here_is_found(write, monkeypatch):
    monkeypatch.chdir(write("hub: {name: Physics}").parent)
    assert load().hub.hub.name == "Physics"


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "hub:\nauth:\n", "\ufeffhub: {}\n", "{}"])
def test_a_file_with_nothing_in_it_means_the_defaults(write, content):
    assert load(write(content)).hub.hub.name == "Hubwright"


def test_a_setting_is_found_again_with_its_line(write):
    path = write("hub: {}\nengine:\n\n  memory: 2G\n")
    loaded = load(path)
    assert loaded.hub.engine.memory == 2 * 2**30
    assert loaded.where("engine.memory") == f"{path}:4 engine.memory"
    assert loaded.where("engine.cpu") == f"{path}:2 engine.cpu"
    placed = loaded.place(Problem("hub.yaml engine.memory", "cannot be held."))
    assert str(placed) == f"{path}:4 engine.memory: cannot be held."


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"hub:\n  name: \xff\xfe\n"), "UTF-8"),
        (lambda path: path.write_bytes(b"#" * 300_000), "larger than 256 kB"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path, make, words):
    path = tmp_path / "hub.yaml"
    make(path)
    (problem,) = refused(path)
    assert words in problem.what
    assert problem.where.startswith(str(path))


def test_a_file_of_somebody_else_is_said_to_be_so():
    """Asked by an ordinary user: root may read everything."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-"))
    path = folder / "hub.yaml"
    path.write_text("hub: {}")
    path.chmod(0)
    folder.chmod(0o755)
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65534)
        assert "may not be read" in refused(path)[0].what
    finally:
        os.seteuid(before)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 5000, "nested deeper"),
        ("a: " + "{a: " * 40 + "1" + "}" * 40, "nested deeper"),
        ("&a [*a]", "nested deeper"),
        ("%YAML 3.0\n---\na: 1\n", "YAML"),
        ("a: \x00", "YAML"),
        ("a: *nope", "not defined"),
        ("- " * 100_000, ""),
    ],
)
def test_whatever_yaml_holds_ends_in_problems(text, words):
    (problem,) = parse(text, "hub.yaml").problems
    assert words in problem.what


def test_anchors_are_understood(write):
    path = write("hub: {admins: &us [alice, bob]}\npeople: {users: *us}\n")
    assert load(path).hub.people.users == ("alice", "bob")


def test_frozen(write):
    hub = load(write("hub: {name: x}")).hub
    with pytest.raises(ValueError, match="frozen"):
        hub.hub.name = "y"
