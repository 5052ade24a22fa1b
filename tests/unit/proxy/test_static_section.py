"""The section `static`: what would hide the hub, show secrets, or show nothing."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hubwright.fields import Site
from hubwright.proxy.apex import Static, apex_of, check
from hubwright.proxy.outer import caddy, nginx, outer


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can enter, and only its owner writes."""
    with tempfile.TemporaryDirectory(dir="/var/lib" if os.geteuid() == 0 else None) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def site(folder: Path) -> Site:
    listen, url = ("0.0.0.0", 443), "https://hub.camp.test/"
    return Site(
        folder / "hub.yaml", folder / "s", folder / "r", Path(sys.prefix), "nobody", os.geteuid() == 0, listen, url
    )


def told(static: Static, site: Site) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in check(static, site)]


def test_the_pages_have_a_place_of_their_own(site: Site, folder: Path) -> None:
    (folder / "index.html").write_text("x")
    assert told(Static(folder=".", name="camp.test"), site) == []
    assert told(Static(folder="."), replace(site, public_url="https://camp.test/hub/")) == []
    assert told(Static(folder="."), site) == ["hub.yaml static: would stand where the hub is."]
    own = Static(folder=".", name="hub.camp.test")
    assert told(own, site) == ['hub.yaml static.name: is the hub\'s own name, "hub.camp.test".']


def test_a_name_that_the_certificate_is_not_for_is_told(site: Site, folder: Path) -> None:
    (folder / "index.html").write_text("x")
    pages = Static(folder=".", name="camp.test")
    (found,) = check(pages, site, lambda host: host != "camp.test")
    assert (found.severity, str(found)) == (
        "warning",
        "hub.yaml static.name: the certificate is not for camp.test. "
        "Browsers will refuse it: add the name to https.names, or use a certificate for both names.",
    )
    assert list(check(pages, site, lambda host: host == "camp.test")) == []


def test_a_folder_that_is_not_there_or_has_no_first_page_is_named(site: Site, folder: Path) -> None:
    assert told(Static(folder="www", name="camp.test"), site) == [
        f"hub.yaml static.folder: there is no folder {folder}/www."
    ]
    assert told(Static(folder=".", name="camp.test"), site) == [f"hub.yaml static.folder: {folder} has no index.html."]


@pytest.mark.root
def test_a_folder_that_others_write_or_the_service_cannot_read_is_refused(site: Site, folder: Path) -> None:
    folder.chmod(0o777)
    (found,) = told(Static(folder=".", name="camp.test"), site)
    assert "can be written by others than root" in found and "could show the service's secrets" in found
    folder.chmod(0o711)
    (found,) = told(Static(folder=".", name="camp.test"), site)
    assert found == f"hub.yaml static.folder: {folder} cannot be read by nobody."


def test_a_proxy_before_it_passes_both_names_on(site: Site) -> None:
    apex = apex_of(Static(folder=".", name="camp.test"), site)
    before = outer(site, None, None, None, apex)
    assert "server_name hub.camp.test camp.test;" in nginx(before)
    assert "certbot certonly --webroot -w /var/www/html -d hub.camp.test -d camp.test\n" in nginx(before)
    assert "hub.camp.test, camp.test {" in caddy(before, own_certificate=False)
    path = replace(site, public_url="https://camp.test/hub/")
    assert "location / {" in nginx(outer(path, None, None, None, apex_of(Static(folder="."), path)))
