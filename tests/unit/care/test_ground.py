"""The ground a service stands on: folders, secrets, the lock, and environments that root refuses."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.care.tiny_service import tiny_site

from hubwright.care import ground
from hubwright.errors import MachineError, Refused


@pytest.fixture
def site(tmp_path):
    return tiny_site(tmp_path, 8000)


def mode(path):
    return path.stat().st_mode & 0o7777


def test_what_one_person_runs_is_closed_to_everybody_else(site):
    ground.make_folders(site)
    ground.make_secrets(site)
    for folder in (site.state, site.run, site.run.parent, site.secrets, site.logs, site.servers, site.routes):
        assert mode(folder) == 0o700, folder
    for name in ground.SECRETS:
        assert mode(site.secrets / name) == 0o600
    ground.make_folders(site)


def test_secrets_are_made_once_and_long_enough(site):
    ground.make_folders(site)
    ground.make_secrets(site)
    first = {name: (site.secrets / name).read_text() for name in ground.SECRETS}
    ground.make_secrets(site)
    assert first == {name: (site.secrets / name).read_text() for name in ground.SECRETS}
    assert all(len(bytes.fromhex(text)) == 32 for text in first.values())


@pytest.mark.root
def test_the_servers_folder_stays_the_engines_until_the_fork_server_needs_it(site):
    """With containers the hub makes folders in it; `apply`, `content push` and others come by while it is used."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    try:
        folder.chmod(0o755)
        ours = replace(site, privileged=True, account="hubwright", state=folder / "state", run=folder / "run/x")
        ground.make_folders(ours)
        assert (mode(ours.servers), ours.servers.stat().st_gid) == (0o711, 0)
        ours.servers.chmod(0o1771)
        os.chown(ours.servers, 0, 1)
        ground.make_folders(ours)
        assert (mode(ours.servers), ours.servers.stat().st_gid) == (0o1771, 1)
        ground.make_servers_folder(ours)
        assert (mode(ours.servers), ours.servers.stat().st_gid) == (0o711, 0)
    finally:
        shutil.rmtree(folder)


@pytest.mark.root
@pytest.mark.parametrize(
    ("names", "taken"),
    [((), True), (("archive",), True), (("notes", "secrets"), True), (("archive", "etc"), False), (("static",), False)],
)
def test_root_takes_over_no_folder_with_other_things(site, names, taken):
    """`uninstall` removes what is in a state folder, and its owner and mode change when the service starts."""
    privileged = replace(site, privileged=True)
    site.state.mkdir(mode=0o755, parents=True)
    for name in names:
        (site.state / name).mkdir()
    if taken:
        ground.check_state(privileged)
        return
    for refuse in (ground.check_state, ground.make_folders):
        with pytest.raises(Refused, match=f"is not a service's: it holds {names[-1]}"):
            refuse(privileged)
    assert mode(site.state) == 0o755


def test_the_lock_is_held_until_its_descriptor_is_closed(site):
    ground.make_folders(site)
    held = ground.lock(site)
    with pytest.raises(Refused, match=rf"runs already at http://127.0.0.1:8000/, started by process {os.getpid()}\."):
        ground.lock(site)
    os.close(held)
    os.close(ground.lock(site))
    assert mode(site.run / "up.lock") == 0o600  # whoever can open it could lock it


@pytest.mark.root
def test_root_refuses_an_environment_that_another_account_could_change(site):
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/opt"))
    try:
        privileged = replace(site, privileged=True, prefix=folder / "env")
        (folder / "env").mkdir(mode=0o755)
        for change, words in (
            (lambda: folder.chmod(0o700), "cannot be entered by ordinary users"),
            (lambda: folder.chmod(0o777), "can be written by others than root"),
            (lambda: (folder.chmod(0o755), os.chown(folder, 1, 1)), "belongs to daemon, not to root"),
        ):
            change()
            with pytest.raises(MachineError, match=words) as caught:
                ground.check_environment(privileged)
            assert str(folder) in str(caught.value)
            assert "./up" in caught.value.problem.remedy
        ground.check_environment(replace(privileged, privileged=False))
    finally:
        shutil.rmtree(folder)


@pytest.mark.root
def test_a_configuration_that_others_may_change_is_worth_a_warning(site, tmp_path, monkeypatch):
    monkeypatch.delenv("SUDO_UID", raising=False)
    path = tmp_path / "hub.yaml"
    path.touch(mode=0o644)
    privileged = replace(site, privileged=True, config=path)
    assert ground.check_config(privileged) == ""
    os.chown(path, 1, 1)
    assert "can be changed by others than root" in ground.check_config(privileged)
    monkeypatch.setenv("SUDO_UID", "1")
    assert ground.check_config(privileged) == ""
    path.chmod(0o666)
    assert "can be changed by others than root" in ground.check_config(privileged)


def test_a_run_folder_that_is_a_trap_is_refused(site, tmp_path):
    """Somebody made /tmp/hubwright-1000 a link to a folder of his own."""
    (tmp_path / "his").mkdir()
    site.run.parent.symlink_to(tmp_path / "his")
    with pytest.raises(MachineError, match="not a folder that can be used"):
        ground.make_folders(site)
    assert list((tmp_path / "his").iterdir()) == []


def test_a_file_that_hides_from_users_is_never_open_to_them(site):
    ground.make_folders(site)
    ground.write_file(site, "hub.json", {"a": 1}, for_hub_only=True)
    ground.write_file(site, "policy.json", {"a": 1})
    assert mode(site.run / "hub.json") == 0o600
    assert mode(site.run / "policy.json") == 0o644
