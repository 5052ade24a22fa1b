"""What a provider's answer to the check says against this hub."""

from __future__ import annotations

import httpx
import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth import github, oauth_section

CALLBACK = "http://127.0.0.1:8000/hub/oauth_callback"
GOOGLE = "https://accounts.google.com/signin/oauth/error"
MISMATCH = f"{GOOGLE}?authError=ChVyZWRpcmVjdF91cmlfbWlzbWF0Y2gSsAE%3D&client_id=1.apps.googleusercontent.com"
"""base64 of `redirect_uri_mismatch`, as Google frames it."""
UNKNOWN = f"{GOOGLE}/v2?authError=Cg5pbnZhbGlkX2NsaWVudBIfVGhlIE9BdXRoIGNsaWVudCB3YXMgbm90IGZvdW5kLg&flowName=General"
LOGIN = "https://accounts.google.com/v3/signin/identifier?redirect_uri=https%3A%2F%2Fhub.example.org&flowName=General"


def probed(monkeypatch, location, status=302):
    answer = httpx.Response(status, headers={"Location": location} if location else {})
    monkeypatch.setattr(oauth_section.httpx, "get", lambda *_, **__: answer)
    section = github.Config(client_id="hub")
    return [*oauth_section.probe(section, site(), "https://accounts.google.com/o/oauth2/v2/auth", None, "")]


@pytest.mark.parametrize(
    ("location", "where", "words"),
    [
        (MISMATCH, "hub.yaml hub.url", CALLBACK),
        (UNKNOWN, "hub.yaml auth.client_id", "refuses this hub"),
        (GOOGLE, "hub.yaml auth.client_id", "refuses this hub"),
        (f"{GOOGLE}?authError=%%%", "hub.yaml auth.client_id", "refuses this hub"),
    ],
)
def test_googles_error_page_is_understood(monkeypatch, location, where, words):
    """It comes as a plain redirection, with the words in base64."""
    (problem,) = probed(monkeypatch, location)
    assert (problem.where, problem.severity) == (where, "error")
    assert words in problem.what


def test_a_login_page_is_no_error(monkeypatch):
    """Although the callback address stands in it."""
    assert probed(monkeypatch, LOGIN) == [] and probed(monkeypatch, "", 200) == []


def test_github_has_its_callback_address_compared_by_hand(monkeypatch):
    answer = httpx.Response(302, headers={"Location": "https://github.com/login?return_to=x"})
    monkeypatch.setattr(oauth_section.httpx, "get", lambda *_, **__: answer)
    (problem,) = github.probe(github.Config(client_id="hub"), site())
    assert (problem.severity, CALLBACK in problem.remedy) == ("warning", True)
