"""From hub.yaml to the units of an installed service, as text; pure.

`hubwright.service` stands for all of them: stopping it stops all. One unit keeps the others in step (the keeper: it
writes what they read, gives Caddy its certificates, ends what hangs), one holds the ports, one the control groups of
the notebooks, and each part has its own. systemd.unit(5), systemd.service(5), systemd.socket(5).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from hubwright import proxy
from hubwright.care.part import Part
from hubwright.care.programs import programs
from hubwright.care.supervise import ACCOUNT_HELPER, CADDY, FORK_SERVER, HUB, METRICS, ROSTER, ZYGOTES
from hubwright.care.units.installed import KEEPER, MAIN, MARK, unit_of
from hubwright.care.units.sandbox import Sandbox, Settings, settings
from hubwright.config.load import Loaded
from hubwright.engines import hosted
from hubwright.errors import Refused, printable
from hubwright.fields import Site
from hubwright.machine.systemd import command, unit_file, word
from hubwright.proxy import apex
from hubwright.proxy.https import https_of

LISTENERS = proxy.Descriptors(public=3, internal=4, redirect=5)
"""Under which numbers Caddy gets its sockets from systemd (sd_listen_fds(3)), in the order of the socket's unit."""
SOCKET = f"hubwright-{CADDY}.socket"
NOTE = 'Written by "hubwright install"'
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WHAT = {
    FORK_SERVER: "fork server, which starts people's notebook servers",
    ACCOUNT_HELPER: "account helper, which checks Unix passwords and makes accounts",
    CADDY: "proxy (Caddy)",
    HUB: "hub (JupyterHub)",
    METRICS: "metrics",
    ROSTER: "roster, which applies changes of the list of people",
    ZYGOTES: "zygotes, from which kernels of shared environments are forked",
}
_AFTER_EXIT = {CADDY: "200ms"}
"""How long systemd waits before it starts a part again; a second for the others."""
_HOLDER = (
    "d=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); "
    "[ ! -e $d/cgroup.procs ] || { mkdir -p $d/holder && echo $$ >$d/holder/cgroup.procs; }; exec sleep infinity"
)
"""Out of the group itself: one that is divided must have no process (cgroup-v2.rst, "No Internal Process")."""


def notebooks_unit(site: Site) -> str:
    """Return the unit in whose control group notebook servers live, as `machine.delegate` looks for it."""
    return f"hubwright-{site.run.name}.service"


def units(loaded: Loaded, site: Site) -> dict[str, str]:
    """Return the text of every unit by its name.

    Raises:
        Refused: a path has a line break, or what else cannot be shown: it would be another setting of a unit.
    """
    for path in (site.state, _config(loaded)):
        if not str(path).isprintable():
            raise Refused(f"{printable(str(path))} has letters that cannot be shown.", remedy="Name another place.")
    parts = programs(loaded, site, {}, LISTENERS)
    local = hosted(loaded.hub.engine) is None
    made = {unit_of(part.name): _part(part, loaded, site) for part in parts}
    if local:
        made[notebooks_unit(site)] = _notebooks(site)
    made[SOCKET] = _socket(loaded, site)
    made[KEEPER] = _keeper(loaded, site)
    return {MAIN: _main(loaded, site, sorted(made)), **made}


def _text(name: str, sections: Mapping[str, Settings]) -> str:
    return unit_file(sections, note=f"{NOTE}, which writes it anew. Settings of your own: systemctl edit {name}")


def _main(loaded: Loaded, site: Site, others: list[str]) -> str:
    """Stopping it stops all, and waits for them, as they come after it.

    It has no process: one that ends by itself would take the others along.
    """
    return _text(
        MAIN,
        {
            "Unit": [
                ("Description", "Hubwright notebook service"),
                ("Wants", " ".join(others)),
                ("After", KEEPER),
            ],
            "Service": [("Type", "oneshot"), ("RemainAfterExit", "yes"), ("ExecStart", "/bin/true")],
            "Install": [("WantedBy", "multi-user.target")],
            MARK: [("State", str(site.state)), ("Config", str(_config(loaded))), ("Port", str(site.listen[1]))],
        },
    )


def _config(loaded: Loaded) -> Path:
    return loaded.path.absolute() if loaded.path else Path("/")


def _keeper(loaded: Loaded, site: Site) -> str:
    """Started anew with the main unit, and only stopped with it."""
    config = _config(loaded)
    words = [str(site.prefix / "bin" / "python"), "-I", "-m", "hubwright", "up", "--units"]
    words += ["--config", str(config), "--state", str(site.state)]
    return _text(
        KEEPER,
        {
            "Unit": [
                ("Description", "Hubwright: keeper, which looks after the others"),
                ("PartOf", MAIN),
                ("Wants", "network-online.target"),
                ("After", "network-online.target nss-user-lookup.target remote-fs.target docker.service"),
                _mounts(config.parent, site.state, site.prefix),
                ("StartLimitIntervalSec", "0"),
            ],
            "Service": [
                ("Type", "notify"),
                ("ExecStart", command(words)),
                ("Environment", word(f"PATH={site.prefix}/bin:{_SYSTEM}")),
                ("Environment", "LANG=C.UTF-8"),
                ("Environment", word(f"HOME={site.logs}")),
                ("Restart", "always"),
                ("RestartSec", "2s"),
                ("RestartPreventExitStatus", "78"),
                ("TimeoutStartSec", "15min"),
                ("TimeoutStopSec", "60s"),
                ("WatchdogSec", "5min"),
                ("UMask", "0077"),
                ("SyslogIdentifier", "hubwright-keeper"),
            ],
        },
    )


