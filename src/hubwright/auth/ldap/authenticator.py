"""Logging in with a password of a directory."""

from __future__ import annotations

import asyncio
from typing import Any

from traitlets import Dict, Unicode

from hubwright.auth.guessing import Guessing
from hubwright.auth.identities import Known
from hubwright.auth.ldap.config import Config
from hubwright.auth.ldap.directory import Directory, WrongPassword
from hubwright.auth.login import TellingLoginHandler
from hubwright.auth.outside import OutsideAuthenticator
from hubwright.auth.outside_kind import secret_in
from hubwright.auth.rule import Person
from hubwright.errors import HubwrightError, NotRunning

_WRONG = "Wrong user name or password."
_SILENT = "The directory that checks passwords does not answer. Try again in a minute, or tell the admin."
_LONGEST_NAME, _LONGEST_PASSWORD = 320, 512


class DirectoryAuthenticator(OutsideAuthenticator):
    """Ask a directory whether a password is right, and in which groups a person is."""

    section = Dict(config=True, help="The section `auth` of hub.yaml.")
    password_file = Unicode("", config=True, help="The file with the search account's password; empty without one.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config = Config.model_validate(self.section)
        password = secret_in(self.password_file) if self.password_file else ""
        self._directory = Directory(self._config, password, self.provider)
        self._guessing = Guessing()

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Return the person whose name and password these are, if he may enter; else tell the login page why not."""
        username, password = data.get("username", "").strip(), data.get("password", "")
        if not 0 < len(username) <= _LONGEST_NAME or not username.isprintable() or len(password) > _LONGEST_PASSWORD:
            self.refuse(handler, _WRONG, "a login without a name, or with one that nobody can have")
            return None
        name, address = username.lower(), handler.request.remote_ip
        if refusal := self._guessing.refusal(name, address):
            self.refuse(handler, refusal, f"too many failures for {username} from {address}")
            return None
        try:
            person = await asyncio.to_thread(self._directory.login, username, password)
        except WrongPassword as error:
            self.refuse(handler, _WRONG, f"login of {username} from {address} refused: {error}")
            return None
        except HubwrightError as error:
            self._guessing.unclear(name, address)
            self.log.error("%s", error)
            self.refuse(handler, _SILENT, f"the password of {username} could not be checked")
            return None
        self._guessing.right(name, address)
        return await self.admit(handler, person)

    async def look_up(self, known: Known) -> Person | None:
        """Ask the directory for somebody, where there is an account to ask with."""
        if self._config.search is None:
            return await super().look_up(known)
        try:
            person = await asyncio.to_thread(self._directory.find, known.login)
        except HubwrightError as error:
            raise NotRunning(str(error)) from error
        if person is not None and known.subject and person.subject != known.subject:
            return None  # somebody else is called so now
        return person

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the login form, and the command line's way to make an admin."""
        from hubwright.auth.admins import COMMAND_HANDLERS

        self.begin(app)
        return [("/login", TellingLoginHandler), *COMMAND_HANDLERS]
