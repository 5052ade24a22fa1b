"""JupyterHub, with pages of ours in front of its own.

JupyterHub takes more handlers only behind its own (`extra_handlers`), so the start page could not be ours.
"""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Dict

from hubwright.classes.rights import CUSTOM
from hubwright.hub import ahead, teams
from hubwright.hub.classes import handlers as classes
from hubwright.hub.classes.teaching import SETTING, Teaching
from hubwright.hub.handlers import handlers
from hubwright.hub.leaving import everywhere
from hubwright.hub.pages.sharing import end_all


class Application(JupyterHub):
    """JupyterHub; what is asked for is looked up in `hubwright.hub.handlers` first."""

    name = "jupyterhub"
    teaching = Dict(config=True, help="hub.yaml's `classes`, as `Teaching` takes them; empty for none.")
    teams = Dict(config=True, help="Group and folder of each server that a group has, by its account.")

    def init_db(self) -> None:
        """Open the database; where sharing is switched off, nobody is let in by what was shared before."""
        super().init_db()
        if not self.template_vars.get("sharing"):
            end_all(self.db, self.log)

    async def init_role_creation(self) -> None:
        """Load roles and scopes; ours is known in every hub, since a token that names an unknown one fails."""
        self.custom_scopes = CUSTOM | self.custom_scopes  # type: ignore[has-type]
        await super().init_role_creation()

    async def init_users(self) -> None:
        """Add whom the configuration names; the users of groups' servers are nobody that an authenticator knows."""
        teams.leave_alone(self)
        blocked = self.authenticator.blocked_users
        self.authenticator.blocked_users = blocked | {*self.teams}  # whom JupyterHub asks it nothing about, here
        await super().init_users()
        self.authenticator.blocked_users = blocked
        teams.add(self)

    def init_tornado_settings(self) -> None:
        """Add the classes, and what pages are told of them."""
        super().init_tornado_settings()
        if self.teaching:
            made = Teaching(self, **self.teaching)
            self.tornado_settings[SETTING] = made
            self.tornado_settings["template_vars"] = {**self.tornado_settings["template_vars"], **made.words()}

    async def start(self) -> None:
        """Serve; then look after the timetables of classes."""
        await super().start()
        if self.teaching:
            self.tornado_settings[SETTING].rounds.begin()

    def init_handlers(self) -> None:
        """Put our handlers before all others, and let who logs out be out."""
        super().init_handlers()
        ours = self.add_url_prefix(self.hub_prefix, [*handlers(), *(classes.HANDLERS if self.teaching else ())])
        ours += self.add_url_prefix(self.base_url, [(ahead.PATTERN, ahead.AheadHandler)])
        self.handlers[:] = [everywhere(handler) for handler in [*ours, *self.handlers]]
