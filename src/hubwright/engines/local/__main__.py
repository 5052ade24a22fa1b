"""`python -m hubwright.engines.local`: the fork server."""

from __future__ import annotations

from importlib import import_module

from hubwright import grammars


def main() -> None:
    """Run the fork server."""
    grammars.defer()
    import_jupyterlab()
    from hubwright.engines.local import forkserver

    forkserver.main()


def import_jupyterlab() -> None:
    """Import it without Node.js being looked for.

    Where there is one, it would be run for a second, as root, to say from where packages come that only builds need.
    """
    from jupyterlab import commands

    which = commands.which
    commands.which = _find_nothing
    try:
        import_module("jupyterlab.labapp")
    finally:
        commands.which = which


def _find_nothing(program: str) -> str:
    """What `which` does with a program that is not there."""
    raise ValueError(program)


if __name__ == "__main__":
    main()
