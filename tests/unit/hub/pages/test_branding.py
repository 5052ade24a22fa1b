"""Logo, message of the day and templates: each mistake in one sentence, and the message ends by itself."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jupyterhub._data import DATA_FILES_PATH

from hubwright.config.model import HubSection
from hubwright.fields import Site
from hubwright.hub.pages import TEMPLATES, branding
from hubwright.machine.files import hidden_from

TODAY = date(2026, 3, 14)
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(
        config=tmp_path / "hub.yaml",
        state=tmp_path / "state",
        run=tmp_path / "run",
        prefix=Path("/opt/hubwright"),
        account="nobody",
        privileged=False,
        listen=("127.0.0.1", 8000),
        public_url="http://127.0.0.1:8000/",
    )


def wrong(site, **section):
    return [str(problem) for problem in branding.check(HubSection.model_validate(section), site, TODAY)]


def test_nothing_of_it_is_needed(site):
    assert wrong(site) == []
    found = branding.settings(HubSection(), site)
    assert found["template_paths"] == [str(path) for path in TEMPLATES]
    assert "logo_file" not in found
    assert "hub_message" not in found["template_vars"]


def test_all_of_it_lies_beside_hub_yaml(site, tmp_path):
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "login.html").write_text('{% extends "hubwright/login.html" %}')
    section = {"logo": "logo.png", "templates": "mine", "message": {"text": "Hello", "until": "2026-03-14"}}
    assert wrong(site, **section) == []
    found = branding.settings(HubSection.model_validate(section), site)
    assert found["logo_file"] == str(tmp_path / "logo.png")
    assert found["template_paths"][0] == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.png", None, "there is no file"),
        ("logo.txt", b"text", "is no image that browsers show"),
        ("logo.png", b"<svg/>", "is not the image that its ending .png says"),
        ("logo.png", PNG * 20_000, "is larger than 1024 kB"),
        ("logo.svg", b"<svg><SCRIPT>alert(1)</SCRIPT></svg>", "holds a script"),
        ("logo.svg", b"\xef\xbb\xbf\n<?xml version='1.0'?><svg></svg>", None),
        ("logo.jpg", b"\xff\xd8\xff\xe0", None),
    ],
)
def test_a_logo_is_looked_at(site, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = wrong(site, logo=name)
    assert (words in found[0] and found[0].startswith("hub.yaml hub.logo: ")) if words else found == []


def test_templates_are_looked_at(site, tmp_path):
    assert "there is no folder" in wrong(site, templates="mine")[0]
    mine = tmp_path / "mine"
    mine.mkdir()
    assert "holds no template" in wrong(site, templates="mine")[0]
    (mine / "page.html").write_text("<p>\n{% block %}</p>")
    (found,) = wrong(site, templates="mine")
    assert f"{mine}/page.html:2 is no template" in found


def test_a_message_ends_by_itself(site):
    section = HubSection.model_validate({"message": {"text": "Hello", "until": "2026-03-13"}})
    told = branding.settings(section, site)["template_vars"]["hub_message"]
    assert branding.message(told, date(2026, 3, 13)) == "Hello"
    assert branding.message(told, TODAY) == ""
    (found,) = branding.check(section, site, TODAY)
    assert found.severity == "warning"
    assert "is over since 2026-03-13" in found.what
    assert branding.message({"text": "For ever", "until": None}, TODAY) == "For ever"


@pytest.mark.root
def test_what_the_hubs_account_may_not_read_is_said(site, tmp_path):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    (shut / "logo.png").write_bytes(PNG)
    assert hidden_from(shut / "logo.png", "root") is None
    found = wrong(replace(site, privileged=True), logo="shut/logo.png")
    assert "the hub's account nobody may not read" in found[0]


def test_a_template_of_ones_own_extends_ours_and_ours_all_compile(site, tmp_path):
    """The loader is made as JupyterHub makes it (app.py, init_tornado_settings)."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "page.html").write_text(
        '{% extends "hubwright/page.html" %}{% block main %}<p id="mine">{{ hub_name }}</p>{% endblock %}'
    )
    found = branding.settings(HubSection(name="<b>Lab</b>", templates="mine"), site)
    stock = str(Path(DATA_FILES_PATH, "templates"))
    loader = ChoiceLoader(
        [
            PrefixLoader({"templates": FileSystemLoader([stock])}, "/"),
            FileSystemLoader([*found["template_paths"], stock]),
        ]
    )
    templates = Environment(loader=loader, autoescape=True)
    for path in TEMPLATES[0].glob("*.html"):
        templates.get_template(path.name)
    words = {
        **found["template_vars"],
        "static_url": lambda path, **more: path,
        "hub_message": "<script>",
        "parsed_scopes": {},
        "base_url": "/",
    }
    text = templates.get_template("page.html").render(words)
    assert '<p id="mine">&lt;b&gt;Lab&lt;/b&gt;</p>' in text
    assert "&lt;script&gt;" in text
    assert "pages.css" in text
