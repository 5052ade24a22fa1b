"""Commands that change hub.yaml: what they do not mean stays as it is, comments too."""

import threading
import time

import pytest

from hubwright.config import edit
from hubwright.config.load import load
from hubwright.errors import Refused

TEXT = """\
# our class
hub:
  name: "Physics"   # as on the door
environments:
  science:
    kind: uv
    packages: [numpy, "pandas>=2"]
  old: {kind: existing, prefix: /opt/old}
"""


@pytest.fixture
def lock(tmp_path_factory):
    return tmp_path_factory.mktemp("lock") / "lock"


def test_a_package_is_added_once_and_its_version_replaced():
    text = edit.add_packages(TEXT, "science", ["polars", "Pandas==2.1"], None)
    assert 'packages: [numpy, "Pandas==2.1", polars]' in text
    assert "# our class" in text
    assert 'name: "Physics"   # as on the door' in text
    assert edit.add_packages(text, "science", ["polars"], None) == text


def test_a_new_environment_is_written_where_there_were_none(tmp_path):
    path = tmp_path / "hub.yaml"
    path.write_text(edit.add_packages("hub: {name: X}\n", "deep", ["torch"], "3.12"))
    made = load(path).hub.environments["deep"]
    assert (made.kind, made.python, made.packages) == ("uv", "3.12", ("torch",))
    path.write_text(edit.add_packages("", "deep", ["torch"], None))
    assert load(path).hub.environments["deep"].packages == ("torch",)


def test_packages_and_environments_are_taken_out():
    text = edit.remove_packages(TEXT, "science", ["pandas"])
    assert "packages: [numpy]" in text
    text = edit.remove_environment(text, "science")
    assert "science" not in text
    assert "/opt/old" in text
    assert "environments" not in edit.remove_environment(text, "old")


def test_what_makes_no_sense_is_refused():
    with pytest.raises(Refused, match="does not list scipy in science"):
        edit.remove_packages(TEXT, "science", ["scipy"])
    with pytest.raises(Refused, match="old is of kind existing"):
        edit.add_packages(TEXT, "old", ["scipy"], None)
    with pytest.raises(Refused, match="no environment new yet"):
        edit.add_packages(TEXT, "new", [], None)
    with pytest.raises(Refused, match=r'No package is named for science. .*"hubwright env build science"'):
        edit.add_packages(TEXT, "science", [], None)
    assert "python: '3.12'" in edit.add_packages(TEXT, "science", [], "3.12")
    with pytest.raises(Refused, match="new is of kind r, which takes no --python"):
        edit.add_packages(TEXT, "new", ["dplyr"], "3.12", "r")


def test_each_kind_that_lists_packages_takes_more(tmp_path):
    path = tmp_path / "hub.yaml"
    path.write_text(edit.add_packages(TEXT, "stats", ["dplyr==1.1.4"], None, "r"))
    path.write_text(edit.add_packages(path.read_text(), "proteins", ["python=3.12"], None, "conda"))
    path.write_text(edit.add_packages(path.read_text(), "proteins", ["python=3.13", "rdkit"], None))
    made = load(path).hub.environments
    assert (made["stats"].kind, made["stats"].packages) == ("r", ("dplyr==1.1.4",))
    assert (made["proteins"].kind, made["proteins"].packages) == ("conda", ("python=3.13", "rdkit"))


def test_hub_yaml_is_changed_only_when_all_went_well(tmp_path, lock):
    path = tmp_path / "hub.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    with pytest.raises(Refused, match="no"), edit.tried(path, lambda text: "hub: {}\n", lock) as fresh:
        assert fresh.read_text() == "hub: {}\n"
        raise Refused("no")
    assert path.read_text() == TEXT
    with edit.tried(path, lambda text: "hub: {}\n", lock):
        pass
    assert path.read_text() == "hub: {}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_what_somebody_else_changes_in_hub_yaml_meanwhile_stays(tmp_path, lock):
    path = tmp_path / "hub.yaml"
    path.write_text(TEXT)
    with edit.tried(path, lambda text: edit.add_packages(text, "science", ["polars"], None), lock):
        with edit.tried(path, lambda text: edit.add_packages(text, "deep", ["torch"], None), lock):
            pass
        path.write_text(path.read_text().replace("Physics", "Chemistry"))
    made = load(path).hub
    assert made.hub.name == "Chemistry"
    assert "polars" in made.environments["science"].packages
    assert made.environments["deep"].packages == ("torch",)


def test_hub_yaml_that_is_none_meanwhile_is_told_and_stays(tmp_path, lock):
    path = tmp_path / "hub.yaml"
    path.write_text(TEXT)
    with (
        pytest.raises(Refused, match="is not YAML just now"),
        edit.tried(path, lambda text: edit.add_packages(text, "science", ["polars"], None), lock),
    ):
        path.write_text("hub: {\n")
    assert path.read_text() == "hub: {\n"


def test_what_a_killed_command_left_is_removed(tmp_path, lock):
    path = tmp_path / "hub.yaml"
    path.write_text(TEXT)
    (tmp_path / ".hub.yaml.4194305").write_text("")  # more than any pid
    (tmp_path / ".hub.yaml.1").write_text("")
    with edit.tried(path, lambda text: text, lock):
        pass
    assert {one.name for one in tmp_path.iterdir()} == {"hub.yaml", ".hub.yaml.1"}


def test_commands_that_change_it_at_once_wait_for_each_other(tmp_path, lock):
    path = tmp_path / "hub.yaml"
    path.write_text(TEXT)

    def slowly(name):
        def how(text):
            time.sleep(0.3)
            return edit.add_packages(text, name, ["six"], None)

        edit.change(path, how, lock)

    threads = [threading.Thread(target=slowly, args=[name]) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {"a", "b", "c"} <= load(path).hub.environments.keys()
