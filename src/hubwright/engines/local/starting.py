"""The forked child, from reading the hub's request until it is a user's notebook server."""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

from jupyter_server_terminals.app import TerminalsExtensionApp
from jupyterlab.labapp import LabApp
from nbformat.validator import get_validator
from setproctitle import setproctitle

from hubwright.engines.local import (
    agent,
    answers,
    collaboration,
    events,
    gpus,
    installed,
    lab_settings,
    launch,
    logs,
    provisioner,
    server,
    settings,
    sharing,
    spared,
)
from hubwright.engines.local.output import PIPE, make_outlet, open_pipe
from hubwright.engines.local.singleuser import SingleUser
from hubwright.errors import Full, HubwrightError, MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import cgroups, policy, room, wire
from hubwright.machine.process import Process


@dataclass
class Machine:
    """What is the same for every user and costs time to find out."""

    npm_prefix: str = ""


MACHINE = Machine()


def prepare(site: Site) -> None:
    """Look at the machine, and make what is the same for every server; once, in the fork server."""
    MACHINE.npm_prefix = server.npm_prefix(site.account if site.privileged else None)
    for minor in (4, 5):
        get_validator(4, minor)  # type: ignore[no-untyped-call]
    isinstance("", Mapping)  # as every line of a log asks; the answer takes all subclasses, and is remembered
    provisioner.prepare()
    settings.prepare(server.HandedServerApp)
    for kind in (server.HandedServerApp, SingleUser, LabApp, TerminalsExtensionApp):
        logs.prepare(kind)
    for kind in (LabApp, TerminalsExtensionApp):
        settings.adopt(kind)
    events.prepare()
    spared.prepare()
    installed.prepare()
    answers.EXPORTERS.prepare()
    sharing.SHARING.prepare()
    lab_settings.prepare()
    from hubwright.engines.local import kernel_app  # not before `preload` has imported what is a kernel's

    kernel_app.prepare()


def run(site: Site, hierarchy: cgroups.Hierarchy, caller: socket.socket, parent: socket.socket) -> NoReturn:
    """Read the request, become the server it wants, and serve; a refusal goes to the caller in words.

    Args:
        site: where the service keeps its things.
        hierarchy: where control groups are made.
        caller: the hub's connection; gets one answer, and later `{"ready":true}`.
        parent: the pair to the fork server, which knows what runs already.
    """
    code = 1
    try:
        _serve(site, hierarchy, caller, parent)
        code = 0
    except HubwrightError as error:
        answer = {"ok": False, "error": error.problem.what, "remedy": error.problem.remedy}
        caller.sendall(wire.encode({**answer, "full": isinstance(error, Full)}))
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(site: Site, hierarchy: cgroups.Hierarchy, caller: socket.socket, parent: socket.socket) -> None:
    helper = agent.fork([caller.fileno(), parent.fileno()])  # first: what is written from here on is not copied for it
    wanted = launch.Launch.parse(wire.receive(caller, 5))
    account, rule = _account(site, wanted.user)
    wanted = _within(wanted, rule)
    launch.check_home(account)
    team = rule.teams.get(wanted.user)
    if team:
        collaboration.check_folder(team, account.pw_gid)
        collaboration.check_installed(site.prefix)
    handed = gpus.handed(wanted.gpus, rule, wanted.user)
    share = room.Room.of(rule, hierarchy)
    missing = hierarchy.missing(wanted.limits) or hierarchy.missing(wanted.total)
    if not missing and wanted.reserve:
        missing = share.missing(wanted.reserve) if share else "this machine has no control groups to keep a reserve"
    if missing:
        raise MachineError(f"{wanted.user}'s server is not started: {missing}.", remedy="Leave that limit out.")
    group = hierarchy.group(f"user.{account.pw_uid}", wanted.key) if hierarchy.mounts else None
    if share:
        group = share.group(account.pw_uid, wanted.key, wanted.reserve)
        wanted = replace(wanted, limits=share.within(wanted.limits), total=share.within(wanted.total))
    me = Process.me()
    parent.send(
        json.dumps(
            {
                "key": wanted.key,
                "user": wanted.user,
                "server": wanted.server,
                "started": me.started,
                "group": group.path if group else "",
                "reserve": asdict(wanted.reserve),
                "gpus": wanted.gpus,
                "most": rule.limits_for(wanted.user)["servers"],
            }
        ).encode()
    )
    if (word := parent.recv(65536)) == b"runs":
        raise Refused(f"{wanted.user}'s server {wanted.server!r} is running already.", remedy="Stop it first.")
    if word != b"go":
        raise refused(wanted.user, word)
    parent.close()
    if group:
        group.make()
        if share:
            _limit_user(group, wanted.total)
        group.limit(wanted.limits)
        group.enter(me.pid)
        group.enter(helper.pid)
    if share and share.reserves:
        for pid in (me.pid, helper.pid):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(share.oom_score(wanted.reserve)))
    namespace = handed.part()
    listener, runtime = launch.open_place(site, account, wanted)
    launch.record(site, wanted, account.pw_uid, group.path if group else "")
    env = {**launch.user_environment(site, account, wanted, runtime), **handed.environment}
    if group and (file := group.oom_file()):
        env["HUBWRIGHT_OOM_FILE"] = str(file)
    name = f"{wanted.user}/{wanted.server}"
    outlet, kernels_output = make_outlet(account.pw_uid, account.pw_gid)
    groups = [*os.getgrouplist(account.pw_name, account.pw_gid), *handed.groups]
    cpus = max(1, round(wanted.limits.cpu or len(os.sched_getaffinity(0))))
    umask = collaboration.UMASK if team else 0o022
    place = agent.Place(tuple(account), groups, f"kernel-agent {name}", cpus, site.privileged, umask)
    helper.settle(place, kernels_output, namespace)
    output = open_pipe(site.servers / wanted.key / PIPE)
    launch.become(account, groups, env, output, privileged=site.privileged, umask=umask)
    setproctitle(f"notebook-server {name}")
    caller.sendall(wire.encode({"ok": True, "pid": me.pid, "started": me.started}))
    sys.argv = ["jupyterhub-singleuser"]
    more = collaboration.join(team.folder, site.prefix) if team else []
    provisioner.connect(helper.channel, (outlet, kernels_output))
    server.serve(listener, caller, [*server.node_roots(MACHINE.npm_prefix), *wanted.args, *more])


