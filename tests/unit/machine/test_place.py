"""Every command finds the same places, and what is written of them is read again."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from hubwright.errors import MachineError, NotRunning
from hubwright.machine import site_file
from hubwright.machine.place import place, split_listen, system_state


def test_state_lies_beside_the_configuration(tmp_path):
    site = place("127.0.0.1:8000", None, tmp_path / "hub.yaml", None)
    again = place("127.0.0.1:8000", None, tmp_path / "hub.yaml", None)
    assert site == again
    assert site.public_url == "http://127.0.0.1:8000/"
    if os.geteuid() == 0:  # pytest's folders are 0700: the hub's account could not enter them
        assert site.state == system_state(tmp_path / ".hubwright")
        assert site.run.parent == Path("/run/hubwright")
        assert site.account == "hubwright"
    else:
        assert site.state == tmp_path / ".hubwright"


@pytest.mark.root
def test_the_state_stays_where_it_is_once_it_is_made():
    """Also with the mode that `up` gives it, which lets ordinary users not even enter."""
    folder = Path(tempfile.mkdtemp(dir="/var/lib", prefix="hwt-"))
    try:
        folder.chmod(0o755)
        first = place(":1", None, None, folder / "state")
        assert first.state == folder / "state"
        (folder / "state").mkdir(mode=0o770)
        assert place(":1", None, None, folder / "state") == first
        os.chown(folder / "state", 1, 1)
        assert place(":1", None, None, folder / "state").state == system_state(folder / "state")
    finally:
        shutil.rmtree(folder)


@pytest.mark.root
@pytest.mark.parametrize("loosen", [lambda state: state.parent.chmod(0o775), lambda state: os.chown(state, 1, 1)])
def test_a_service_is_not_left_for_a_new_one_when_others_may_write_there(loosen):
    """It would be without anybody's account, and servers would run on unseen."""
    state = Path(tempfile.mkdtemp(dir="/var/lib", prefix="hwt-")) / "state"
    moved = system_state(state)
    try:
        state.parent.chmod(0o755)
        (state / "secrets").mkdir(parents=True)
        loosen(state)
        with pytest.raises(MachineError, match=f"state is in {state}") as refused:
            place(":1", None, None, state)
        moved.parent.mkdir(exist_ok=True)
        state.rename(moved)  # as the remedy says
        assert f"mv {state} {moved}" in (refused.value.problem.remedy or "")
        assert place(":1", None, None, state).state == moved
        state.parent.chmod(0o755)
        assert place(":1", None, None, state).state == moved, "and there it stays"
    finally:
        shutil.rmtree(state.parent)
        shutil.rmtree(moved, ignore_errors=True)


@pytest.mark.root
def test_what_an_ordinary_user_ran_there_is_no_service_of_roots():
    state = Path(tempfile.mkdtemp(dir="/var/lib", prefix="hwt-")) / "state"
    try:
        (state / "secrets").mkdir(parents=True)
        for path in (state.parent, state, state / "secrets"):
            os.chown(path, 1, 1)
        assert place(":1", None, None, state).state == system_state(state)
    finally:
        shutil.rmtree(state.parent)


def test_two_services_share_no_folder(tmp_path):
    one, two = (place(":8000", None, None, tmp_path / name) for name in "ab")
    assert one.state != two.state
    assert one.run != two.run
    assert one.listen == ("0.0.0.0", 8000)


def test_sockets_fit_into_the_107_bytes_they_have(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    site = place("127.0.0.1:8000", None, None, tmp_path)
    assert len(str(site.servers / ("0" * 16) / "http.sock")) <= 107


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("127.0.0.1:80", "http://127.0.0.1/"), ("[::1]:8000", "http://[::1]:8000/"), ("box:9", "http://box:9/")],
)
def test_the_address_for_browsers_follows_from_listen(listen, expected, tmp_path):
    assert place(listen, None, None, tmp_path).public_url == expected


def test_an_address_that_is_given_ends_in_a_slash(tmp_path):
    site = place("127.0.0.1:8000", "https://hub.example.org/lab", None, tmp_path)
    assert site.public_url == "https://hub.example.org/lab/"
    assert site.base_url == "/lab/"


@pytest.mark.parametrize("listen", ["8000", "host:", "host:http", "host:99999", "", "a:-1"])
def test_nonsense_to_listen_on_is_refused(listen):
    with pytest.raises(MachineError, match="not an address to listen on"):
        split_listen(listen)


def test_a_site_is_read_as_it_was_written(tmp_path):
    site = place("127.0.0.1:8000", "https://h/x/", tmp_path / "hub.yaml", tmp_path)
    site_file.save(site, tmp_path / "site.json")
    assert site_file.load(tmp_path / "site.json") == site
    assert (tmp_path / "site.json").stat().st_mode & 0o777 == 0o644


def test_a_missing_or_damaged_site_is_told(tmp_path):
    with pytest.raises(NotRunning, match="No service runs here"):
        site_file.load(tmp_path / "site.json")
    (tmp_path / "site.json").write_text('{"listen": 3}')
    with pytest.raises(MachineError, match="cannot be read"):
        site_file.load(tmp_path / "site.json")