def _part(part: Part, loaded: Loaded, site: Site) -> str:
    name = unit_of(part.name)
    unit: Settings = [
        ("Description", f"Hubwright: {_WHAT[part.name]}"),
        ("StopPropagatedFrom", MAIN),
        ("After", " ".join([KEEPER, MAIN, *([SOCKET] if part.name == CADDY else [])])),
        *([("Requires", SOCKET)] if part.name == CADDY else []),
        _made_ready(site),
        _mounts(site.state, site.prefix),
        ("StartLimitIntervalSec", "0"),
    ]
    service: Settings = [
        ("Type", "notify" if part.name == CADDY else "exec"),
        ("ExecStart", command(part.argv)),
        *(("Environment", word(f"{key}={value}")) for key, value in part.env.items()),
        *([("User", part.account)] if part.account else []),
        *([("SupplementaryGroups", " ".join(map(str, part.groups)))] if part.groups else []),
        *_ending(part),
        ("Restart", "always"),
        ("RestartSec", _AFTER_EXIT.get(part.name, "1s")),
        ("UMask", f"{part.umask:04o}"),
        ("IgnoreSIGPIPE", "no"),
        ("OOMPolicy", "continue"),
        ("SyslogIdentifier", name.removesuffix(".service")),
    ]
    if part.name in (CADDY, HUB):
        service.append(("LimitNOFILE", "65536"))
    if part.name == CADDY:  # where it tidies up before it has read where its files are
        service.append(("Environment", "XDG_DATA_HOME=/tmp"))
    if sandbox := _sandbox(part.name, loaded, site):
        service += settings(sandbox)
    return _text(name, {"Unit": unit, "Service": service})


def _ending(part: Part) -> Settings:
    """A notebook that is just being started, or an account that is being made, is not ended with its unit."""
    kept = part.name in (FORK_SERVER, ACCOUNT_HELPER)
    return [("KillMode", "process" if kept else "mixed"), ("TimeoutStopSec", f"{part.grace:g}s")]


def _sandbox(name: str, loaded: Loaded, site: Site) -> Sandbox | None:
    """Return what a part may do; None for what starts other people's programs, or makes their accounts."""
    hub = loaded.hub
    beside = loaded.path.absolute().parent if loaded.path else None
    match name:
        case "hub":
            # with containers it looks whether a home is there and whose
            reads = (site.prefix, *([beside] if beside else []))
            homes = hosted(hub.engine) is not None
            return Sandbox((site.state, site.run), reads, (site.logs,), network=True, homes=homes)
        case "caddy":
            pages = apex.apex_of(hub.static, site)
            shown = (site.prefix, site.static, *([Path(pages.folder)] if pages else []))
            acme = https_of(hub.https).serving(hub.https, site).acme is not None
            writes = (site.state, site.run) if acme else (site.run,)  # it keeps its certificates in the state
            hidden = (site.secrets, site.database, site.logs)
            return Sandbox(writes, shown, hidden, network=True, others=False, compiled=True)
        case "metrics":
            hidden = (site.secrets, site.database, site.logs)
            return Sandbox((site.state, site.run), (site.prefix,), hidden, devices=True, homes=True)
    return None


def _notebooks(site: Site) -> str:
    """The unit is stopped before the fork server is, which then cleans up after each server that has ended."""
    name = notebooks_unit(site)
    return _text(
        name,
        {
            "Unit": [
                ("Description", "Hubwright: people's notebook servers"),
                ("StopPropagatedFrom", MAIN),
                ("After", f"{MAIN} {unit_of(FORK_SERVER)} network.target nss-user-lookup.target remote-fs.target"),
            ],
            "Service": [
                ("ExecStart", command(["/bin/sh", "-c", _HOLDER])),
                ("RemainAfterExit", "yes"),  # notebooks outlive the process that holds the unit
                ("Delegate", "yes"),
                ("TasksMax", "infinity"),
                ("OOMPolicy", "continue"),
                ("TimeoutStopSec", "10s"),
                ("SyslogIdentifier", "hubwright-notebooks"),
            ],
        },
    )


def _socket(loaded: Loaded, site: Site) -> str:
    """The ports: bound while the service is there, whoever of its parts is being restarted."""
    redirect = https_of(loaded.hub.https).serving(loaded.hub.https, site).redirect
    streams = [_address(site.listen), str(site.api_socket), *([_address(redirect)] if redirect else [])]
    return _text(
        SOCKET,
        {
            "Unit": [
                ("Description", "Hubwright: the ports of the proxy"),
                ("DefaultDependencies", "no"),  # else before sockets.target, and so before what it comes after
                ("StopPropagatedFrom", MAIN),
                ("After", f"sysinit.target {KEEPER} {MAIN}"),
                # without a keeper Caddy cannot be started, and systemd would try without end once somebody connects
                _made_ready(site),
                ("Conflicts", "shutdown.target"),
                ("Before", "shutdown.target"),
            ],
            "Socket": [
                *(("ListenStream", stream.replace("%", "%%")) for stream in streams),
                ("SocketMode", "0666"),
                ("Backlog", "4096"),
                ("FreeBind", "yes"),  # an address that the machine gets later
                ("TriggerLimitBurst", "0"),
            ],
        },
    )


def _address(listen: tuple[str, int]) -> str:
    """Return an address as ListenStream= wants it: a number, not a name."""
    found = socket.getaddrinfo(*listen, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4]
    host, port = str(found[0]), int(found[1])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _made_ready(site: Site) -> tuple[str, str]:
    """Return the condition that what the keeper writes is there."""
    return "ConditionPathExists", str(site.run / "site.json").replace("%", "%%")


def _mounts(*paths: Path) -> tuple[str, str]:
    return "RequiresMountsFor", " ".join(dict.fromkeys(word(str(path)) for path in paths))
