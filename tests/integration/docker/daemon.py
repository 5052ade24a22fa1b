"""A Docker daemon of the tests' own: in a network namespace of its own, with everything below one folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import docker
from tests.running import PREFIX

SKELETON = "hwt/skeleton:1"
_WITH_THE_TESTS = ("setpriv", "--pdeathsig", "TERM")
"""Ended also when the process of the tests is killed."""
_ETC = ("ld.so.cache", "ssl/openssl.cnf", "mime.types")


class Dockerd:
    """One daemon; `folder` is all that it writes. With `btrfs` its data are on a file system of their own, of 3 GB."""

    def __init__(self, *, btrfs: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hwt-docker-", dir="/var/lib"))
        self.folder.chmod(0o711)
        self.path = self.folder / "docker.sock"
        self.url = f"unix://{self.path}"
        self.holder = subprocess.Popen([*_WITH_THE_TESTS, "unshare", "--net", "sleep", "infinity"])
        self.process: subprocess.Popen[bytes] | None = None
        self.storage = ["--storage-driver=btrfs"] if btrfs else []
        if btrfs:
            disk, data = self.folder / "disk", self.folder / "data"
            data.mkdir()
            with disk.open("wb") as file:
                file.truncate(3 * 2**30)
            subprocess.run(["mkfs.btrfs", "--quiet", str(disk)], check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop", str(disk), str(data)], check=True)

    def start(self) -> None:
        """Start it, or start it again; returns when it answers."""
        command = [
            *_WITH_THE_TESTS,
            *("nsenter", f"--net=/proc/{self.holder.pid}/ns/net"),
            *("dockerd", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"),
            *(f"--pidfile={self.folder}/pid", f"--host={self.url}", "--group=docker", "--live-restore"),
            *("--bridge=none", "--default-address-pool=base=10.213.0.0/16,size=24", *self.storage),
        ]
        self._await_namespace()
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def _await_namespace(self) -> None:
        ours = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(2)
            try:
                one.connect(str(self.path))
                one.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in one.recv(100)
            except OSError:
                return False

    def client(self, timeout: float = 60) -> docker.APIClient:
        return docker.APIClient(base_url=self.url, version="1.41", timeout=timeout)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]

    def signal(self, number: int) -> None:
        assert self.process
        os.kill(int((self.folder / "pid").read_text()), number)

    def stop(self) -> None:
        """Stop the daemon; containers live on (--live-restore)."""
        assert self.process
        self.signal(signal.SIGTERM)
        self.process.wait(60)

    def remove_containers(self) -> None:
        with self.client() as client:
            for one in client.containers(all=True):
                client.remove_container(one["Id"], force=True)

    def clean(self) -> None:
        """End it with all its containers, and remove what it wrote."""
        try:
            if self.process and self.process.poll() is None:
                self.signal(signal.SIGCONT)
                self.remove_containers()
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            self.holder.kill()
            self.holder.wait(10)
            for line in Path("/proc/mounts").read_text().splitlines():
                if (place := line.split()[1]).startswith(str(self.folder)):
                    subprocess.run(["umount", "--lazy", place], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def make_skeleton(self, name: str = SKELETON, search: str = "", more: Sequence[str] = ()) -> None:
        """Make an image of next to nothing; what it runs comes from folders of this machine (`FOLDERS`).

        `more`: lines of a Dockerfile.
        """
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for folder in ("etc", "etc/ssl", "home", "opt", "proc", "run", "sbin", "sys", "usr", "var", "var/tmp"):
                archive.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
            archive.addfile(_entry("tmp", tarfile.DIRTYPE, 0o1777))
            for link in ("bin", "lib", "lib64"):
                if Path(f"/{link}").is_symlink():
                    entry = _entry(link, tarfile.SYMTYPE, 0o777)
                    entry.linkname = f"usr/{link}"
                    archive.addfile(entry)
            texts = {"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\njovyan:x:1000:100::/home/jovyan:/bin/sh\n"}
            texts["etc/group"] = b"root:x:0:\nusers:x:100:\n"
            for file in _ETC:
                if Path("/etc", file).exists():
                    texts[f"etc/{file}"] = Path("/etc", file).read_bytes()
            for path, text in texts.items():
                entry = _entry(path, tarfile.REGTYPE, 0o644)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
        setting = f"ENV PATH={search or f'{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin'}"
        changes = [word for line in (setting, 'CMD ["sh"]', *more) for word in ("--change", line)]
        command = ["docker", "--host", self.url, "import", *changes, "-", name]
        subprocess.run(command, input=data.getvalue(), check=True, capture_output=True, timeout=60)

    def make_foreign(self, name: str) -> None:
        """Make the skeleton once more, said to be for another processor."""
        with self.client() as client:
            saved = io.BytesIO(b"".join(client.get_image(SKELETON)))
            changed = io.BytesIO()
            with tarfile.open(fileobj=saved) as old, tarfile.open(fileobj=changed, mode="w") as new:
                manifest = json.load(old.extractfile("manifest.json"))
                config = json.load(old.extractfile(manifest[0]["Config"])) | {"architecture": "arm64"}
                text = json.dumps(config).encode()
                manifest[0] |= {"Config": f"{sha256(text).hexdigest()}.json", "RepoTags": [name]}
                for member in old.getmembers():
                    if member.name.endswith(("layer.tar", "VERSION")) or member.isdir():
                        new.addfile(member, old.extractfile(member) if member.isfile() else None)
                for path, data in ((manifest[0]["Config"], text), ("manifest.json", json.dumps(manifest).encode())):
                    entry = _entry(path, tarfile.REGTYPE, 0o644)
                    entry.size = len(data)
                    new.addfile(entry, io.BytesIO(data))
            client.load_image(changed.getvalue())


FOLDERS = [{"source": path, "target": path} for path in ("/usr", str(PREFIX))]
"""Read-only volumes with which the skeleton is a whole machine."""


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, mode
    return entry
