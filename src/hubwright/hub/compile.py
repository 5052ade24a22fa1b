"""`Hub` and `Site` to JupyterHub's configuration: pure, and without a secret in it."""

from __future__ import annotations

import math
from typing import Any

from hubwright import proxy
from hubwright.auth import FAMILY as AUTH
from hubwright.auth.allow import parts
from hubwright.auth.ways import listed, of_kind, ways_of
from hubwright.classes.rights import role
from hubwright.config.model import Hub
from hubwright.engines import FAMILY as ENGINES
from hubwright.fields import Site, unix_url
from hubwright.hub.pages import branding
from hubwright.machine.policy import LIMITS
from hubwright.people import rights
from hubwright.profiles.bounds import bounds

Settings = dict[str, dict[str, Any]]
"""`{"ClassName": {"setting": value}}`, every value such as JSON holds."""

ADMIN = "hubadmin"
"""The admin of a service that root starts without naming one."""
CLI_SERVICE = "hubwright-cli"
"""The command line, as JupyterHub knows it; its token is in a file of `Site.secrets`."""
CULLER_SERVICE = "hubwright-idle-culler"
CLASSES_SERVICE = "hubwright-classes"
"""Asks servers which kernels run, for a class's teacher: no process, only whose tokens `hub.classes.kernels` makes."""
_ADDED = frozenset({"services", "load_roles"})
_CLI_SCOPES = (
    "admin:groups",
    "admin:servers",
    "admin:users",
    "list:services",
    "read:hub",
    "read:metrics",
    "read:services",
    "shutdown",
    "tokens",
)
_REMEMBERED = 30
"""Seconds; every person who works costs the hub one question in that time, of some milliseconds."""
_CULLER_SCOPES = ("delete:servers", "list:users", "read:servers", "read:users:activity")
"""What jupyterhub-idle-culler's documentation asks for."""


def compile(hub: Hub, site: Site) -> Settings:
    """Return all of JupyterHub's settings; those under `extra` replace the others, or are added to them."""
    c = own(hub, site)
    for name, settings in hub.extra.items():
        section = c.setdefault(name, {})
        for setting, value in settings.items():
            section[setting] = _merge(setting, section.get(setting), value)
    return c


def own(hub: Hub, site: Site) -> Settings:
    """Return JupyterHub's settings without those under `extra`."""
    c: Settings = {"JupyterHub": _hub(hub, site), "Spawner": _spawner(hub)}
    c["Authenticator"] = {
        "admin_users": list(admins(hub, site)),
        "allowed_users": sorted({*admins(hub, site), *hub.people.users}),
        "allow_all": False,
        "any_allow_config": True,
    }
    if groups := {name: one.group for name, one in hub.people.teams.items()}:
        c["AccountAuthenticator"] = {"teams": sorted(groups)}
        c["GrantingMixin"] = {"teams": groups}
    proxy.configure(site, c)
    ENGINES.of(hub.engine).configure(hub.engine, site, c)
    _grant(hub, c)
    AUTH.of(hub.auth).configure(hub.auth, site, c)
    return c


def admins(hub: Hub, site: Site) -> tuple[str, ...]:
    """Return who manages the service: the admins of hub.yaml, else with `first_use` whoever can be the first."""
    if hub.hub.admins or listed(hub.auth).kind != "first_use":
        return hub.hub.admins
    return (ADMIN if site.privileged else site.account,)


def policy(hub: Hub, site: Site) -> dict[str, Any]:
    """Return whom fork server and account helper may serve, and how, as `machine.policy.Policy.parse` reads it."""
    found: dict[str, Any] = {
        **_served(hub, site),
        "admit": sorted(getattr(hub.engine, "admit", ())),
        "service": getattr(of_kind(hub.auth, "pam"), "service", "login"),
        "limits": {**{name: getattr(hub.engine, name, None) for name in LIMITS}, "servers": _servers(hub)},
        "ids": [int(number) for number in hub.people.ids.split("-")],
        **_gpus(hub),
    }
    if hub.people.teams:
        found["teams"] = rights.told(hub.people.teams)
    return found if hub.profiles is None else {**found, **bounds(hub.profiles, _own_servers(hub))}


