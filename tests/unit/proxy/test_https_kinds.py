"""What each kind of `https` says of a site: what is refused, what is worth a look, what Caddy is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat
from tests.certificates import locked, make

from hubwright.config.load import load
from hubwright.errors import ConfigError, MachineError, Problem
from hubwright.fields import Site
from hubwright.proxy.https import https_of
from hubwright.proxy.https.certificate import deploy, deployed, fetched
from hubwright.proxy.tls import certificates

HOST = "notebooks.example.org"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for folder in ("state", "state/secrets", "run"):
        (tmp_path / folder).mkdir(mode=0o700)
    config, state, run = tmp_path / "hub.yaml", tmp_path / "state", tmp_path / "run"
    return Site(config, state, run, Path(sys.prefix), "x", False, ("0.0.0.0", 443), f"https://{HOST}/")


@pytest.fixture
def section(tmp_path: Path) -> Callable[[str], Any]:
    def section(text: str) -> Any:
        (tmp_path / "hub.yaml").write_text(f"https: {text}\n")
        return load(tmp_path / "hub.yaml").hub.https

    return section


def told(config: Any, site: Site, severity: str = "error") -> list[str]:
    found: list[Problem] = https_of(config).check(config, site)
    return [f"{problem.where}: {problem.what}" for problem in found if problem.severity == severity]


def write(folder: Path, certificate: bytes, key: bytes | None = None) -> None:
    (folder / "cert.pem").write_bytes(certificate)
    if key is not None:
        (folder / "key.pem").write_bytes(key)
        (folder / "key.pem").chmod(0o600)


FILES = "{kind: files, certificate: cert.pem, key: key.pem}"


def test_two_files_and_one_file_give_the_same(site, section, tmp_path):
    pair = make(HOST)
    write(tmp_path, pair.chain, pair.key)
    (tmp_path / "both.pem").write_bytes(pair.key + b"\n some words \n" + pair.chain)
    (tmp_path / "both.pem").chmod(0o600)
    two, one = section(FILES), section("{kind: files, certificate: both.pem}")
    assert told(two, site) == told(one, site) == told(two, site, "warning") == told(one, site, "warning") == []
    assert https_of(two).pair(two, site) == https_of(one).pair(one, site) == pair


def test_the_servers_certificate_comes_first_wherever_it_stands(site, section, tmp_path):
    pair, other = make(HOST), make("authority.example.org")
    write(tmp_path, other.chain + pair.chain, pair.key)
    config = section(FILES)
    assert https_of(config).pair(config, site).chain == pair.chain + other.chain


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_opened_by_its_passphrase(site, section, tmp_path, form):
    pair = make(HOST, kind="rsa")
    write(tmp_path, pair.chain, locked(pair, "käse und brot", form))
    (tmp_path / "pass").write_text("käse und brot\n")
    (tmp_path / "pass").chmod(0o600)
    config = section("{kind: files, certificate: cert.pem, key: key.pem, passphrase_file: pass}")
    assert told(config, site) == []
    assert https_of(config).pair(config, site) == pair

    (tmp_path / "pass").write_text("butter\n")
    assert told(config, site) == [
        f"hub.yaml https.passphrase_file: the passphrase in {tmp_path}/pass does not open the key in {tmp_path}/key.pem."
    ]
    (tmp_path / "pass").chmod(0o644)
    assert told(config, site) == [f"hub.yaml https.passphrase_file: {tmp_path}/pass can be read by everybody."]
    (tmp_path / "pass").unlink()
    assert told(config, site) == [f"hub.yaml https.passphrase_file: there is no file {tmp_path}/pass."]
    assert told(section(FILES), site) == [
        f"hub.yaml https.key: the key in {tmp_path}/key.pem is encrypted, and its passphrase is not known."
    ]


def test_what_is_wrong_with_the_files_is_one_sentence(site, section, tmp_path):
    config, pair, other = section(FILES), make(HOST), make(HOST)
    cert, key = f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem"
    damaged = b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n"
    cases = [
        (pair.chain, other.key, f"key: the key in {key} belongs to another certificate than the one in {cert}."),
        (make(HOST, days=-1, age=9).chain, pair.key, "key: the key in"),
        (b"\x30\x82\x01", pair.key, f"certificate: {cert} is not PEM: it has no line -----BEGIN ...-----."),
        (pair.key, pair.key, f"certificate: {cert} holds no certificate."),
        (pair.chain, pair.chain, f"key: {key} holds no private key."),
        (damaged.replace(b"%s", b"CERTIFICATE"), pair.key, f"certificate: {cert} holds a damaged certificate."),
        (pair.chain, damaged.replace(b"%s", b"PRIVATE KEY"), f"key: the key in {key} is damaged."),
    ]
    for certificate, private, sentence in cases:
        write(tmp_path, certificate, private)
        (found,) = told(config, site)
        assert found.startswith(f"hub.yaml https.{sentence}")
    over = make(HOST, days=-1, age=9)
    write(tmp_path, over.chain, over.key)
    assert told(config, site) == [
        f"hub.yaml https.certificate: the certificate in {cert} has expired on {over.until:%Y-%m-%d}."
    ]
    early = make(HOST, days=9, age=-1)
    write(tmp_path, early.chain, early.key)
    assert "is valid from" in told(config, site)[0]
    (tmp_path / "cert.pem").unlink()
    assert told(config, site) == [f"hub.yaml https.certificate: there is no file {cert}."]
    with pytest.raises(ConfigError):
        https_of(config).pair(config, site)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file; run ./test as an ordinary user")
def test_a_file_that_may_not_be_read_is_named(site, section, tmp_path):
    pair = make(HOST)
    write(tmp_path, pair.chain, pair.key)
    (tmp_path / "key.pem").chmod(0)
    assert told(section(FILES), site) == [f"hub.yaml https.key: {tmp_path}/key.pem cannot be read: Permission denied."]


def test_a_folder_in_the_place_of_a_file_is_named(site, section, tmp_path):
    (tmp_path / "cert.pem").mkdir()
    assert told(section(FILES), site) == [
        f"hub.yaml https.certificate: {tmp_path}/cert.pem cannot be read: Is a directory."
    ]


def test_an_end_within_a_month_other_names_and_a_readable_key_are_worth_a_look(site, section, tmp_path):
    pair = make("other.example.org", "*.lab.example.org", days=29.5)
    write(tmp_path, pair.chain, pair.key)
    (tmp_path / "key.pem").chmod(0o644)
    config = section(FILES)
    assert told(config, site) == []
    assert told(config, site, "warning") == [
        f"hub.yaml https.key: {tmp_path}/key.pem can be read by everybody on this machine, and it holds the private key.",
        f"hub.yaml https.certificate: the certificate ends on {pair.until:%Y-%m-%d}, in 29 days.",
        f"hub.yaml https.certificate: the certificate is for other.example.org, *.lab.example.org, and not for {HOST}.",
    ]
    assert (
        pair.covers("Hub.lab.example.org")
        and not pair.covers("a.b.lab.example.org")
        and not pair.covers("lab.example.org")
    )


def test_what_caddy_reads_is_one_file_for_few(site):
    pair = make(HOST, "10.0.0.5", "::1")
    deploy(pair, site)
    assert deployed(site) == pair
    assert site.certificate.stat().st_mode & 0o777 == 0o600
    assert pair.key.decode() not in repr(pair)
    assert pair.names == (HOST, "10.0.0.5", "::1")


def test_plain_http_is_for_this_machine_unless_it_is_said(site, section):
    closed = replace(site, listen=("127.0.0.1", 8000), public_url="http://127.0.0.1:8000/")
    opened = replace(site, listen=("0.0.0.0", 8000), public_url="http://lab:8000/")
    none, insecure = section("{kind: none}"), section("{kind: none, insecure: true}")
    assert told(none, closed) == told(none, closed, "warning") == told(insecure, opened) == []
    assert told(none, opened) == [
        "hub.yaml hub.listen: other machines reach this address by plain HTTP, "
        "so that passwords would cross the network unencrypted."
    ]
    assert told(insecure, opened, "warning") == [
        "hub.yaml https.insecure: passwords and cookies cross the network unencrypted."
    ]


def test_an_address_with_http_is_refused_where_https_is_served(site, section):
    plain = replace(site, public_url=f"http://{HOST}/")
    for text in (FILES, "{kind: self_made}"):
        assert told(section(text), plain) == [
            "hub.yaml hub.url: begins with http://, but `https` has the service encrypted."
        ]


def test_the_redirect_and_hsts_are_for_the_usual_port(site, section):
    config = section(FILES)
    serving = https_of(config).serving(config, site)
    assert serving.encrypts and serving.redirect == ("0.0.0.0", 80) and serving.hsts == 180 * 86400
    other = replace(site, listen=("0.0.0.0", 8443), public_url=f"https://{HOST}:8443/")
    serving = https_of(config).serving(config, other)
    assert serving.redirect is None and serving.hsts == 0
    config = section("{kind: self_made, redirect_port: 8080, hsts: 1d}")
    assert https_of(config).serving(config, other).redirect == ("0.0.0.0", 8080)
    assert https_of(config).serving(config, site).hsts == 86400


def test_a_self_made_certificate_is_trusted_by_who_knows_its_authority(site, section, tmp_path):
    config = section("{kind: self_made, names: [lab.local, 10.0.0.5]}")
    pair = https_of(config).pair(config, site)
    assert pair.names == (HOST, "lab.local", "localhost", "10.0.0.5", "127.0.0.1", "::1")
    deploy(pair, site)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(pair.chain)
    for name in (["-verify_hostname", HOST], ["-verify_hostname", "lab.local"], ["-verify_ip", "10.0.0.5"]):
        strict = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(site.authority)]
        done = subprocess.run([*strict, *name, str(leaf)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert site.authority.stat().st_mode & 0o777 == 0o644
    assert (site.secrets / "authority.key").stat().st_mode & 0o777 == 0o600


def test_the_authority_can_vouch_for_nobody_else(site, section, tmp_path):
    """Whoever gets its key can pretend to be this service, and no other site of those who trust it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from hubwright.proxy.https.authority import _issue

    config = section("{kind: self_made}")
    https_of(config).pair(config, site)
    authority = x509.load_pem_x509_certificate(site.authority.read_bytes())
    key = load_pem_private_key((site.secrets / "authority.key").read_bytes(), None)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(_issue(authority, key, ["bank.example.org"]).chain)
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(site.authority), str(leaf)], capture_output=True, text=True
    )
    assert done.returncode != 0 and "permitted subtree violation" in done.stderr


