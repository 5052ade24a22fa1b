"""JupyterLab's shared files on disk."""

import gzip
import os
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.proxy.static import publish, sweep


@pytest.fixture
def site(tmp_path: Path) -> Site:
    prefix = tmp_path / "prefix"
    static = prefix / "share/jupyter/lab/static"
    (static / "sub").mkdir(parents=True)
    (static / "main.js").write_text("let a = 1;\n" * 1000)
    (static / "tiny.css").write_text("a")
    (static / "sub" / "font.woff2").write_bytes(os.urandom(2000))
    (static / "main.js.map").write_text("{}")
    extension = prefix / "share/jupyter/labextensions/@org/one/static"
    extension.mkdir(parents=True)
    (extension / "remoteEntry.js").write_text("let b;")
    return Site(None, tmp_path / "state", tmp_path / "run", prefix, "x", False, ("127.0.0.1", 1), "http://h/j/")


def test_files_can_be_read_by_caddy_s_account_whatever_the_umask(site: Site) -> None:
    old = os.umask(0o077)
    try:
        publish(site.prefix, site, lambda _: None)
    finally:
        os.umask(old)
    assert {p.stat().st_mode & 0o777 for p in site.static.rglob("*") if p.is_dir()} == {0o755}
    assert {p.stat().st_mode & 0o777 for p in site.static.rglob("*") if p.is_file()} == {0o644}


def test_files_are_laid_out_compressed_where_it_helps(site: Site) -> None:
    said: list[str] = []
    url = publish(site.prefix, site, said.append)
    assert url.startswith("/j/hubwright/lab/") and url.endswith("/") and len(said) == 1
    folder = site.static / "lab" / url.split("/")[-2]
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    own = [name for name in names if name.startswith("extensions/hubwright/")]
    assert "extensions/hubwright/static/remoteEntry.js" in own
    assert [name for name in names if name not in own] == [
        "extensions/@org/one/static/remoteEntry.js",
        "main.js",
        "main.js.gz",
        "sub/font.woff2",
        "tiny.css",
    ]
    assert gzip.decompress((folder / "main.js.gz").read_bytes()) == (folder / "main.js").read_bytes()
    assert {p.stat().st_mode & 0o777 for p in folder.rglob("*") if p.is_file()} == {0o644}


def test_the_same_build_is_laid_out_once_and_another_gets_another_address(site: Site) -> None:
    said: list[str] = []
    first = publish(site.prefix, site, said.append)
    assert publish(site.prefix, site, said.append) == first and len(said) == 1
    (site.prefix / "share/jupyter/lab/static/main.js").write_text("let a = 2;")
    assert publish(site.prefix, site, said.append) != first and len(said) == 2


def test_older_builds_go_when_no_server_uses_them_any_more(site: Site) -> None:
    """Whole or not at all: what could not be removed to the end is no build any more."""
    main, said, urls = site.prefix / "share/jupyter/lab/static/main.js", [], []
    for text in ("one", "two", "three"):
        main.write_text(text)
        urls.append(publish(site.prefix, site, said.append))
    record = site.servers / "k" / "server.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    before, since, after = 1_000_000, 1_000_010, 1_000_020
    os.utime(record, (before, before))
    sweep(site, urls[-1], since)
    assert {f.name for f in (site.static / "lab").iterdir()} == {url.split("/")[-2] for url in urls}
    os.utime(record, (after, after))
    (site.static / "lab" / ".new-1").mkdir()
    sweep(site, urls[-1], since)
    assert [f.name for f in (site.static / "lab").iterdir()] == [urls[-1].split("/")[-2]]
    assert publish(site.prefix, site, said.append) == urls[-1]


def test_a_missing_jupyterlab_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="Install JupyterLab"):
        publish(tmp_path / "nowhere", site, lambda _: None)


def test_a_folder_that_cannot_be_written_is_told(site: Site) -> None:
    site.state.write_text("in the way")
    with pytest.raises(MachineError, match="cannot be laid out"):
        publish(site.prefix, site, lambda _: None)
