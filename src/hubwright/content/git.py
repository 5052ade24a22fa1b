"""Fetching a git repository with the rights of an account that has none, into a folder that is gone afterwards."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from hubwright.errors import MachineError, printable
from hubwright.machine.accounts import ensure_system_account
from hubwright.machine.files import Owner

ACCOUNT = "hubwright-fetch"
"""In no group but its own; it owns nothing that stays."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
_SILENT = 120.0
"""Seconds without a word of git after which a fetch counts as stuck."""
_ASKING = 30.0
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_NOT_LET_IN = ("could not read username", "authentication failed", "permission denied", "403", "401")
_KEY = "-----BEGIN "
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Repository:
    """Where to fetch from."""

    address: str
    ref: str = ""
    """A branch, a tag or a commit; "" is the main branch."""
    secret: str = field(default="", repr=False)


def program() -> str:
    """Return git; `MachineError` when this machine has none."""
    if (found := shutil.which("git", path=_PATH)) is None:
        raise MachineError("This machine has no git.", remedy="Install it: apt install git.")
    return found


def newest(wanted: Repository) -> str:
    """Return the commit that would be fetched now; "" when the server does not say, as for a commit that is named.

    Raises:
        MachineError: the repository does not answer, or does not let us in.
    """
    with _work(wanted) as (run, _):
        told = run(["ls-remote", "--", wanted.address, wanted.ref or "HEAD"], _ASKING)
    found = {words[1]: words[0] for line in told.splitlines() if len(words := line.split()) == 2}
    ref = wanted.ref or "HEAD"
    names = (f"refs/tags/{ref}^{{}}", ref, f"refs/heads/{ref}", f"refs/tags/{ref}")
    return next((found[name] for name in names if name in found), "")


@contextmanager
def fetched(wanted: Repository, tell: Tell) -> Iterator[tuple[Path, str, Owner]]:
    """Yield a folder with the files of one commit, the commit, and whose they are; the folder is removed at the end.

    Nothing of the repository is run: no hook, no filter, no submodule.

    Raises:
        MachineError: git says why.
    """
    with _work(wanted, tell) as (run, folder):
        files = folder / "files"
        run(["init", "--quiet", "--template=", "--", str(files)], _ASKING)
        inside = ["-C", str(files)]
        shallow = ["fetch", "--progress", "--depth=1", "--no-tags"]
        run([*inside, *shallow, "--", wanted.address, wanted.ref or "HEAD"], _SILENT)
        run([*inside, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "FETCH_HEAD"], _SILENT)
        commit = run([*inside, "rev-parse", "HEAD"], _ASKING).strip()
        yield files, commit, Owner.of(ACCOUNT) if os.geteuid() == 0 else Owner.me()


@contextmanager
def _work(wanted: Repository, tell: Tell = lambda _: None) -> Iterator[tuple[Callable[[list[str], float], str], Path]]:
    """Yield how git is run, and a folder of its account's own."""
    git = program()
    who: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hubwright-fetch-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        # a repository of this machine is somebody else's; git tells its other half so by a file only
        (folder / "config").write_text("[safe]\n\tdirectory = *\n")
        options = [git, *_options(folder, wanted)]
        env = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": made, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
        env |= {"GIT_CONFIG_GLOBAL": str(folder / "config"), "GIT_ALLOW_PROTOCOL": "https:http:ssh:file"}
        env["GIT_ASKPASS"] = "/bin/false"
        env |= {word: os.environ[word] for name in _PASSED_ON for word in (name, name.upper()) if word in os.environ}
        strict = "-o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20"
        key = f"-i {folder}/secret -o IdentitiesOnly=yes " if wanted.secret.startswith(_KEY) else ""
        env["GIT_SSH_COMMAND"] = f"ssh {key}{strict}"
        if os.geteuid() == 0:
            ensure_system_account(ACCOUNT)
            owner = Owner.of(ACCOUNT)
            who = {"user": owner.uid, "group": owner.gid, "extra_groups": []}
            for path in (*folder.iterdir(), folder):
                os.chown(path, owner.uid, owner.gid)

        def run(words: list[str], silent: float) -> str:
            return _run([*options, *words], env, who, silent, wanted, tell)

        yield run, folder


def _options(folder: Path, wanted: Repository) -> list[str]:
    """Return git's settings, and write the secret to where git looks for it."""
    settings = ["core.hooksPath=/dev/null", "core.symlinks=true"]
    if wanted.secret:
        text = wanted.secret.strip() + "\n"
        if not wanted.secret.startswith(_KEY):
            name, _, token = wanted.secret.strip().rpartition(":")
            parts = urlsplit(wanted.address)
            text = f"{parts.scheme}://{quote(name or 'git', safe='')}:{quote(token, safe='')}@{parts.netloc}\n"
            settings.append(f"credential.helper=store --file={folder}/secret")
        path = folder / "secret"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    return [word for setting in settings for word in ("-c", setting)]


def _run(
    argv: list[str], env: dict[str, str], who: dict[str, Any], silent: float, wanted: Repository, tell: Tell
) -> str:
    """Run git, tell its progress, and return what it says; `MachineError` with its own words when it fails."""
    child = subprocess.Popen(
        argv, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, **who,
    )  # fmt: skip
    assert child.stdout and child.stderr
    said: dict[int, bytes] = {child.stdout.fileno(): b"", child.stderr.fileno(): b""}
    out, errors = said
    open_ones, until = {*said}, time.monotonic() + silent
    try:
        while open_ones:
            ready = select.select([*open_ones], [], [], max(0.0, until - time.monotonic()))[0]
            if not ready:
                raise MachineError(f"{wanted.address} has not answered for {silent:.0f} s.", remedy="Try again later.")
            until = time.monotonic() + silent
            for descriptor in ready:
                data = os.read(descriptor, 65536)
                said[descriptor] = (said[descriptor] + data)[-(2**20) :]
                open_ones -= set() if data else {descriptor}
                if data and descriptor == errors:
                    tell(printable(data.decode(errors="replace").replace("\r", "\n").strip().rpartition("\n")[2])[:80])
        code = child.wait(silent)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stdout.close()
        child.stderr.close()
    if code:
        raise _failure(said[errors].decode(errors="replace"), wanted)
    return said[out].decode(errors="replace")


def _failure(said: str, wanted: Repository) -> MachineError:
    """Return git's words as an error, with what to do about the usual ones."""
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.startswith(("fatal:", "error:", "ssh:"))]
    words = printable(" ".join(lines[-2:]) or said[-300:].strip()).replace("fatal: ", "").replace("error: ", "")
    low = words.lower() + said.lower()
    remedy = "Is the address right?"
    if "host key" in low:
        remedy = "Put the server's key into /etc/ssh/ssh_known_hosts: ssh-keyscan HOST, and compare it."
    elif any(mark in low for mark in _NOT_LET_IN):
        remedy = "Name a secret that opens it with `secret`."
        if wanted.secret:
            remedy = "Is the secret right, and does it still hold?"
    elif "couldn't find remote ref" in low or "not our ref" in low:
        remedy = "Is `ref` right?"
    return MachineError(f"{wanted.address} cannot be fetched: {words.rstrip('.')}.", remedy=remedy)
