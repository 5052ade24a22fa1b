"""ID tokens that must not open the hub, and what of a person becomes name and groups."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hubwright.auth import github, google, oidc
from hubwright.auth.github.authenticator import GitHubAuthenticator
from hubwright.auth.openid import OpenIDAuthenticator, check_metadata
from hubwright.errors import Refused

ISSUER = "https://login.example.org"
OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = OURS.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def make(cls, folder, **settings):
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    path = folder / "secrets" / "x.secret"
    path.write_text("s" * 40)
    path.chmod(0o600)
    return cls(state=str(folder), secret_file=str(path), client_id="hub", provider="oidc", **settings)


@pytest.fixture
def openid(tmp_path):
    one = make(OpenIDAuthenticator, tmp_path, issuer=ISSUER, login_service="the lab's login")
    one._metadata = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OURS.public_key())) | {"kid": "1", "use": "sig"}
    one._keys = jwt.PyJWKSet.from_dict({"keys": [key]})

    async def no_other_keys(*args, **kwargs):
        return {"keys": [key]}

    one.httpfetch = no_other_keys
    return one


def token(key=OURS, algorithm="RS256", kid="1", without=(), **changes):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "hub", "sub": "7", "iat": now, "exp": now + 300} | changes
    claims = {name: value for name, value in claims.items() if name not in without}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


async def entering(openid, text, told):
    """Return whom a login with an ID token and an answer of the provider is of."""
    signed = {"id_token": text}
    return await openid.person(signed, await openid.signed(signed), told)


async def test_a_signed_token_names_the_person(openid):
    person = await entering(openid, token(), {"sub": "7", "preferred_username": "ada", "groups": ["lab"]})
    assert (str(person), person.subject, person.groups) == ("oidc:ada", "7", {"lab"})


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "a.b.c",
        token(key=None, algorithm="none"),
        token(key=OTHER),
        token(key="s" * 40, algorithm="HS256"),
        token(kid="unknown"),
        token(aud="another client"),
        token(iss="https://evil.org"),
        token(exp=int(time.time()) - 3600),
        token(iat=int(time.time()) + 3600),
        token(without=("exp",)),
        token(without=("sub",)),
        token(without=("aud",)),
        token()[:-8] + "AAAAAAAA",
    ],
)
async def test_unsigned_expired_and_foreign_tokens_are_refused(openid, text):
    with pytest.raises(Refused):
        await entering(openid, text, {"sub": "7", "preferred_username": "ada"})


async def test_the_public_key_is_no_secret_to_sign_with(openid):
    """The old trick: HS256, with the provider's public key as the shared secret."""
    import base64
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "kid": "1"}).encode())
    body = part(json.dumps({"iss": ISSUER, "aud": "hub", "sub": "7", "iat": 1, "exp": 2**33}).encode())
    seal = part(hmac.new(PUBLIC, f"{head}.{body}".encode(), hashlib.sha256).digest())
    with pytest.raises(Refused):
        await entering(openid, f"{head}.{body}.{seal}", {"sub": "7", "preferred_username": "ada"})


async def test_answers_about_two_people_are_refused(openid):
    with pytest.raises(Refused, match="two people"):
        await entering(openid, token(), {"sub": "8", "preferred_username": "ada"})


async def test_a_missing_name_or_strange_groups_are_told_or_left_out(openid):
    with pytest.raises(Refused, match="preferred_username"):
        await entering(openid, token(), {"sub": "7"})
    with pytest.raises(Refused, match="preferred_username"):
        await entering(openid, token(), {"sub": "7", "preferred_username": ["ada"]})
    openid.groups_claim = "realm_access.roles"
    for given, groups in (({"roles": ["a", "b"]}, {"a", "b"}), ({"roles": "a"}, {"a"}), ("x", set()), (None, set())):
        told = {"sub": "7", "preferred_username": "ada", "realm_access": given}
        assert (await entering(openid, token(), told)).groups == groups


async def test_a_hosted_domain_is_the_providers_word_not_the_addresss(openid):
    openid.name_claim, openid.hosted_domains = "email", ["example.org"]
    told = {"sub": "7", "email": "ada@example.org", "email_verified": True}
    with pytest.raises(Refused, match="is not of example"):
        await entering(openid, token(), told)
    assert (await entering(openid, token(), {**told, "hd": "example.org"})).login == "ada@example.org"
    for unverified in (False, None, "true"):
        with pytest.raises(Refused, match="not verified"):
            await entering(openid, token(), {**told, "hd": "example.org", "email_verified": unverified})


def test_a_provider_is_what_it_calls_itself():
    whole = {
        name: f"{ISSUER}/x" for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    }
    check_metadata({**whole, "issuer": ISSUER}, f"{ISSUER}/")
    for wrong in ({"issuer": "https://evil.org"}, {"issuer": ISSUER, "token_endpoint": "http://x"}, {"issuer": 1}):
        with pytest.raises(ValueError):
            check_metadata({**whole, **wrong}, ISSUER)
    with pytest.raises(ValueError):
        check_metadata([], ISSUER)


class _GitHub(BaseHTTPRequestHandler):
    """What GitHub's API answers to the two questions that are put to it."""

    def do_GET(self):
        page = int(self.path.rpartition("page=")[2])
        orgs = [{"login": f"Org-{number}"} for number in range(100 if page == 1 else 3)]
        found = orgs if "/user/orgs" in self.path else [{"slug": "Core", "organization": {"login": "Lab"}}]
        answer = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass


async def test_github_tells_organizations_and_teams(tmp_path):
    """GitHub itself cannot be here; its two answers are as its documentation says."""
    server = HTTPServer(("127.0.0.1", 0), _GitHub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        one = make(GitHubAuthenticator, tmp_path, api=f"http://127.0.0.1:{server.server_port}", scope=["read:org"])
        person = await one.person({"access_token": "x", "token_type": "bearer"}, {}, {"id": 7, "login": "Ada"})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (person.login, person.subject) == ("ada", "7")
    assert {"lab/core", "org-0", "org-99"} <= person.groups
    one.scope = []
    assert (await one.person({}, {}, {"id": 7, "login": "Ada"})).groups == set()


def test_secrets_are_needed_and_odd_settings_are_told():
    from tests.unit.auth.test_auth_kinds import site

    def told(kind, **section):
        return " ".join(str(problem) for problem in kind.check(kind.Config(client_id="x", **section), site()))

    assert "hubwright secret google.secret" in told(google)
    assert "Google tells none" in told(google, allow={"groups": ["lab"]})
    assert "everybody who has a Google account" in told(google, allow="all")
    assert "hubwright secret github.secret" in told(github)
    assert "lacks openid" in told(oidc, issuer=ISSUER, scopes=["email"])
    assert "hubwright secret oidc.secret" in told(oidc, issuer=ISSUER)
