"""The session keyring: after `join_new` the keys of whoever started the service are out of reach."""

import subprocess
import sys

import pytest

# The parent joins a keyring of its own first, so that the test leaves nothing in the tester's session.
_PARENT = """
import ctypes, os, subprocess, sys
from hubwright.machine import keyring
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
if not keyring.join_new():
    print("no keyrings")
    raise SystemExit
number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
secret = b"a disk's secret"
key = libc.syscall(number, b"user", b"hubwright-test", secret, ctypes.c_size_t(len(secret)), -3)
assert key > 0, os.strerror(ctypes.get_errno())
subprocess.run([sys.executable, "-c", sys.argv[1], str(key)], check=True)
"""

_CHILD = """
import ctypes, os, sys
from hubwright.machine import keyring
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
SEARCH, SESSION = 10, -3
def found():
    return libc.syscall(number, SEARCH, SESSION, b"user", b"hubwright-test", 0) == int(sys.argv[1])
before = found()
joined = keyring.join_new()
print(before, joined, found())
sys.stdout.flush()
if os.fork() == 0:  # and what it starts holds no more than itself
    print(found())
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def test_a_key_of_the_session_is_not_held_after_joining_a_new_one() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _PARENT, _CHILD], check=True, capture_output=True, text=True, timeout=30
    )
    if told.stdout == "no keyrings\n":
        pytest.skip("this kernel has no keyrings for us")
    assert told.stdout == "True True False\nFalse\n"


def test_another_machine_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose system calls have numbers that are not known; this one's are."""
    from hubwright.machine import keyring

    monkeypatch.setattr(keyring.platform, "machine", lambda: "riscv64")
    assert keyring.join_new() is False
