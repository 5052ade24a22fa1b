"""`python -m hubwright.hub`: JupyterHub, with pages of ours."""

from __future__ import annotations

from hubwright import grammars


def main() -> None:
    """Run the hub."""
    grammars.defer()
    from hubwright.hub.app import Application

    Application.launch_instance()


if __name__ == "__main__":
    main()
