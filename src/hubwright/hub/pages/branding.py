"""What makes the pages a place's own: logo, message of the day, templates; settings of the `hub` section."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from hubwright.config.model import HubSection
from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.hub.pages import TEMPLATES
from hubwright.machine.files import hidden_from, weak_component

LARGEST = 1024 * 1024
"""Bytes of a logo that every page may ask for."""
_KINDS = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".gif": (b"GIF87a", b"GIF89a"),
    ".webp": (b"RIFF",),
    ".svg": (b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg"),
}
"""How an image of each kind begins; by its ending a browser is told what it is."""


def settings(section: HubSection, site: Site) -> dict[str, Any]:
    """Return JupyterHub's settings for templates and logo."""
    own = [str(_path(section.templates, site))] if section.templates else []
    variables: dict[str, Any] = {"hub_name": section.name}
    if section.message:
        variables["hub_message"] = section.message.model_dump(mode="json")
    found: dict[str, Any] = {"template_paths": [*own, *(str(path) for path in TEMPLATES)], "template_vars": variables}
    if section.logo:
        variables["hub_logo"] = True
        found["logo_file"] = str(_path(section.logo, site))
    return found


def message(told: dict[str, Any], today: date) -> str:
    """Return the message of the day, as `settings` wrote it; an empty text after its last day."""
    until = told.get("until")
    return "" if until and today > date.fromisoformat(until) else str(told["text"])


def check(section: HubSection, site: Site, today: date) -> Iterator[Problem]:
    """Yield what of it cannot be used, or is worth a look."""
    if section.logo and (found := _wrong_logo(_path(section.logo, site), site)):
        yield Problem("hub.yaml hub.logo", *found)
    if section.templates:
        yield from _wrong_templates(_path(section.templates, site), site)
    if section.message and section.message.until and section.message.until < today:
        what = f"is over since {section.message.until}, so the message is not shown."
        yield Problem("hub.yaml hub.message.until", what, "Take it out, or give it a later day.", "warning")


def _path(name: str, site: Site) -> Path:
    """Return a file's place: beside hub.yaml, when it is no whole path."""
    return (site.config.parent if site.config else Path()) / name


def _wrong_logo(path: Path, site: Site) -> tuple[str, str] | None:
    kinds = ", ".join(_KINDS)
    if path.suffix.lower() not in _KINDS:
        return f"{path.name} is no image that browsers show, by its ending.", f"Use one of {kinds}."
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except FileNotFoundError:
        return f"there is no file {path}.", "Name it from the folder of hub.yaml, or with its whole path."
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}.", "Name an image."
    if content is None:
        return f"{path} is larger than {LARGEST // 1024} kB, and every page shows it.", "Make it smaller."
    begins = content.lstrip(b"\xef\xbb\xbf \r\n\t") if path.suffix.lower() == ".svg" else content
    if not begins.startswith(_KINDS[path.suffix.lower()]):
        return f"{path} is not the image that its ending {path.suffix} says.", f"Use one of {kinds}."
    if path.suffix.lower() == ".svg" and b"<script" in content.lower():
        return f"{path} holds a script.", "Use a drawing without one."
    return _hidden(path, site)


def _wrong_templates(folder: Path, site: Site) -> Iterator[Problem]:
    from jinja2 import Environment, TemplateSyntaxError

    where = "hub.yaml hub.templates"
    if not folder.is_dir():
        what = f"{folder} is no folder." if folder.exists() else f"there is no folder {folder}."
        yield Problem(where, what, "Name it from the folder of hub.yaml, or with its whole path.")
        return
    files = sorted(folder.glob("*.html"))
    if not files:
        yield Problem(where, f"{folder} holds no template, such as page.html.", severity="warning")
    for path in (folder, *files):
        if found := _hidden(path, site):
            yield Problem(where, *found)
            return
    for path in files:
        try:
            Environment(autoescape=True).parse(path.read_text())
        except TemplateSyntaxError as error:
            yield Problem(where, f"{path}:{error.lineno} is no template: {error.message}.")
        except (OSError, UnicodeDecodeError) as error:
            yield Problem(where, f"{path} cannot be read: {error}.")
    if site.privileged and (weakness := weak_component(folder)):
        what = f"whoever changes a template there changes the hub, and {weakness}."
        yield Problem(where, what, "Put it where only root may write.", "warning")


def _hidden(path: Path, site: Site) -> tuple[str, str] | None:
    if not site.privileged or not (place := hidden_from(path, site.account)):
        return None
    return f"the hub's account {site.account} may not read {place}.", "Put it below /etc or /srv, or open it to others."
