"""An application's log, set up without looking at every logger there is.

traitlets hands a dictionary to `logging.config`, which walks over all loggers and handlers: 1 MB of copied pages in a
server and in a kernel. With none of the user's own settings that dictionary means one logger with one handler.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from traitlets.config.application import Application

_NAME = "console"


def prepare(kind: type[Application]) -> None:
    """Have an application set up its log in this way; once, in the fork server: every logger has to hear of a level."""
    logging.getLogger(kind.__name__).setLevel(logging.DEBUG)
    kind._configure_logging = _configure


def _configure(app: Any) -> None:
    """Set up a log as `Application.get_default_logging_config` says; private there, and a test pins it."""
    logger = logging.getLogger(type(app).__name__)
    if app.logging_config or logger.level != logging.DEBUG:
        Application._configure_logging(app)
        return
    handler: Any = logging.StreamHandler(sys.stderr)
    handler.set_name(_NAME)
    handler.setLevel(app.log_level)
    handler.setFormatter(app._log_formatter_cls(app.log_format, app.log_datefmt))
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    app._logging_configured = True
