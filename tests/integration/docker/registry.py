"""An image registry with one image, which hands out its largest layer slowly: the part of the v2 API that a pull needs.

Source: https://distribution.github.io/distribution/spec/api/. Started as a program, `registry.py FOLDER PORT`: a blob is
a file of the folder, named by its digest, `manifest` is the manifest of every tag. Nobody is given an image `private`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.docker.daemon import Dockerd

SLOW = 4 * 2**20
"""Bytes a second of a layer of a megabyte or more."""
_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    folder: Path

    def do_GET(self) -> None:
        kind, _, name = self.path.rpartition("/")
        if self.path == "/v2/":
            return self._send(b"{}", "application/json")
        if kind.endswith("/private/manifests"):
            return self._refuse()
        file = self.folder / ("manifest" if kind.endswith("/manifests") else name.replace(":", "-"))
        if not file.is_file():
            return self.send_error(404)
        return self._send(file.read_bytes(), _TYPE if file.name == "manifest" else "application/octet-stream")

    do_HEAD = do_GET

    def _refuse(self) -> None:
        body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}).encode()
        self.send_response(401)
        for name, value in {"WWW-Authenticate": 'Basic realm="hwt"', "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", f"sha256:{sha256(body).hexdigest()}")
        self.end_headers()
        if self.command == "HEAD":
            return
        step = SLOW // 10
        for begin in range(0, len(body), step):
            self.wfile.write(body[begin : begin + step])
            if len(body) >= 2**20:
                time.sleep(0.1)

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@contextmanager
def registry(dockerd: Dockerd, base: str, port: int, size: int) -> Iterator[str]:
    """Serve the image `base` of the daemon with one more layer of `size` bytes, in the daemon's network.

    Returns:
        The name by which the daemon can pull it.
    """
    folder = dockerd.folder / f"registry-{port}"
    folder.mkdir()
    _fill(dockerd, base, folder, size)
    enter = ["nsenter", f"--net=/proc/{dockerd.holder.pid}/ns/net"]
    subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
    program = subprocess.Popen([*enter, sys.executable, __file__, str(folder), str(port)])
    try:
        yield f"127.0.0.1:{port}/hwt/slow:1"
    finally:
        program.kill()
        program.wait(10)


def _fill(dockerd: Dockerd, base: str, folder: Path, size: int) -> None:
    with dockerd.client() as client:
        saved = io.BytesIO(b"".join(client.get_image(base)))
    with tarfile.open(fileobj=saved) as archive:

        def read(name: str) -> bytes:
            member = archive.getmember(name)
            if member.issym():  # two of the same layer are kept once
                member = archive.getmember(os.path.normpath(os.path.join(os.path.dirname(name), member.linkname)))
            found = archive.extractfile(member)
            assert found
            return found.read()

        manifest = json.loads(read("manifest.json"))[0]
        config = json.loads(read(manifest["Config"]))
        layers = [read(name) for name in manifest["Layers"]]
    more = io.BytesIO()
    with tarfile.open(fileobj=more, mode="w") as archive:
        entry = tarfile.TarInfo("opt/filler")
        entry.size = size
        archive.addfile(entry, io.BytesIO(os.urandom(size)))
    layers.append(more.getvalue())
    config["rootfs"]["diff_ids"] = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers]
    config["history"] = [{"created_by": "test"} for _ in layers]

    def keep(data: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(data).hexdigest()
        (folder / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(data), "digest": f"sha256:{digest}"}

    told = {
        "schemaVersion": 2,
        "mediaType": _TYPE,
        "config": keep(json.dumps(config).encode(), "container.image.v1+json"),
        "layers": [keep(gzip.compress(layer, 1), "image.rootfs.diff.tar.gzip") for layer in layers],
    }
    (folder / "manifest").write_text(json.dumps(told))


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
