"""Pages of one's own beside the hub: by another name, and around the hub's path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubwright.proxy.serving import Apex, Serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "www"
    (made / "sub").mkdir(parents=True)
    for name in ("index.html", "sub/index.html", "a.css", ".secret"):
        (made / name).write_text(f"page {name}")
    (tmp_path / "outside").write_text("outside")
    return made


def by(front: Any, host: str, path: str) -> Any:
    return front.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


def test_another_name_has_the_pages_and_the_hub_keeps_its_own(make_front: Callable[..., Any], folder: Path) -> None:
    front = make_front(serving=Serving(apex=Apex(str(folder), "camp.test", False)))
    front.serve("/user/ann/", "ann")
    for path, text in (("/", "page index.html"), ("/a.css", "page a.css"), ("/sub/", "page sub/index.html")):
        assert by(front, "camp.test", path).body.decode() == text
        assert by(front, "CAMP.test:8443", path).body.decode() == text
        assert by(front, "hub.camp.test", path).who == "hub"
    for path in ("/hub/login", "/user/ann/x", "/.secret", "/../outside", "/%2e%2e/outside", "/sub/..%2f..%2foutside"):
        assert by(front, "camp.test", path).status in (400, 404), path
    assert by(front, "hub.camp.test", "/user/ann/x").who == "ann"
    assert by(front, "camp.test", "/").headers["x-content-type-options"] == "nosniff"


def test_around_the_hubs_path_are_the_pages(make_front: Callable[..., Any], folder: Path) -> None:
    front = make_front("/lab/", serving=Serving(apex=Apex(str(folder), "127.0.0.1", True)))
    front.serve("/lab/user/ann/", "ann")
    assert by(front, "any", "/").body == b"page index.html"
    assert by(front, "any", "/a.css").body == b"page a.css"
    assert by(front, "any", "/laboratory").status == 404
    assert by(front, "any", "/lab/user/ann/x").who == "ann"
    for path in ("/lab/hub/x", "/lab/", "/lab"):
        assert by(front, "any", path).who == "hub"
