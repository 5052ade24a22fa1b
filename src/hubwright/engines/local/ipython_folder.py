"""Where IPython keeps its profile: in the home, or in memory where that takes nothing more."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_LAST = "~/.ipython/profile_default/startup"
"""Of the folders that IPython makes."""


def find() -> None:
    """Make what IPython makes at its first kernel, or name a folder in memory for it in a home that is full.

    IPython raises where it cannot make one: in each Python kernel, and where kernels of any language are listed. What
    else is wrong with the folder is left to IPython, which takes another or says so.
    """
    try:
        if "IPYTHONDIR" not in os.environ and not Path(_LAST).expanduser().exists():
            _make()
    except OSError as error:
        if error.errno in _NO_ROOM:
            os.environ["IPYTHONDIR"] = str(Path(jupyter_runtime_dir(), "ipython"))


def _make() -> None:
    # whoever forks servers has these, for kernels; other importers of this module need not wait for them
    from IPython.core.profiledir import ProfileDir
    from IPython.paths import get_ipython_dir

    ProfileDir.create_profile_dir_by_name(get_ipython_dir(), "default")