def refusal(why: HubwrightError) -> bytes:
    """Return the fork server's word to a child that may not start."""
    words = {"full": isinstance(why, Full), "what": why.problem.what[:2000], "remedy": why.problem.remedy[:1000]}
    return json.dumps(words, ensure_ascii=False).encode()


def refused(user: str, word: bytes) -> HubwrightError:
    """Return the error that `refusal` is about."""
    told = json.loads(word or b'{"full": false, "what": "the fork server has ended.", "remedy": "Try again."}')
    kind = Full if told["full"] else MachineError
    return kind(f"{user}'s server is not started: {told['what']}", remedy=told["remedy"])


def _account(site: Site, user: str) -> tuple[pwd.struct_passwd, policy.Policy]:
    """Return the account, and the rule by which root allows it a server, whatever the hub asks for."""
    account = policy.find_account(user)
    if account is None:
        raise Refused(f"This machine has no account {user!r}.")
    if site.privileged:
        rule = policy.Policy.load(site.policy)
        refusal = policy.may_serve(rule, account, policy.group_names(account))
        if refusal:
            raise refusal
        return account, rule
    if account.pw_uid != os.getuid():
        me = pwd.getpwuid(os.getuid()).pw_name
        raise Refused(f"Only {me} can have a server here: the service was not started by root.")
    return account, policy.Policy()


def _within(wanted: launch.Launch, rule: policy.Policy) -> launch.Launch:
    """Return the smaller of what the hub asks for and what root allows."""
    limits, total, reserve = launch.limits_in(rule.limits_for(wanted.user))
    return replace(
        wanted,
        limits=wanted.limits.within(limits),
        total=wanted.total.within(total),
        reserve=wanted.reserve.within(reserve),
    )


def _limit_user(group: cgroups.Group, total: cgroups.Limits) -> None:
    """Hold all servers of a user to their total; take an earlier one off."""
    whole = cgroups.Group(group.hierarchy, str(Path(group.path).parent))
    whole.unlimit()
    whole.limit(total)
