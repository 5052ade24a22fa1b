"""pharma-docker row 10: templates of one's own are what people are sent, by the running hub and its own account."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.conftest import Account
from tests.integration.auth.hub import Browser
from tests.integration.conftest import PAM
from tests.running import PLAIN, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

PAGES = Path(__file__).parents[2] / "docs" / "pages.md"
EVERY_PAGE = """\
{% extends "hubwright/page.html" %}
{% block footer %}
  {{ super() }}
  <p id="imprint">{{ hub_name }} is run by the physics department.</p>
{% endblock %}
"""
WITHOUT_OURS = '{% extends "templates/home.html" %}{% block main %}<p id="own-home">{{ user.name }}</p>{% endblock %}'


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    """One whose login page is the one that the documentation shows, with further templates."""
    made = service(PAM.replace("hub:\n", "hub:\n  name: Physics Lab\n  templates: mine\n"))
    (shown,) = re.findall(r"```jinja\n(.*?)```", PAGES.read_text(), re.DOTALL)
    folder = made.folder / "mine"
    folder.mkdir()
    for name, text in {"login.html": shown, "page.html": EVERY_PAGE, "home.html": WITHOUT_OURS}.items():
        (folder / name).write_text(text)
    return made.up()


def test_the_login_page_of_the_documentation_is_served(running: Service) -> None:
    page = httpx.get(f"{running.url}/hub/login", timeout=30, **PLAIN).text
    assert "Your account is that of the computer pool." in page
    assert 'name="password"' in page, "with the form"
    assert "pages.css" in page, "and our style"


def test_a_page_of_ones_own_is_the_ground_of_all_of_ours(running: Service, person: Account) -> None:
    """Ours extend `page.html`, and so does JupyterHub's own admin page; one that replaces ours is served as it is."""
    browser = Browser(running.url)
    with browser.client:
        for path in ("/hub/login", "/hub/nowhere"):
            assert "Physics Lab is run by the physics department." in browser.get(path).text, path
        assert browser.login(person.name, person.password).status_code == 302
        for path in ("/hub/token", "/hub/overview"):
            assert "is run by the physics department." in browser.get(path).text, path
        home = browser.get("/hub/home").text
        assert f'<p id="own-home">{person.name}</p>' in home


def test_a_template_that_breaks_is_named_before_it_is_served(running: Service) -> None:
    broken = running.folder / "mine" / "error.html"
    broken.write_text("<p>\n{% block main %}")
    try:
        done = running.cli("check", check=False)
        assert done.returncode and f"{broken}:" in done.stdout + done.stderr
        assert "is no template" in done.stdout + done.stderr
    finally:
        broken.unlink()
