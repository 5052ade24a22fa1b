"""What a server and a kernel are spared at their start, beside what the libraries would have done."""

import json
import logging
import subprocess
import sys
import textwrap

import pytest


def alone(code: str) -> str:
    """Run code in an interpreter of its own, since applications are singletons; return what it printed."""
    begin = "from hubwright import grammars\ngrammars.defer()\n"  # as the fork server, a second sooner
    done = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ARGUMENTS = [
    "--LabApp.override_static_url=/hub/x",
    "--ServerApp.cookie_secret_file=~/a=b",
    "--ServerApp.tornado_settings={'a': True}",
    "--ServerApp.port=7",
    "--Unknown.name=~/one",
    "--LanguageServerManager.node_roots=/a",
    "--LanguageServerManager.node_roots=/b c",
]


def test_settings_of_a_server_mean_what_traitlets_reads() -> None:
    both = alone(
        f"""
        import json
        from jupyter_server.serverapp import ServerApp
        from hubwright.engines.local import settings
        from hubwright.engines.local.server import ARGUMENTS, HandedServerApp

        argv = [*ARGUMENTS, *{ARGUMENTS!r}]
        settings.prepare(HandedServerApp)
        ours, theirs = HandedServerApp(), HandedServerApp()
        assert settings.parse(ours, argv)
        ServerApp.parse_command_line(theirs, argv)
        shown = [[repr(app.cli_config), repr(app.config), app.argv, app.extra_args, app.port] for app in (ours, theirs)]
        print(json.dumps(shown))
        """
    )
    ours, theirs = json.loads(both)
    assert ours == theirs
    assert ours[-1] == 7


@pytest.mark.parametrize("argv", [["-f", "/tmp/x.json"], ["-f", "/tmp/x.json", "--debug"], ["--matplotlib=inline"]])
def test_settings_of_a_kernel_mean_what_traitlets_reads(argv: list[str]) -> None:
    both = alone(
        f"""
        import json
        from ipykernel.kernelapp import IPKernelApp
        from hubwright.engines.local import kernel_app

        kernel_app.prepare()
        ours, theirs = kernel_app.ForkedKernelApp(), kernel_app.ForkedKernelApp()
        ours.parse_command_line({argv!r})
        IPKernelApp.parse_command_line(theirs, {argv!r})
        print(json.dumps([[repr(app.cli_config), app.connection_file, app.extra_args] for app in (ours, theirs)]))
        """
    )
    ours, theirs = json.loads(both)
    assert ours == theirs


@pytest.mark.parametrize("own", [{}, {"loggers": {"tornado": {"level": "ERROR"}}}])
def test_the_log_is_set_up_as_traitlets_does(own: dict[str, object]) -> None:
    both = alone(
        f"""
        import json, logging
        from traitlets.config.application import Application
        from hubwright.engines.local import logs

        class Ours(Application):
            pass

        class Theirs(Application):
            pass

        def told(kind):
            app = kind(log_level="INFO", logging_config={own!r})
            log, [handler] = app.log, app.log.handlers
            app.log_level = logging.ERROR
            [later] = app.log.handlers
            formatter = handler.formatter
            return [log.level, log.propagate, log.name, handler.level, handler.name, later.level, type(handler).__name__,
                    type(formatter).__name__, formatter._fmt, formatter.datefmt, logging.getLogger("tornado").level]

        logs.prepare(Ours)
        print(json.dumps([told(Ours), told(Theirs)]))
        """
    )
    ours, theirs = json.loads(both)
    assert [word for word in ours if word != "Ours"] == [word for word in theirs if word != "Theirs"]
    assert logging.INFO in ours
    assert logging.ERROR in ours


def test_events_are_known_before_a_server_starts() -> None:
    told = alone(
        """
        from hubwright.engines.local import events
        events.prepare()
        from jupyter_server import serverapp
        app = serverapp.ServerApp()
        app.init_event_logger()
        known = {id(schema) for schema in events._KNOWN.values()}
        registered = app.event_logger.schemas._schemas.values()
        print(len(registered), all(id(schema) in known for schema in registered))
        """
    )
    assert told.split() == ["3", "True"]


def test_notebook_shim_finds_the_same_names() -> None:
    told = alone(
        """
        from jupyter_server.serverapp import ServerApp
        from notebook_shim import nbserver
        from notebook_shim.traits import NotebookAppTraits
        from hubwright.engines.local import spared
        theirs = nbserver.diff_members
        spared.prepare()
        assert nbserver.diff_members is spared.public_beside
        old = NotebookAppTraits()
        ours = spared.public_beside(ServerApp(), old)
        print(len(ours), ours == theirs(ServerApp(), old))
        """
    )
    number, same = told.split()
    assert int(number) > 5
    assert same == "True"


def test_language_servers_are_looked_for_when_somebody_asks() -> None:
    told = alone(
        """
        import asyncio, logging
        from jupyter_lsp import serverextension
        from jupyter_lsp.manager import LanguageServerManager
        from jupyter_server.serverapp import ServerApp
        from tornado.ioloop import IOLoop
        from hubwright.engines.local import spared
        spared.prepare()
        async def main():
            manager = serverextension.LanguageServerManager(node_roots=[])
            app = ServerApp(log=logging.getLogger("lsp"))
            app.io_loop, app.language_server_manager = IOLoop.current(), manager
            await serverextension.initialize(app, "file:///tmp/documents")
            before = dict(manager.all_language_servers)
            assert await asyncio.gather(manager.ready(), manager.ready()) == [True, True]
            plain = LanguageServerManager(node_roots=[])
            plain.initialize()
            print(len(before), len(plain.all_language_servers))
            print(manager.all_language_servers == plain.all_language_servers)
            print(manager.language_servers == plain.language_servers, manager.sessions.keys() == plain.sessions.keys())
        asyncio.run(main())
        """
    )
    before, known, *same = told.split()
    assert before == "0" < known
    assert same == ["True"] * 3


def test_an_application_of_others_reads_its_command_line_as_before() -> None:
    told = alone(
        """
        from jupyterlab.labapp import LabApp
        from hubwright.engines.local import settings
        theirs = LabApp()
        theirs.parse_command_line(["--LabApp.dev_mode=True", "left"])
        settings.adopt(LabApp)
        ours = LabApp()
        ours.parse_command_line(["--LabApp.dev_mode=True", "left"])
        print(ours.dev_mode, ours.cli_config == theirs.cli_config, ours.extra_args == theirs.extra_args)
        empty = LabApp()
        empty.parse_command_line([])
        print(empty.argv == [] == empty.extra_args)
        """
    )
    assert told.split() == ["True"] * 4