def test_a_self_made_certificate_is_kept_until_something_changes(site, section):
    config = section("{kind: self_made, names: [a.local]}")
    first = https_of(config).pair(config, site)
    deploy(first, site)
    authority = site.authority.read_bytes()
    assert https_of(config).pair(config, site) == first

    fewer = section("{kind: self_made}")
    second = https_of(fewer).pair(fewer, site)
    assert second.names == (HOST, "localhost", "127.0.0.1", "::1") and site.authority.read_bytes() == authority
    more = section("{kind: self_made, names: [a.local, b.local]}")
    https_of(more).pair(more, site)
    assert site.authority.read_bytes() != authority


def test_a_self_made_certificate_that_ends_soon_or_is_anothers_is_made_anew(site, section):
    config = section("{kind: self_made}")
    names = https_of(config).pair(config, site).names
    for other in (make(*names, days=20), make(*names, days=300)):
        deploy(other, site)
        assert https_of(config).pair(config, site) != other


def test_an_authority_that_somebody_put_there_is_not_used(site, section, tmp_path):
    config = section("{kind: self_made}")
    https_of(config).pair(config, site)
    site.authority.rename(tmp_path / "moved")
    site.authority.symlink_to(tmp_path / "moved")
    with pytest.raises(MachineError, match="is not ours"):
        https_of(config).pair(config, site)