def _servers(hub: Hub) -> int | None:
    """Return how many servers a user may run without `profiles`; None where `extra` has JupyterHub say it otherwise."""
    said = {"allow_named_servers", "named_server_limit_per_user"} & hub.extra.get("JupyterHub", {}).keys()
    return None if said else _own_servers(hub)


def _own_servers(hub: Hub) -> int:
    """Return `engine.servers`, one of an engine that has no such setting."""
    found: int = getattr(hub.engine, "servers", 1)
    return found


def _gpus(hub: Hub) -> dict[str, Any]:
    """Return which GPUs may be granted, once hub.yaml speaks of any; from then on servers see no others."""
    named = getattr(hub.engine, "gpus", None)
    of_sizes = hub.profiles is not None and any(size.gpu for size in hub.profiles.sizes.values())
    if named is None and not of_sizes:
        return {}
    return {"hide_gpus": True, "gpus": None if named is None else list(named)}


def _served(hub: Hub, site: Site) -> dict[str, Any]:
    """Return which accounts root's programs serve, and whether they make any.

    Where a provider says who people are, its groups are no Unix groups and its `all` is nobody of this machine: served
    is whose account was made for it, and whom root names. Otherwise whoever may write at the provider could come by any
    account that happens to be here. With `accounts: existing` this machine knows the same people, and decides itself.
    """
    everybody, create = False, False
    users, groups = {*hub.people.users, *admins(hub, site)}, set[str]()
    for section in ways_of(hub.auth).values():
        accounts = getattr(section, "accounts", None)
        if accounts == "make":
            create = True
            continue
        all_of_it, some, of_groups = parts(getattr(section, "allow", "nobody"))
        everybody = everybody or all_of_it
        users |= {*some}
        groups |= {*of_groups, *getattr(section, "admin_groups", ())}
        create = create or (accounts is None and bool(getattr(AUTH.of(section), "MAKES_ACCOUNTS", False)))
    return {"all": everybody, "groups": sorted(groups), "users": sorted(users), "create": create}


def metrics(hub: Hub) -> dict[str, Any]:
    """Return what the metrics' process reads: how often it looks, what it keeps, and who knows of the servers."""
    found = hub.metrics
    return {
        "source": getattr(ENGINES.of(hub.engine), "USAGE", None),
        "every": found.every,
        "disk_every": found.disk_every,
        "keep": {name: getattr(found.keep, name) for name in type(found.keep).model_fields},
    }


def _merge(setting: str, ours: Any, theirs: Any) -> Any:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**ours, **theirs}
    if setting in _ADDED and isinstance(ours, list) and isinstance(theirs, list):
        return [*ours, *theirs]
    return theirs


def _hub(hub: Hub, site: Site) -> dict[str, Any]:
    host, port = site.listen
    services: list[dict[str, Any]] = [{"name": CLI_SERVICE}]
    roles = [{"name": CLI_SERVICE, "scopes": list(_CLI_SCOPES), "services": [CLI_SERVICE]}]
    if hub.idle.stop_after:
        services.append({"name": CULLER_SERVICE, "command": _culler(hub, site)})
        roles.append({"name": CULLER_SERVICE, "scopes": list(_CULLER_SCOPES), "services": [CULLER_SERVICE]})
    if hub.classes:
        services.append({"name": CLASSES_SERVICE})
        roles.append({"name": CLASSES_SERVICE, "scopes": ["access:servers"], "services": [CLASSES_SERVICE]})
    roles += [role(name, one) for name, one in hub.classes.items()]
    settings: dict[str, Any] = {
        "bind_url": f"http://{f'[{host}]' if ':' in host else host}:{port}{site.base_url}",
        "hub_bind_url": unix_url(site.hub_socket, f"{site.base_url}hub/"),
        "hub_connect_url": unix_url(site.api_socket, f"{site.base_url}hub/", 80),
        "db_url": f"sqlite:///{site.database}",
        "upgrade_db": True,
        "cookie_secret_file": str(site.secrets / "cookie_secret"),
        # servers outlive the hub
        "cleanup_servers": False,
        "shutdown_on_logout": False,
        # a class of 60 that comes in together is let in together
        "concurrent_spawn_limit": 200,
        # the pages answer while a server that does not is still asked
        "init_spawners_timeout": 3,
        "services": services,
        "load_roles": roles,
        **branding.settings(hub.hub, site),
    }
    if hub.hub.url:  # else people may reach it by any name of this machine
        settings["public_url"] = site.public_url
    if hub.hub.landing == "home":
        settings["default_url"] = f"{site.base_url}hub/home"
    if not hub.metrics.enabled:  # the pages do not ask, then
        settings["template_vars"]["unmeasured"] = True
    if hub.classes:
        settings["teaching"] = {
            "sections": {name: one.model_dump(mode="json", exclude_none=True) for name, one in hub.classes.items()},
            "unix_groups": getattr(AUTH.of(hub.auth), "UNIX_GROUPS", False),
        }
    if hub.people.teams:
        settings["teams"] = rights.told(hub.people.teams)
        roles += [rights.role(name, str(one.group)) for name, one in hub.people.teams.items()]
    if hub.sharing:
        settings["extra_user_scopes"] = ["read:users:name", "shares!user"]
        settings["template_vars"]["sharing"] = True
    return settings


