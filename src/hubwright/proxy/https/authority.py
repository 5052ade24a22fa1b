"""A certificate authority for one service: its key is root's, and it can vouch for that service's names only."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine.files import write_atomically
from hubwright.proxy.https.certificate import AHEAD, Pair, deployed

_YEARS = timedelta(days=3650)
_LEAF = timedelta(days=397)
"""What browsers take at most from an authority that they know (CA/Browser Forum, 2020)."""
_EARLY = timedelta(hours=1)
"""Clocks differ."""


def issued(site: Site, names: Sequence[str]) -> Pair:
    """Return a certificate for `names`: the one that Caddy has, unless it ends within a month or is for others."""
    authority, key = _authority(site, names)
    found = deployed(site)
    if found and set(found.names) == set(map(_normal, names)) and found.until - datetime.now(UTC) > AHEAD:
        try:
            found.leaf.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):  # by an authority that is gone
            return _issue(authority, key, names)
        return found
    return _issue(authority, key, names)


def _authority(site: Site, names: Sequence[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the authority, made when there is none, or when it may not vouch for one of the names."""
    path, place = site.secrets / "authority.key", site.authority
    if path.exists() and place.exists():
        for file in (path, place):
            _mine(file)
        key = load_pem_private_key(path.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(place.read_bytes())
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        permitted = [_text(one) for one in constraints.permitted_subtrees or ()]
        still = certificate.not_valid_after_utc - datetime.now(UTC) > _LEAF
        if isinstance(key, ec.EllipticCurvePrivateKey) and still and set(map(_normal, names)) <= set(permitted):
            return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"Hubwright at {names[0]}"[:64])
    ours = _builder(subject, subject, key.public_key(), _YEARS).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    ours = ours.add_extension(_usage(signs=True), critical=True)
    permitted_names = x509.NameConstraints([_constraint(name) for name in map(_normal, names)], None)
    ours = ours.add_extension(permitted_names, critical=True)
    certificate = ours.sign(key, SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(path, plain, 0o600)
    write_atomically(place, certificate.public_bytes(Encoding.PEM), 0o644)
    return certificate, key


def _issue(authority: x509.Certificate, signing: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = [_general(name) for name in map(_normal, names)]
    leaf = (
        _builder(_name(names[0][:64]), authority.subject, key.public_key(), _LEAF)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(leaf.public_bytes(Encoding.PEM), plain)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, span: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + span)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _normal(name: str) -> str:
    return str(_address(name) or name.lower())


def _general(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.IPAddress(address) if address else x509.DNSName(name)


def _constraint(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.IPAddress(ip_network(address)) if address else x509.DNSName(name)


def _text(permitted: x509.GeneralName) -> str:
    value = permitted.value
    return str(getattr(value, "network_address", value))


def _mine(path: Path) -> None:
    """Refuse a file that another account has put there."""
    found = path.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
        raise MachineError(
            "This file of the certificate authority is not ours.",
            where=str(path),
            remedy="Move it away; a new authority is then made.",
        )
