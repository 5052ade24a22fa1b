"""Pages of one's own beside the hub: the section `static`, its check, and its part of Caddy's configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubwright.errors import Problem
from hubwright.fields import Site, shown
from hubwright.machine.files import hidden_from, weak_component
from hubwright.proxy.https.self_made import check_name
from hubwright.proxy.serving import Apex, file_of, host_of


class Static(BaseModel):
    """Pages of your own: at another name than the hub's, or at the same when the hub has a path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(
        min_length=1,
        max_length=1000,
        description="The folder of the pages, with an `index.html`; named from the folder of hub.yaml. Only root may "
        "be able to write there. Files that begin with a dot are not shown.",
        examples=["/srv/www"],
    )
    name: Annotated[str, AfterValidator(check_name)] | None = Field(
        default=None,
        description="Their name in browsers, `example.org` beside a hub at `notebooks.example.org`; "
        "without it that of `hub.url`, which then needs a path.",
        examples=["example.org"],
    )


def apex_of(static: Static | None, site: Site) -> Apex | None:
    """Return what Caddy is told; None where there are no pages."""
    if static is None:
        return None
    return Apex(str(folder_of(static, site)), static.name or host_of(site.public_url), static.name is None)


def check(static: Static | None, site: Site, covers: Callable[[str], bool] = lambda host: True) -> Iterator[Problem]:
    """Yield what keeps the pages from being shown, or what would show more than them.

    `covers` tells whether the certificate is for a name.
    """
    if static is None:
        return
    if static.name is None and site.base_url == "/":
        what = "would stand where the hub is."
        remedy = "Give the hub a path (`hub.url: https://example.org/hub/`), or the pages another name in static.name."
        yield Problem("hub.yaml static", what, remedy)
    if static.name == host_of(site.public_url):
        yield Problem("hub.yaml static.name", f"is the hub's own name, {shown(static.name)}.", "Leave it out.")
    if static.name and not covers(static.name):
        remedy = "Browsers will refuse it: add the name to https.names, or use a certificate for both names."
        yield Problem("hub.yaml static.name", f"the certificate is not for {static.name}.", remedy, "warning")
    folder = folder_of(static, site)
    place = "hub.yaml static.folder"
    if not folder.is_dir():
        yield Problem(place, f"there is no folder {folder}.", "Make it, with an index.html in it.")
    elif site.privileged and (weakness := weak_component(folder)):
        what = f"{weakness}, and whoever puts a link there could show the service's secrets."
        yield Problem(place, what, "Give it to root, who alone may write there.")
    elif site.privileged and (hidden := hidden_from(folder, site.account)):
        yield Problem(place, f"{hidden} cannot be read by {site.account}.", f"chmod o+rx {hidden}")
    elif not (folder / "index.html").is_file():
        yield Problem(place, f"{folder} has no index.html.", "Write one: it is the first page.", "warning")


def pages(site: Site, apex: Apex | None) -> list[dict[str, Any]]:
    """Return the route for the pages: by their name, and at the hub's own name for what is not below its path."""
    if apex is None:
        return []
    match: dict[str, Any] = {"host": [apex.host]}
    if apex.beside:
        bare = site.base_url.rstrip("/")
        match = {"not": [{"path": [f"{site.base_url}*", bare]}]}
    files = {"handler": "file_server", "root": apex.folder, "hide": [".*"], "index_names": ["index.html"]}
    return [{"match": [match], "terminal": True, "handle": [files]}]


def folder_of(static: Static, site: Site) -> Path:
    """Return the folder of the pages, whether it is there or not."""
    return file_of(static.folder, site).absolute()
