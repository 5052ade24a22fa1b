"""Style, scripts and plots of the pages: files with their hash in the address, which a browser asks for once."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from tornado.web import StaticFileHandler

from hubwright.hub.pages import HERE

FOLDER = HERE / "assets"
PATTERN = r"/hubwright/assets/([0-9a-f]{16})/([a-z_]+\.(?:js|css))"


@cache
def fingerprint() -> str:
    """Return sixteen hexadecimal digits that change with any of the files."""
    digest = sha256()
    for path in sorted(FOLDER.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def address(base_url: str) -> str:
    """Return the folder's address on a service whose base URL is `/` or `/name/`."""
    return f"{base_url}hub/hubwright/assets/{fingerprint()}/"


class AssetHandler(StaticFileHandler):
    """Serves them to everybody: they are the same for all, and hold nothing."""

    def initialize(self) -> None:
        """Serve our folder only."""
        super().initialize(str(FOLDER))

    async def get(self, found: str, path: str, include_body: bool = True) -> None:
        """Send a file."""
        self.current = found == fingerprint()
        await super().get(path, include_body)

    async def head(self, found: str, path: str) -> None:
        """Send a file's headers."""
        await self.get(found, path, include_body=False)

    def set_extra_headers(self, path: str) -> None:
        """An address with today's hash never means another file; one of an earlier version is asked for again."""
        self.set_header("Cache-Control", "public, max-age=31536000, immutable" if self.current else "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
