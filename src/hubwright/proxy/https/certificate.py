"""Certificates and their keys, as PEM: read, checked against each other, put where Caddy reads them."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hubwright.errors import ConfigError, Problem
from hubwright.fields import Site
from hubwright.machine.files import Owner, read_plain, write_atomically
from hubwright.proxy.serving import host_of

AHEAD = timedelta(days=30)
"""How long before its end a certificate is told of, or made anew."""
_LARGEST = 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----")


@dataclass(frozen=True)
class Pair:
    """A certificate with those above it, and its key."""

    chain: bytes
    """PEM, the server's own certificate first."""
    key: bytes = field(repr=False)
    """PEM, not encrypted."""

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def until(self) -> datetime:
        """When it ends, in UTC."""
        return self.leaf.not_valid_after_utc

    @property
    def since(self) -> datetime:
        """When it began, in UTC."""
        return self.leaf.not_valid_before_utc

    @property
    def names(self) -> tuple[str, ...]:
        """The names and addresses it is for."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        addresses = map(str, found.get_values_for_type(x509.IPAddress))
        return (*found.get_values_for_type(x509.DNSName), *addresses)

    def covers(self, host: str) -> bool:
        """Whether a browser that asked for `host` takes it (RFC 9525: a star stands for one whole first label)."""
        wanted = _plain(host)
        return any(_plain(name) in {wanted, f"*.{wanted.partition('.')[2]}"} for name in self.names)


def read(
    certificate: Path, key: Path | None, passphrase: Path | None, *, where: str = "hub.yaml https"
) -> tuple[Pair, list[Problem]]:
    """Return what lies in one or two PEM files, and what about it is worth a look.

    `ConfigError` says what is wrong, at `<where>.certificate`, `.key` or `.passphrase_file`: missing, unreadable, no
    PEM, an encrypted key without its passphrase or with a wrong one, a key of another certificate, an end that is over.
    """
    blocks = _blocks(certificate, f"{where}.certificate")
    chain = [block for label, block in blocks if label == b"CERTIFICATE"]
    if not chain:
        raise _wrong(f"{where}.certificate", f"{certificate} holds no certificate.", "It must hold it as PEM.")
    key_place, key_file = (f"{where}.key", key) if key else (f"{where}.certificate", certificate)
    inside = _blocks(key_file, key_place) if key else blocks
    keys = [block for label, block in inside if label.endswith(b"PRIVATE KEY")]
    if not keys:
        remedy = "Name the file of the key." if key else "Name the file of the key in https.key."
        raise _wrong(key_place, f"{key_file} holds no private key.", remedy)
    private = _open_key(keys[0], key_file, key_place, passphrase, f"{where}.passphrase_file")
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        found = [x509.load_pem_x509_certificate(block) for block in chain]
    except ValueError as error:
        raise _wrong(f"{where}.certificate", f"{certificate} holds a damaged certificate.") from error
    ours = [
        one for one in found if one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    ]
    if not ours:
        what = f"the key in {key_file} belongs to another certificate than the one in {certificate}."
        raise _wrong(key_place, what, "Name the two files that were made together.")
    leaf = ours[0]
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc <= now:
        what = f"the certificate in {certificate} has expired on {_day(leaf.not_valid_after_utc)}."
        raise _wrong(f"{where}.certificate", what, "Put a new one there; it is taken at once.")
    if leaf.not_valid_before_utc > now:
        what = f"the certificate in {certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only."
        raise _wrong(f"{where}.certificate", what, "Look at this machine's clock.")
    ordered = [leaf, *(one for one in found if one is not leaf)]
    plain = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair = Pair(b"".join(one.public_bytes(Encoding.PEM) for one in ordered), plain)
    return pair, list(_worth_a_look(key_file, key_place))


def ending(pair: Pair, where: str, remedy: str) -> list[Problem]:
    """Return a warning when the certificate ends within `AHEAD`."""
    if (left := pair.until - datetime.now(UTC)) > AHEAD:
        return []
    what = f"the certificate ends on {_day(pair.until)}, in {max(0, left.days)} days."
    return [Problem(where, what, remedy, "warning")]


def uncovered(pair: Pair, hosts: Sequence[str], where: str) -> list[Problem]:
    """Return a warning for the hosts that the certificate is not for."""
    if not (missing := [host for host in hosts if not pair.covers(host)]):
        return []
    what = f"the certificate is for {', '.join(pair.names) or 'no name'}, and not for {', '.join(missing)}."
    remedy = "Browsers will refuse it: use one for that name, or change hub.url."
    return [Problem(where, what, remedy, "warning")]


def deployed(site: Site) -> Pair | None:
    """Return what Caddy was given last; None when there is nothing, or nothing that this account may read."""
    try:
        blocks = _BLOCK.finditer(site.certificate.read_bytes())
    except OSError:
        return None
    found = [(block[1], block[0] + b"\n") for block in blocks]
    chain = b"".join(block for label, block in found if label == b"CERTIFICATE")
    key = b"".join(block for label, block in found if label == b"PRIVATE KEY")
    return Pair(chain, key) if chain and key else None


def fetched(site: Site) -> Pair | None:
    """Return what Caddy got by ACME for the public address; None when there is no certificate, or none to be read.

    Caddy runs as the hub's account, which may put there what it likes.
    """
    host = host_of(site.public_url)
    for path in sorted(site.acme.glob(f"certificates/*/{host}/{host}.crt")):
        try:
            found = Pair(read_plain(path, _LARGEST), b"")
            return found if found.leaf else None
        except (OSError, ValueError):
            return None
    return None


def deploy(pair: Pair, site: Site) -> None:
    """Put certificate and key where Caddy reads them: one file, on tmpfs, that only root and Caddy's account can read.

    One file is replaced in one step, so that no reader ever finds a key beside another's certificate.
    """
    owner = Owner(0, Owner.of(site.account).gid) if site.privileged else None
    write_atomically(site.certificate, pair.chain + pair.key, 0o640 if owner else 0o600, owner, durable=False)


def _blocks(path: Path, where: str) -> list[tuple[bytes, bytes]]:
    content = _content(path, where)
    if found := [(block[1], block[0] + b"\n") for block in _BLOCK.finditer(content)]:
        return found
    remedy = "Turn it into PEM with openssl (-outform PEM)." if content.startswith(b"\x30") else ""
    raise _wrong(where, f"{path} is not PEM: it has no line -----BEGIN ...-----.", remedy)


def _content(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        raise _wrong(where, f"there is no file {path}.", "Name it from the folder of hub.yaml.") from None
    except OSError as error:
        raise _wrong(where, f"{path} cannot be read: {error.strerror}.", "Look at its owner and mode.") from None


def _open_key(block: bytes, path: Path, where: str, passphrase: Path | None, place: str) -> PrivateKeyTypes:
    secret = None
    if passphrase is not None:
        secret = _content(passphrase, place).rstrip(b"\r\n")
        if passphrase.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise _wrong(place, f"{passphrase} can be read by everybody.", f"chmod 600 {passphrase}")
    locked = b"ENCRYPTED" in block[:200]
    if locked and not secret:
        remedy = "Write its passphrase into a file that only root can read, and name it in https.passphrase_file."
        raise _wrong(where, f"the key in {path} is encrypted, and its passphrase is not known.", remedy)
    try:
        return load_pem_private_key(block, secret if locked else None)
    except (ValueError, TypeError) as error:
        if locked:
            what = f"the passphrase in {passphrase} does not open the key in {path}."
            raise _wrong(place, what, "Write the right one into it, in one line.") from error
        raise _wrong(where, f"the key in {path} is damaged.") from error
    except UnsupportedAlgorithm as error:
        raise _wrong(where, f"the key in {path} is of a kind that is not known.", "Use RSA or ECDSA.") from error


def _worth_a_look(key: Path, where: str) -> list[Problem]:
    if key.stat().st_mode & stat.S_IROTH:
        what = f"{key} can be read by everybody on this machine, and it holds the private key."
        return [Problem(where, what, f"chmod 600 {key}", "warning")]
    return []


def _wrong(where: str, what: str, remedy: str = "") -> ConfigError:
    return ConfigError([Problem(where, what, remedy)])


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _plain(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")
