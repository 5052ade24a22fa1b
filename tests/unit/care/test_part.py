"""A part gets what it is given and nothing else."""

import json
import os
import pwd
from dataclasses import replace

import pytest

from hubwright.care.part import tell_exit
from hubwright.errors import MachineError

REPORT = """
import json, os
print(json.dumps({
    "env": dict(os.environ), "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "fds": [int(f) for f in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + f)],
    "sid": os.getsid(0) == os.getpid(),
    "umask": os.umask(0), "cwd": os.getcwd(), "stdin": os.readlink("/proc/self/fd/0"),
}), flush=True)
"""


def run(part):
    assert part.spawn().wait(20) == 0
    return json.loads(part.log.read_text())


def test_environment_descriptors_and_session_are_its_own(program):
    reader, writer = os.pipe()
    other = os.dup(reader)
    os.set_inheritable(other, True)
    try:
        told = run(program(code=REPORT, descriptors=(reader,)))
    finally:
        for number in (reader, writer, other):
            os.close(number)
    told["env"].pop("LC_CTYPE", None)  # Python's own doing (PEP 538)
    assert told["env"] == {"PATH": "/usr/bin:/bin"}
    assert sorted(told["fds"]) == [0, 1, 2, reader]
    assert told["sid"] is True
    assert told["umask"] == 0o077
    assert told["cwd"] == "/"
    assert told["stdin"] == "/dev/null"


@pytest.mark.root
def test_a_part_of_an_account_has_exactly_that_account(tmp_path, program):
    part = replace(program(account="nobody"), argv=("/usr/bin/id",))
    assert part.spawn().wait(20) == 0
    entry = pwd.getpwnam("nobody")
    assert f"uid={entry.pw_uid}(nobody) gid={entry.pw_gid}" in part.log.read_text()
    assert "root" not in part.log.read_text()
    assert part.log.stat().st_mode & 0o777 == 0o600


def test_the_fingerprint_changes_with_what_is_run_and_not_with_how_it_is_watched(program):
    part = program()
    assert replace(part, grace=1, ready=lambda: False).fingerprint == part.fingerprint
    assert replace(part, version="2").fingerprint != part.fingerprint
    assert replace(part, argv=("x",)).fingerprint != part.fingerprint
    assert replace(part, env={}).fingerprint != part.fingerprint


def test_a_program_that_is_not_there_is_told(program):
    with pytest.raises(MachineError, match=r"The thing cannot be started \(/no/such\): No such file"):
        replace(program(), argv=("/no/such",)).spawn()


def test_a_log_that_is_a_link_is_not_followed(program, tmp_path):
    part = program()
    part.log.symlink_to(tmp_path / "victim")
    with pytest.raises(MachineError, match="Cannot write the log"):
        part.spawn()
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "ended"), (3, "left with code 3"), (-9, "was killed (SIGKILL"), (-10, "ended by signal 10")],
)
def test_ends_are_told_in_words(code, words):
    assert words in tell_exit(code)