def test_each_kind_knows_for_which_names_it_shows_a_certificate(site, section, tmp_path):
    """Pages beside the hub have another name, which a browser wants to see in it; a proxy's is not known here."""
    pair = make(HOST, "*.camp.test")
    write(tmp_path, pair.chain, pair.key)
    acme = "{kind: acme, email: a@b.org, names: [www.camp.test]}"
    for text, expected in (
        (FILES, {HOST: True, "www.camp.test": True, "camp.test": False}),
        (acme, {HOST: True, "www.camp.test": True, "camp.test": False}),
        ("{kind: self_made, names: [www.camp.test]}", {HOST: True, "www.camp.test": True, "camp.test": False}),
        ("{kind: behind_proxy}", {"camp.test": True}),
        ("{kind: files, certificate: none.pem}", {"camp.test": True}),
    ):
        config = section(text)
        assert {host: https_of(config).covers(config, site, host) for host in expected} == expected, text


@pytest.mark.parametrize(("listen", "bound"), [("0.0.0.0", None), ("::", None), ("10.9.9.1", "10.9.9.1")])
def test_caddy_looks_for_itself_at_the_address_it_listens_on(site, section, listen, bound):
    """Else it would try to take port 80 once more for the authority's question, and may not."""
    here = replace(site, listen=(listen, 443))
    serving = https_of(section("{kind: acme, email: a@b.org}")).serving(section("{kind: acme, email: a@b.org}"), here)
    (policy,) = certificates(here, serving)["tls"]["automation"]["policies"]
    assert policy["issuers"][0].get("challenges", {}).get("bind_host") == bound


def test_what_lies_where_caddys_certificate_should_is_not_waited_for(site: Site) -> None:
    """The hub's account may write there; root looks for the day on which the certificate ends."""
    path = site.acme / "certificates" / "authority" / HOST / f"{HOST}.crt"
    path.parent.mkdir(parents=True)
    assert fetched(site) is None
    os.mkfifo(path)
    assert fetched(site) is None
    path.unlink()
    path.symlink_to("/dev/zero")
    assert fetched(site) is None
    path.unlink()
    for content in (b"rubbish", b"x" * (2**20 + 1)):
        path.write_bytes(content)
        assert fetched(site) is None
    path.write_bytes(make(HOST).chain)
    found = fetched(site)
    assert found is not None and found.names == (HOST,)
