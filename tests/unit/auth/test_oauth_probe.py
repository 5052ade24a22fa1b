"""What a provider's answer to the check says against this hub."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth import github, oauth_section

CALLBACK = "http://127.0.0.1:8000/hub/oauth_callback"
GOOGLE = "https://accounts.google.com/signin/oauth/error"
MISMATCH = f"{GOOGLE}?authError=ChVyZWRpcmVjdF91cmlfbWlzbWF0Y2gSsAE%3D&client_id=1.apps.googleusercontent.com"
"""base64 of `redirect_uri_mismatch`, as Google frames it."""
UNKNOWN = f"{GOOGLE}/v2?authError=Cg5pbnZhbGlkX2NsaWVudBIfVGhlIE9BdXRoIGNsaWVudCB3YXMgbm90IGZvdW5kLg&flowName=General"
LOGIN = "https://accounts.google.com/v3/signin/identifier?redirect_uri=https%3A%2F%2Fhub.example.org&flowName=General"


@pytest.fixture
def provider():
    """A provider that answers every question in one way: `provider.answer = (status, location)`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, location = server.answer
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def probed(provider, location, status=302):
    provider.answer = (status, location)
    section = github.Config(client_id="hub")
    return [*oauth_section.probe(section, site(), f"{provider.address}/o/oauth2/v2/auth", None, "")]


@pytest.mark.parametrize(
    ("location", "where", "words"),
    [
        (MISMATCH, "hub.yaml hub.url", CALLBACK),
        (UNKNOWN, "hub.yaml auth.client_id", "refuses this hub"),
        (GOOGLE, "hub.yaml auth.client_id", "refuses this hub"),
        (f"{GOOGLE}?authError=%%%", "hub.yaml auth.client_id", "refuses this hub"),
    ],
)
def test_googles_error_page_is_understood(provider, location, where, words):
    """It comes as a plain redirection, with the words in base64."""
    (problem,) = probed(provider, location)
    assert (problem.where, problem.severity) == (where, "error")
    assert words in problem.what


def test_a_login_page_is_no_error(provider):
    """Although the callback address stands in it."""
    assert probed(provider, LOGIN) == [] and probed(provider, "", 200) == []


def test_github_has_its_callback_address_compared_by_hand(provider):
    provider.answer = (302, f"{provider.address}/login?return_to=x")
    (problem,) = github.probe(github.Config(client_id="hub", server=provider.address), site())
    assert (problem.severity, CALLBACK in problem.remedy) == ("warning", True)


def test_a_provider_that_is_not_there_is_named(provider):
    provider.server_close()
    (problem,) = github.probe(github.Config(client_id="hub", server=provider.address), site())
    assert provider.address in problem.what and "cannot be reached" in problem.what
