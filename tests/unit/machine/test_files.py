"""Files are whole or not there, and folders are nobody else's."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.machine.files import Owner, make_folder, open_plain, read_plain, weak_component, write_atomically


def test_a_written_file_has_exactly_the_mode_asked_for(tmp_path):
    path = tmp_path / "secret"
    before = os.umask(0)
    try:
        write_atomically(path, "one", 0o600)
    finally:
        os.umask(before)
    write_atomically(path, b"two", 0o640, durable=False)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "file", "new", 0o600)
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "file").is_symlink()


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    """Twenty kills while two contents take turns: what is read is always one of them, complete."""
    path = tmp_path / "file"
    size = 300_000
    script = (
        "import sys, pathlib; from hubwright.machine.files import write_atomically\n"
        f"while True:\n  for c in 'ab': write_atomically(pathlib.Path(sys.argv[1]), c * {size}, 0o600, durable=False)"
    )
    for round_ in range(20):
        with subprocess.Popen([sys.executable, "-c", script, path]) as writer:
            end = time.monotonic() + 20
            while not path.exists() and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.002 * round_)
            writer.send_signal(signal.SIGKILL)
        text = path.read_text()
        assert text in ("a" * size, "b" * size)


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import resource, signal, sys, pathlib\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from hubwright.machine.files import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomically(pathlib.Path(sys.argv[1]), 'x' * 5000, 0o600)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=30)
    assert f"Cannot write {path}" in done.stderr
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_made_and_its_mode_put_right(tmp_path):
    folder = tmp_path / "folder"
    assert make_folder(folder, 0o711) == folder
    assert folder.stat().st_mode & 0o7777 == 0o711
    folder.chmod(0o777)
    make_folder(folder, 0o700)
    assert folder.stat().st_mode & 0o7777 == 0o700


def test_links_and_files_in_the_place_of_a_folder_are_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(MachineError, match="not a folder that can be used"):
            make_folder(tmp_path / name, 0o700)


@pytest.mark.root
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, 1, 1)
    with pytest.raises(MachineError, match="belongs to daemon, not to root"):
        make_folder(folder, 0o700, Owner(0, 0))


@pytest.mark.root
def test_the_weak_component_of_a_path_is_named(tmp_path):
    assert "cannot be entered" in weak_component(tmp_path, sticky_is_fine=True)  # pytest's folders are 0700
    assert weak_component(Path("/usr/bin")) == ""
    shared = Path("/tmp/does-not-exist-yet")
    assert "can be written by others" in weak_component(shared)
    assert weak_component(shared, sticky_is_fine=True) == ""


def test_nothing_but_a_plain_file_is_read_and_only_so_much(tmp_path):
    """A pipe would be waited for, a link leads elsewhere, and what has no end fills the memory."""
    plain = tmp_path / "plain"
    plain.write_bytes(b"12345678")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    assert read_plain(plain, 8) == b"12345678"
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with open_plain("plain", folder=folder) as file:
            assert file.read() == b"12345678"
        for name in ("pipe", "link", "."):
            with pytest.raises(OSError, match=r"Not a plain file|symbolic links"):
                open_plain(name, folder=folder)
    finally:
        os.close(folder)
    with pytest.raises(OSError, match="too large"):
        read_plain(plain, 7)
