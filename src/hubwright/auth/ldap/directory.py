"""Asking a directory: one server after the other, with deadlines; every failure says what it was. Blocks."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ldap3
from ldap3.core import exceptions as errors
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from hubwright.auth.ldap.config import Config
from hubwright.auth.rule import Person
from hubwright.errors import HubwrightError, MachineError, NotRunning, Refused

_IDS = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID")
"""What servers call the id of an entry that stays when it is moved or renamed."""
_MOST = 500
"""Groups of one person."""
_NO = frozenset(
    {"invalidCredentials", "noSuchObject", "invalidDNSyntax", "unwillingToPerform", "inappropriateAuthentication"}
)
Answer = TypeVar("Answer")


class WrongPassword(Refused):
    """The directory does not take this password for this person, or does not know the person."""


class _Tls(ldap3.Tls):
    """TLS as Python does it now: ldap3 2.9 compares host names by itself, with a function that Python 3.12 has not."""

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Speak TLS on a connection's socket; the certificate must be the server's, by a CA that is trusted."""
        context = ssl.create_default_context(cafile=self.ca_certs_file)
        connection.socket = context.wrap_socket(
            connection.socket, server_hostname=connection.server.host, do_handshake_on_connect=do_handshake
        )


class Directory:
    """The directory of a section of hub.yaml."""

    def __init__(self, config: Config, password: str, provider: str = "ldap") -> None:
        """Use `password` for the search account; "" without one."""
        self._config = config
        self._password = password
        self._provider = provider

    def login(self, username: str, password: str) -> Person:
        """Return the person with that name and password.

        Raises:
            WrongPassword: there is none.
            Refused: the directory's data give no single person; the words are for the admin.
            NotRunning: no server answers.
            MachineError: TLS or the search account fail.
        """
        if not password or "\0" in password or not password.strip():  # an empty one would bind as nobody, and succeed
            raise WrongPassword(f"no password was given for {username}.")
        return self._ask(lambda server: self._login(server, username, password))

    def find(self, username: str) -> Person | None:
        """Return the person with that name, looked for with the search account; None when there is none.

        Raises:
            As `login`, but for `WrongPassword`.
        """
        return self._ask(lambda server: self._find(server, username))

    def probe(self) -> dict[str, HubwrightError | None]:
        """Return each server with what is wrong with it: connects, starts TLS, and binds as the search account."""
        found: dict[str, HubwrightError | None] = {}
        for server in self._config.servers:
            try:
                with self._as_ourselves(server) as connection:
                    self._look_for_bases(connection)
            except (NotRunning, MachineError, Refused) as error:
                found[server] = error
            else:
                found[server] = None
        return found

    def _ask(self, question: Callable[[str], Answer]) -> Answer:
        """Put a question to the first server that answers; which ones do not is in the error."""
        silent = []
        for server in self._config.servers:
            try:
                return question(server)
            except NotRunning as error:
                silent.append(str(error))
        raise NotRunning(f"No directory server answers: {' '.join(silent)}")

    def _login(self, server: str, username: str, password: str) -> Person:
        if self._config.search is None:
            for template in self._config.templates:
                entry = template.format(username=escape_rdn(username))
                try:
                    with self._bound(server, entry, password) as connection:
                        return self._person(connection, self._entry(connection, entry, username))
                except WrongPassword:
                    continue
            raise WrongPassword(f"{server} does not take the password of {username}.")
        with self._as_ourselves(server) as searching:
            found = self._search(searching, username)
            if found is None:
                raise WrongPassword(f"{server} knows nobody called {username}.")
            with self._bound(server, str(found["dn"]), password):
                pass
            return self._person(searching, found)

    def _find(self, server: str, username: str) -> Person | None:
        with self._as_ourselves(server) as connection:
            found = self._search(connection, username)
            return None if found is None else self._person(connection, found)

    def _search(self, connection: Any, username: str) -> dict[str, Any] | None:
        search = self._config.search
        if search is None:
            raise Refused(
                "People cannot be looked up by a template: the directory shows an entry to its own person only."
            )
        found = self._entries(
            connection, search.base, search.filter.format(username=escape_filter_chars(username)), self._wanted()
        )
        if len(found) > 1:
            entries = " and ".join(entry["dn"] for entry in found[:3])
            raise Refused(f"{username} finds several entries: {entries}.", remedy="Make auth.search.filter narrower.")
        return found[0] if found else None

    def _entry(self, connection: Any, entry: str, username: str) -> dict[str, Any]:
        """Return somebody's own entry; one that he may not read is taken for granted, since he could bind to it."""
        found = self._read(connection, entry, ldap3.BASE, "(objectClass=*)", self._wanted())
        return found or {"dn": entry, "attributes": {self._config.name: [username]}, "raw_attributes": {}}

    def _person(self, connection: Any, entry: dict[str, Any]) -> Person:
        values = entry["attributes"].get(self._config.name) or []
        names = [str(value) for value in (values if isinstance(values, list) else [values])]
        if len(names) != 1:
            raise Refused(
                f"{entry['dn']} has {len(names)} values of {self._config.name}; a person needs one.",
                remedy="Name another attribute in auth.name.",
            )
        login = names[0].lower()
        return Person(self._provider, _subject(entry), login, self._groups(connection, str(entry["dn"]), names[0]))

    def _groups(self, connection: Any, entry: str, username: str) -> frozenset[str]:
        groups = self._config.groups
        if groups is None:
            return frozenset()
        query = groups.filter.format(dn=escape_filter_chars(entry), username=escape_filter_chars(username))
        found = self._entries(connection, groups.base, query, [groups.name])
        values = [value for one in found for value in (one["attributes"].get(groups.name) or [])[:1]]
        return frozenset(str(value) for value in values)

    def _wanted(self) -> list[str]:
        return [self._config.name, *_IDS]

    def _read(self, connection: Any, base: str, scope: str, query: str, attributes: list[str]) -> dict[str, Any] | None:
        found = self._entries(connection, base, query, attributes, scope)
        return found[0] if found else None

    def _entries(
        self, connection: Any, base: str, query: str, attributes: list[str], scope: str = ldap3.SUBTREE
    ) -> list[dict[str, Any]]:
        with _told(str(connection.server.name)):
            connection.search(base, query, scope, attributes=attributes, size_limit=_MOST)
        if (result := connection.result["description"]) not in {"success", "noSuchObject"}:
            raise Refused(
                f"{connection.server.name} answers a search below {base} with {result}.",
                remedy="Is the base right, and may the account search there?",
            )
        return [entry for entry in connection.response if entry["type"] == "searchResEntry"]

    def _look_for_bases(self, connection: Any) -> None:
        config = self._config
        bases = [section.base for section in (config.search, config.groups) if section is not None]
        for base in bases if config.search is not None else []:
            if self._read(connection, base, ldap3.BASE, "(objectClass=*)", []) is None:
                raise Refused(f"{connection.server.name} has no entry {base}, or this account may not see it.")

    @contextmanager
    def _as_ourselves(self, server: str) -> Iterator[Any]:
        account = self._config.search.account if self._config.search else ""
        try:
            connection = self._open(server, account, self._password if account else "")
        except WrongPassword as error:
            raise MachineError(
                f"{server} does not let the search account {account or '(anonymous)'} in.",
                remedy='Is auth.search.account right? Give its password: "hubwright secret ldap.password".',
            ) from error
        with closing(_Open(connection)):
            yield connection

    @contextmanager
    def _bound(self, server: str, entry: str, password: str) -> Iterator[Any]:
        connection = self._open(server, entry, password)
        with closing(_Open(connection)):
            yield connection

    def _open(self, server: str, entry: str, password: str) -> Any:
        """Connect, begin TLS, bind; TLS always comes first. Return the connection."""
        parts = urlsplit(server)
        with _told(server):
            address = ldap3.Server(
                parts.hostname,
                port=parts.port or (636 if parts.scheme == "ldaps" else 389),
                use_ssl=parts.scheme == "ldaps",
                tls=_Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self._config.ca),
                get_info=ldap3.NONE,
                connect_timeout=self._config.timeout,
            )
            connection = ldap3.Connection(
                address,
                user=entry or None,
                password=password or None,
                authentication=ldap3.SIMPLE if entry else ldap3.ANONYMOUS,
                receive_timeout=math.ceil(self._config.timeout),
                auto_referrals=False,
                check_names=False,
            )
            try:
                connection.open(read_server_info=False)
                if parts.scheme == "ldap" and self._config.tls == "start":
                    _start_tls(connection, server)
                if not connection.bind(read_server_info=False):
                    _refused_bind(connection.result, server, entry)
            except BaseException:
                _Open(connection).close()
                raise
        return connection