def _spawner(hub: Hub) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "default_url": "/lab",
        "start_timeout": 60,
        # a hub that starts takes a server that is silent for so long as stopped, and ends it
        "http_timeout": 180,
        "environment": {},
        # a server remembers what the hub said of a cookie: who logs out shall be out soon
        "args": [f"--HubAuth.cache_max_age={_REMEMBERED}", *_kernel_culling(hub)],
    }
    if hub.classes:  # a server asks what its user's classes are told, and says soon who is here
        settings["environment"] |= {"HUBWRIGHT_MESSAGES": "1", "JUPYTERHUB_ACTIVITY_INTERVAL": "60"}
    if hub.idle.stop_after:  # what the culler looks at must be newer than what it looks for
        report = min(60 if hub.classes else 300, max(1, math.floor(hub.idle.stop_after / 4)))
        settings["environment"]["JUPYTERHUB_ACTIVITY_INTERVAL"] = str(report)
    return settings


def _grant(hub: Hub, c: Settings) -> None:
    """Have every start go by `profiles`, where there is that section."""
    if (profiles := hub.profiles) is None:
        return
    own = _own_servers(hub)
    waits = profiles.wait if profiles.when_full == "wait" else 0.0
    entries = (profiles.default, *profiles.groups.values(), *profiles.users.values())
    most = max(entry.servers or (profiles.default.servers or own) for entry in entries)
    c["GrantingMixin"] = {
        **c.get("GrantingMixin", {}),
        "profiles": profiles.model_dump(mode="json", exclude_none=True),
        "most_servers": own,
        "idle_after": hub.idle.stop_after,
        "room_timeout": waits,
        "unix_groups": getattr(AUTH.of(hub.auth), "UNIX_GROUPS", False),
    }
    for settings in c.values():
        if "start_timeout" in settings:
            settings["start_timeout"] += math.ceil(waits)
    # JupyterHub counts the names there are, and takes 0 for "no limit"; how many run is decided at each start
    c["JupyterHub"].update(allow_named_servers=most > 1, named_server_limit_per_user=most - 1)


def _kernel_culling(hub: Hub) -> list[str]:
    """Return what tells Jupyter Server to stop idle kernels; one that computes is never stopped, by its default."""
    if not hub.idle.kernels_after:
        return []
    settings = {
        "cull_idle_timeout": max(1, round(hub.idle.kernels_after)),
        "cull_interval": max(1, round(hub.idle.check_every)),
        "cull_connected": True,  # a page that is left open uses nothing
    }
    return [f"--MappingKernelManager.{name}={value}" for name, value in settings.items()]


def _culler(hub: Hub, site: Site) -> list[str]:
    return [
        str(site.prefix / "bin" / "python"),
        "-I",
        "-m",
        "hubwright.hub.culler",
        "--config=",  # none from the folder it happens to run in
        f"--timeout={max(1, round(hub.idle.stop_after))}",
        f"--cull-every={max(1, round(hub.idle.check_every))}",
    ]
