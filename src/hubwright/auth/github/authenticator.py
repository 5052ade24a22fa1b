"""Asking GitHub who somebody is, and in which organizations and teams."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tornado.web import HTTPError
from traitlets import Unicode

from hubwright.auth.outside_oauth import USED, OutsideOAuthenticator
from hubwright.auth.rule import Person
from hubwright.errors import Refused


class GitHubAuthenticator(OutsideOAuthenticator):
    """GitHub: its own names and numbers; organizations and teams are groups, `org` and `org/team`."""

    api = Unicode("https://api.github.com", config=True, help="Where GitHub's API is.")

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Exchange a code; GitHub tells what is wrong with one in an answer of status 200."""
        try:
            found: dict[str, Any] = await super().get_token_info(handler, params)
        except HTTPError as error:
            if "code passed is incorrect or expired" in (error.log_message or ""):
                raise Refused(USED) from error
            raise
        return found

    async def person(self, token: dict[str, Any], claims: dict[str, Any], told: dict[str, Any]) -> Person:
        """Return the person with the groups that the scopes let us see."""
        groups: set[str] = set()
        if "read:org" in self.scope:
            headers = self.build_userdata_request_headers(token["access_token"], token["token_type"])
            for path in ("user/orgs", "user/teams"):
                for page in range(1, 11):
                    url = f"{self.api}/{path}?per_page=100&page={page}"
                    found = await self.httpfetch(url, method="GET", headers=headers)
                    groups |= {_github_group(one) for one in found}
                    if len(found) < 100:
                        break
        return Person(self.provider, str(int(told["id"])), str(told["login"]).lower(), frozenset(groups))


def _github_group(one: dict[str, Any]) -> str:
    if "organization" in one:
        return f"{one['organization']['login']}/{one['slug']}".lower()
    return quote(str(one["login"]).lower(), safe="-")