class _Open:
    """A connection that is closed also when opening it failed half-way, where ldap3 leaves the socket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def close(self) -> None:
        """Say good-bye, and close the socket in any case."""
        socket = self._connection.socket
        with suppress(errors.LDAPExceptionError, OSError):
            self._connection.unbind()
        if socket is not None:
            with suppress(OSError):
                socket.close()


def _start_tls(connection: Any, server: str) -> None:
    if not connection.start_tls(read_server_info=False):
        raise MachineError(f"{server} does not start TLS.", remedy="Use ldaps://, or `tls: none` in a trusted network.")


def _refused_bind(result: dict[str, Any], server: str, entry: str) -> None:
    what = result["description"]
    if what in _NO:
        raise WrongPassword(f"{server} does not let {entry or 'anonymous'} in: {what}.")
    if what in {"busy", "unavailable"}:
        raise NotRunning(f"{server} is {what}.")
    if what == "confidentialityRequired":
        raise MachineError(f"{server} takes no password without TLS.", remedy="Use ldaps://, or `tls: start`.")
    raise MachineError(f"{server} answers a login with {what} {result.get('message', '')}".rstrip() + ".")


@contextmanager
def _told(server: str) -> Iterator[None]:
    """Turn what ldap3 raises into ours."""
    try:
        yield
    except (errors.LDAPStartTLSError, ssl.SSLError) as error:
        raise _tls_error(server, error) from error
    except (errors.LDAPCommunicationError, errors.LDAPMaximumRetriesError, OSError) as error:
        if "certificate" in str(error).lower() or "ssl" in str(error).lower():
            raise _tls_error(server, error) from error
        raise NotRunning(f"{server} cannot be reached ({_short(error)}).") from error
    except errors.LDAPExceptionError as error:
        raise MachineError(f"{server}: {_short(error)}.") from error


def _tls_error(server: str, error: Exception) -> MachineError:
    return MachineError(
        f"{server} cannot be trusted: {_short(error)}.",
        remedy="Name the file with your own CA in auth.ca, and the server as its certificate does.",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _subject(entry: dict[str, Any]) -> str:
    for name in _IDS:
        if values := entry["raw_attributes"].get(name):
            return f"{name}={bytes(values[0]).hex()}"
    return f"dn={str(entry['dn']).lower()}"
