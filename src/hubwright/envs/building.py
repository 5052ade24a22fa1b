"""A new version of an environment: made beside the one that serves, tried, and taken in one step; or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from hubwright.envs import Made, Tell, Wanted, cache, environment_of, forked, python, trying
from hubwright.envs.access import let_in
from hubwright.envs.versions import Version, Versions
from hubwright.errors import ConfigError, MachineError, Refused
from hubwright.fields import Site
from hubwright.kinds import KindConfig
from hubwright.machine.files import write_atomically

_PROVING = 240.0
_MARK = "# hubwright: of "


def versions_of(name: str, site: Site) -> Versions:
    """Return the versions of an environment."""
    return Versions(site.environments / name)


def lock_file(name: str, site: Site) -> Path:
    """Return where an environment's lock is kept: beside hub.yaml, so that both are copied to another machine."""
    return (site.config.parent if site.config else Path.cwd()) / f"{name}.lock"


def digest(name: str, config: KindConfig, site: Site) -> str:
    """Return what tells an entry of hub.yaml, with the files it names, from another.

    Who may see it and what it is called are left out: they change nothing that is built.

    Raises:
        ConfigError: a file cannot be read.
    """
    told = config.model_dump(mode="json", exclude={"allow"})  # type: ignore[attr-defined]
    try:
        told["files"] = environment_of(config).sources(config, site)
    except ConfigError as error:
        raise _placed(name, error) from error
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def source(name: str, config: KindConfig, site: Site) -> str:
    """Return the digest of an entry and its lock: a version that was made of another is out of date."""
    return sha256((digest(name, config, site) + _locked(name, config, site)).encode()).hexdigest()[:16]


def build(name: str, config: KindConfig, site: Site, tell: Tell) -> Version:
    """Make a version of what hub.yaml says now, try its kernel, and let it serve.

    Raises:
        Refused: it is being built already, or its lock is of another hub.yaml.
        MachineError: it could not be made, or its kernel does not work. What served before goes on serving.
    """
    versions = versions_of(name, site)
    make_folders(site)
    let_in(name, config, site)
    with versions.lock(), cache.shared(site), readable(), trying.account(site):
        lock = _locked(name, config, site)
        made_of = source(name, config, site)
        begun = versions.begin()
        try:
            wanted = Wanted(name, begun, site, cache.folder(site), lock)
            made = environment_of(config).make(config, wanted, tell)
            tell("Trying its kernel")
            _prove(name, begun / "kernel", made, site)
            modules, set_ = forked(config), dict(made.variables)
            python.try_preload(made.prefix / "bin" / "python", modules, f"environments.{name}.preload", set_)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            told = (made.language, str(made.prefix), dict(made.packages), modules, set_)
            version = Version(int(begun.name), now, made_of, *told)
            versions.record(version)
        except OSError as error:
            raise MachineError(f"could not be built: {error.strerror}.", where=f"environments.{name}") from error
        finally:
            if not (begun / "version.json").exists():
                versions.discard(begun)
        versions.take(version)
        versions.prune()
        return version


def roll_back(name: str, site: Site, number: int | None = None) -> Version:
    """Let an older version serve again.

    Raises:
        Refused: there is none, or the environment is just being built.
    """
    versions = versions_of(name, site)
    if versions.current() is None:
        raise Refused(f"{name} was never built.", remedy=f'Build it: "hubwright env build {name}".')
    with versions.lock():
        version = versions.before(number)
        versions.take(version)
        return version


def write_lock(name: str, config: KindConfig, site: Site, tell: Tell) -> Path:
    """Write down every package of an environment with version and hash; return the file."""
    make_folders(site)
    with cache.shared(site), readable(), trying.account(site):
        try:
            text = environment_of(config).lock(config, site, cache.folder(site), tell)
        except ConfigError as error:
            raise _placed(name, error) from error
    path = lock_file(name, site)
    mode = site.config.stat().st_mode & 0o777 if site.config else 0o644  # it names the index as hub.yaml does
    write_atomically(path, f"{_MARK}{digest(name, config, site)}\n{text}", mode)
    return path


def make_folders(site: Site) -> None:
    """Make the folder of all environments; what builds share in it is not for users, who may not see every package."""
    for folder in (site.environments.parent, site.environments):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    cache.folder(site).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def readable() -> Iterator[None]:
    """Let everybody read what is made, whatever the caller's umask: that of the process, so one for all its threads."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def remove(name: str, site: Site) -> None:
    """Remove an environment with all its versions; kernels that run in it may fail from now on."""
    folder = site.environments / name
    gone = folder.with_name(f".gone-{name}")
    if gone.exists():
        shutil.rmtree(gone)
    folder.rename(gone)
    shutil.rmtree(gone)


def _placed(name: str, error: ConfigError) -> ConfigError:
    """Return an error of an entry's settings with their place in hub.yaml."""
    entry = f"environments.{name}."
    return ConfigError([replace(one, where=f"{entry}{one.where.removeprefix(entry)}") for one in error.problems])


def _locked(name: str, config: KindConfig, site: Site) -> str:
    try:
        text = lock_file(name, site).read_text()
    except FileNotFoundError:
        return ""
    mark, _, rest = text.partition("\n")
    if mark != _MARK + digest(name, config, site):
        raise Refused(
            f"{name}.lock was made of other packages than hub.yaml names now.",
            where=f"environments.{name}",
            remedy=f'Make it anew: "hubwright env lock {name}"; or remove {lock_file(name, site)}.',
        )
    return rest


def _prove(name: str, kernel: Path, made: Made, site: Site) -> None:
    """Run the kernel as an account without rights, with an empty home."""
    with tempfile.TemporaryDirectory(prefix="hubwright-env-") as home:
        who = trying.identity()
        trying.give(Path(home), site)
        env = {"HOME": home, "PATH": os.defpath, "LANG": "C.UTF-8", "JUPYTER_RUNTIME_DIR": home}
        cells = [made.importing.format(name) for name in made.imports]
        command = [sys.executable, "-I", "-m", "hubwright.envs.proving", str(kernel), *cells]
        try:
            done = subprocess.run(
                command, cwd=home, env=env, capture_output=True, text=True, timeout=_PROVING, check=False, **who
            )
            wrong = json.loads(done.stdout)["wrong"] if done.returncode == 0 else done.stderr.strip()[-500:]
        except (subprocess.TimeoutExpired, ValueError) as error:
            wrong = str(error)
    if wrong:
        raise MachineError(f"was built and does not work: {wrong}.", where=f"environments.{name}")
