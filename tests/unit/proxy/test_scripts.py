"""Which scripts JupyterLab loads first, from the words of its build."""

import json
import sys
from pathlib import Path

from hubwright.fields import Site
from hubwright.proxy import Descriptors, configuration
from hubwright.proxy.scripts import extensions, first, of_every_page

MAIN = """(()=>{async function(){let n=(await Promise.all([t.e(31),t.e(7),t.e(99)]).then(t.bind(t,81220))).main;n()}();
r.u=e=>""+(31===e?"core":e)+"."+({7:"0123456789abcdef"})[e]+".js";
r.consumesLoadingData={chunkMapping:{99:["500","501"],8:["502"]},moduleIdToConsumeDataMapping:{
500:{shareScope:"default",shareKey:"a",fallback:()=>Promise.all([r.e(31),r.e(8)]).then(()=>()=>r(1)),treeShakingMode:null},
501:{shareScope:"default",shareKey:"b",fallback:()=>r.e(7).then(()=>()=>r(2)),treeShakingMode:null},
502:{shareScope:"default",shareKey:"c",fallback:()=>r.e(9).then(()=>()=>r(3)),treeShakingMode:null},
503:{shareScope:"default",shareKey:"d",fallback:()=>r.e(10).then(()=>()=>r(4)),treeShakingMode:null}}}})()"""
HASH = "0123456789abcdef"


def test_chunks_are_followed_through_what_they_consume(tmp_path: Path) -> None:
    """Chunk 99 has no file of its own, and 10 is loaded by nothing that is loaded first."""
    for name in ("core", "7", "8", "9", "10"):
        (tmp_path / f"{name}.{HASH}.js").write_text("")
    (tmp_path / f"main.{HASH}.js").write_text(MAIN)
    (tmp_path / "style.js").write_text("")
    assert first(tmp_path) == tuple(f"{name}.{HASH}.js?v={HASH}" for name in ("main", "core", "7", "8", "9"))


def test_another_kind_of_build_gives_none(tmp_path: Path) -> None:
    assert first(tmp_path) == ()
    (tmp_path / f"main.{HASH}.js").write_text("import('./a.js')")
    assert first(tmp_path) == ()


def test_the_installed_jupyterlab_is_understood() -> None:
    """Its page loads some 40 scripts before it shows anything; the browser's test says whether they are these."""
    found = of_every_page(Path(sys.prefix))
    assert len(found) > 20 and found[0].startswith("main.") and found[1].startswith("jlab_core.")
    assert found[-1] == "extensions/hubwright/static/remoteEntry.js"


def test_extensions_are_loaded_with_their_parts_unless_these_are_large(tmp_path: Path) -> None:
    for name, size in (("@org/small", 10), ("large", 900_000), ("broken", 0)):
        static = tmp_path / name / "static"
        static.mkdir(parents=True)
        load = {"load": "static/remoteEntry.0.js"} if size else {}
        (tmp_path / name / "package.json").write_text(json.dumps({"jupyterlab": {"_build": load}}))
        (static / "remoteEntry.0.js").write_text("")
        (static / f"12.{'a' * 20}.js").write_text("x" * size)
    assert extensions(tmp_path) == (
        "extensions/@org/small/static/remoteEntry.0.js",
        f"extensions/@org/small/static/12.{'a' * 20}.js?v={'a' * 20}",
        "extensions/large/static/remoteEntry.0.js",
    )


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    site = Site(None, tmp_path, tmp_path / "run", tmp_path, "x", False, ("127.0.0.1", 1), "http://h/j/")
    assert "preload" not in str(configuration(site, Descriptors(3, 4)))
    assert "</j/a.js>; rel=preload; as=script, </j/b.js>; rel=preload" in str(
        configuration(site, Descriptors(3, 4), scripts=["/j/a.js", "/j/b.js"])
    )
