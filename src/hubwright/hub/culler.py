"""`python -m hubwright.hub.culler`: jupyterhub-idle-culler, which ends with the hub that started it.

JupyterHub starts a culler at each start and stops it at its end; a hub that is killed would leave one behind, with a
token that the next hub does not know.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the culler with this process's arguments until the hub is gone."""
    hub = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != hub:
        return
    from jupyterhub_idle_culler import main as cull

    cull()


if __name__ == "__main__":
    main()
