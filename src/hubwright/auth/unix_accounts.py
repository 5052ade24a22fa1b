"""What every authenticator does with the Unix accounts that people have here, through the account helper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import List, Unicode

from hubwright.auth.ask import end_membership, ensure_account
from hubwright.errors import HubwrightError, Refused
from hubwright.fields import check_user_name


class AccountAuthenticator(Authenticator):
    """The part of an authenticator that begins when somebody's Unix name is known."""

    account = Unicode("", config=True, help="Without a helper, the one account that can be served: whoever runs it.")
    account_socket = Unicode(
        "", config=True, help="The account helper's socket; empty when the hub's parts are not root."
    )

    teams = List(config=True, help="The accounts of groups' own servers, as whom nobody logs in.")

    whole: Any = None
    """The authenticator that this is one way of, and that decides who is whom; None when it is the only one."""
    provider = ""
    """What identities of this way begin with."""
    grace = 0.0

    def normalize_username(self, username: str) -> str:
        """Return the name as it is: Unix names are case-sensitive, and one name is one account."""
        return username

    def validate_username(self, username: str) -> bool:
        """Whether it is a Unix account name."""
        try:
            check_user_name(username)
        except ValueError:
            return False
        return bool(super().validate_username(username))

    def check_blocked_users(self, username: str, authentication: Any = None) -> bool | None:
        """Whether somebody of that name may log in, as far as no list says who may not."""
        return username not in self.teams and super().check_blocked_users(username, authentication)

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Make the Unix account when it is missing; a refusal is shown on the page that starts the server."""
        try:
            await self.ensure(user.name)
        except HubwrightError as error:
            error.jupyterhub_message = str(error)  # type: ignore[attr-defined]
            raise

    async def ensure(self, name: str) -> None:
        """Have the Unix account made when it is missing; raises as `ask.ensure_account`."""
        if self.account_socket:
            await ensure_account(Path(self.account_socket), name)

    async def leave(self, name: str) -> None:
        """End the membership in the service's group; raises as `ask.end_membership`."""
        if self.account_socket:
            await end_membership(Path(self.account_socket), name)

    def check_can_be_served(self, name: str) -> None:
        """Raise `Refused` for another than the one account that a hub without root can serve."""
        if not self.account_socket and name != self.account:
            raise Refused(
                f"This hub was not started by root, so it can serve only {self.account}.",
                remedy="Start it as root to serve several people.",
            )
