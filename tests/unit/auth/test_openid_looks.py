"""Asking a provider again about somebody who is in: what ends a stay, and what must not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jwt
import pytest
from jupyterhub import orm
from tests.unit.auth.test_openid_tokens import OTHER, OURS, make

from hubwright.auth.identities import Known
from hubwright.auth.openid import OpenIDAuthenticator
from hubwright.auth.rule import Rule
from hubwright.errors import NotRunning

ADA = Known("ada", "oidc", "7", "ada", ("lab",), 1.0)


class _Provider(ThreadingHTTPServer):
    """A small provider: each refresh token is good for one use, each access token until the next refresh."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key, self.kid, self.number, self.refreshes = OURS, "1", 1, 0
        self.told = {"sub": "7", "preferred_username": "ada", "groups": ["lab"]}
        self.signs_again, self.subject, self.status = True, "7", 200
        self.words = ""
        self.told_to = "a1"  # the access token that is good

    def id_token(self, **changes):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "hub", "sub": self.subject, "iat": now, "exp": now + 300} | changes
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid})

    def tokens(self):
        return {"access_token": f"a{self.number}", "refresh_token": f"r{self.number}", "token_type": "Bearer"}

    def end_access(self):
        """Let the access token be too old; its refresh token is still good."""
        self.told_to = ""

    def answer(self, path, body, bearer):
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "auth", "token_endpoint": "token", "userinfo_endpoint": "me"}
            return 200, {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | {
                name: f"{self.issuer}/{end}" for name, end in ends.items()
            }
        if path == "/keys":
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return 200, {"keys": [key | {"kid": self.kid, "use": "sig"}]}
        if self.status != 200:
            return self.status, {}
        if path == "/token":
            if parse_qs(body)["refresh_token"] != [f"r{self.number}"]:
                return 400, {"error": "invalid_grant", "error_description": self.words}
            self.number, self.refreshes = self.number + 1, self.refreshes + 1
            self.told_to = f"a{self.number}"
            return 200, self.tokens() | ({"id_token": self.id_token()} if self.signs_again else {})
        if bearer != f"Bearer {self.told_to}":
            return 401, {"error": "invalid_token"}
        return 200, self.told


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status, found = self.server.answer(self.path, body, self.headers.get("Authorization", ""))
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def provider():
    server = _Provider()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def enter(tmp_path, provider):
    """Let Ada in, by a code that the provider has answered with these tokens."""

    async def enter(**token):
        settings = {"issuer": provider.issuer, "login_service": "the login", "rule": Rule(everybody=True).plain()}
        one = make(OpenIDAuthenticator, tmp_path, **settings)

        async def answered(handler, params):
            return provider.tokens() | {"id_token": provider.id_token()} | token

        asked, one.get_token_info = one.get_token_info, answered
        one.build_access_tokens_request_params = lambda handler, data: {}
        assert (await one.authenticate(None))["name"] == "ada"
        one.get_token_info = asked
        return one

    return enter


async def test_an_id_token_that_has_expired_since_ends_nothing(enter, provider):
    """It was valid at the login; how long somebody may stay is the access token's matter."""
    one = await enter(id_token=provider.id_token(exp=int(time.time()) - 58))  # within the leeway, and soon not
    await asyncio.sleep(2.5)
    provider.told["groups"] = ["new"]
    assert (await one.look_up(ADA)).groups == {"new"}


async def test_new_keys_of_the_provider_end_nothing(enter, provider):
    one = await enter()
    provider.key, provider.kid = OTHER, "2"
    one._keys = None
    assert (await one.look_up(ADA)).login == "ada"
    provider.end_access()
    assert (await one.look_up(ADA)).login == "ada"  # a new ID token, with the new key


@pytest.mark.parametrize("signs_again", [True, False])
async def test_a_refresh_keeps_whom_the_login_was_of(enter, provider, signs_again):
    one = await enter()
    provider.signs_again = signs_again
    for count in (1, 2):
        provider.end_access()
        assert (await one.look_up(ADA)).login == "ada"
        assert provider.refreshes == count


async def test_looks_at_once_use_a_refresh_token_once(enter, provider):
    one = await enter()
    provider.end_access()
    found = await asyncio.gather(*(one.look_up(ADA) for _ in range(8)))
    assert {person.login for person in found} == {"ada"}
    assert provider.refreshes == 1


async def test_a_provider_that_does_not_answer_says_nothing_against_anybody(enter, provider):
    one = await enter()
    for status in (500, 503, 429):
        provider.status = status
        with pytest.raises(NotRunning):
            await one.look_up(ADA)
    provider.status = 200
    provider.told["groups"] = ["new"]
    assert (await one.look_up(ADA)).groups == {"new"}  # and it is asked again when it does


async def test_a_bad_id_token_of_a_refresh_is_no_word_about_the_person(enter, provider):
    one = await enter()
    provider.key = OTHER
    one._key = one_key(OURS)
    provider.end_access()
    with pytest.raises(NotRunning, match="after a refresh"):
        await one.look_up(ADA)
    assert (await one.look_up(ADA)).login == "ada"


def one_key(key):
    async def known(kid):
        return key.public_key()

    return known


async def test_who_is_another_now_is_out(enter, provider):
    one = await enter()
    provider.told = provider.told | {"sub": "8"}
    assert await one.look_up(ADA) is None
    provider.told = provider.told | {"sub": "7"}
    assert (await one.look_up(ADA)).login == "ada"
    provider.subject = "8"
    provider.end_access()
    assert await one.look_up(ADA) is None  # the new ID token is another's


@pytest.mark.parametrize("words", ["User disabled", "AADSTS50034: The user account does not exist", "user not found"])
async def test_a_grant_that_ended_with_the_account_ends_the_stay(enter, provider, words):
    one = await enter()
    provider.number, provider.words = provider.number + 1, words
    provider.end_access()
    assert await one.look_up(ADA) is None


@pytest.mark.parametrize("words", ["Session not active", "Token is not active", "AADSTS700082: expired", ""])
async def test_a_session_that_ended_asks_for_a_new_login_and_ends_nothing(enter, provider, words):
    """Of `invalid_grant` alone nobody knows whether the person is gone, or only the provider's own session."""
    one = await enter()
    provider.number, provider.words = provider.number + 1, words
    provider.end_access()
    for _ in range(2):  # the hub has nothing to ask with from then on, and remembers
        verdict, groups = await one.standing("ada")
        assert (verdict.allowed, verdict.renew, groups) == (True, True, None)
        assert await one.refresh_user(orm.User(name="ada")) is False, "a browser logs in again"


async def test_without_a_token_the_last_login_counts_for_some_time(enter, provider):
    one = await enter(refresh_token="")
    del one._logins["oidc", "7"].token["refresh_token"]
    provider.end_access()
    found = await asyncio.gather(*(one.standing("ada") for _ in range(4)))
    assert {(verdict.allowed, verdict.renew) for verdict, _ in found} == {(True, False)}
    assert (await one.refresh_user(orm.User(name="ada")))["groups"] == ["lab"]
    for days, allowed, renew in ((6.9, True, False), (7.1, True, True), (13.9, True, True), (14.1, False, False)):
        with one.identities._kept.change() as kept:
            kept["names"]["ada"][0]["seen"] = time.time() - days * 86400
        verdict, _ = await one.standing("ada")
        assert (verdict.allowed, verdict.renew) == (allowed, renew), days
    assert "14.1 days" in verdict.detail
    provider.told_to = "a1"
    one = await enter()  # a new login is a new beginning
    assert (await one.standing("ada"))[0].allowed
