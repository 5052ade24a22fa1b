"""Who uses a folder is seen by what processes were started with and have mapped."""

import getpass
import mmap
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from hubwright.machine.using import users

SLEEP = "print(flush=True); import time; time.sleep(60)"
MAPPED = "import mmap, sys; held = mmap.mmap(sys.stdin.fileno(), 0, prot=mmap.PROT_READ);"


@contextmanager
def started(*words, code=SLEEP, env=None, stdin=None):
    """Run a program until the block ends; give its number once it has begun."""
    command = [sys.executable, "-c", code, *words]
    child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
    try:
        child.stdout.readline()
        yield child.pid
    finally:
        child.kill()
        child.communicate()


def told(found):
    return {folder.name: [user.pid for user in who] for folder, who in found.items()}


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / "versions" / str(number) for number in (1, 2, 10)]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def test_nobody_is_told_for_a_folder_whose_name_another_begins_with(folders):
    with started(str(folders[2] / "start")) as pid:
        assert told(users(folders)) == {"10": [pid]}
        (user,) = users(folders)[folders[2]]
        assert str(user) == f"{getpass.getuser()} (process {pid})"
    assert users(folders) == {}


def test_what_a_process_was_started_with_counts(folders):
    with (
        started(env={"SEARCHED": f"/usr/lib:{folders[0]}:/lib"}) as one,
        started(env={"HERE": str(folders[0])}) as other,
    ):
        assert told(users(folders)) == {"1": sorted([one, other])}


@pytest.mark.parametrize("before", [65536 - 30, 65536 - 5, 65536, 100_000])
def test_it_is_found_wherever_it_stands(folders, before):
    """As what is looked at is read in pieces."""
    with started(env={"A": "x" * before, "HERE": str(folders[2])}) as pid:
        assert told(users(folders)) == {"10": [pid]}


def test_a_file_that_is_mapped_counts_by_its_own_name_and_by_that_of_a_link(folders, tmp_path):
    file = folders[1] / "library.so"
    file.write_bytes(bytes(mmap.PAGESIZE))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "versions")
    with file.open("rb") as opened, started(code=MAPPED + SLEEP, stdin=opened) as pid:
        assert told(users(folders)) == {"2": [pid]}
        assert users([link / "2"])[link / "2"] == users(folders)[folders[1]]


@pytest.mark.root
def test_without_the_right_to_trace_command_lines_count_still(folders):
    """Environment and mapped files of somebody else's process cannot be read then."""
    ask = f"from pathlib import Path; from hubwright.machine.using import users; print(users([Path({str(folders[0])!r})]))"
    without = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-I", "-c", ask]
    who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    named = ["sh", "-c", "echo; read -r _", f"{folders[0]}/start"]
    with subprocess.Popen(named, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **who) as child:
        try:
            child.stdout.readline()
            told = subprocess.run(without, capture_output=True, text=True, timeout=60, check=True).stdout
            assert f"User(account='nobody', pid={child.pid})" in told
        finally:
            child.kill()


def test_processes_that_end_meanwhile_are_no_matter(folders):
    """One after the other does while it looks."""
    over = threading.Event()

    def others():
        while not over.is_set():
            subprocess.run(["/bin/true"], check=True)

    running = threading.Thread(target=others)
    running.start()
    try:
        with started(str(folders[0])) as pid:
            for _ in range(10):
                assert told(users(folders)) == {"1": [pid]}
    finally:
        over.set()
        running.join()
