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
    """Give an application's logger its level, which every logger has to hear of; once, in the fork server."""
    logging.getLogger(kind.__name__).setLevel(logging.DEBUG)


class PlainLog(Application):
    """What an application derives from, first, to have its log set up in this way."""

    def _configure_logging(self) -> None:
        """Set up the log as `Application.get_default_logging_config` says; private there, and a test pins it."""
        logger = logging.getLogger(type(self).__name__)
        if self.logging_config or logger.level != logging.DEBUG:
            super()._configure_logging()
            return
        handler: Any = logging.StreamHandler(sys.stderr)
        handler.set_name(_NAME)
        handler.setLevel(self.log_level)
        handler.setFormatter(self._log_formatter_cls(self.log_format, self.log_datefmt))
        for old in logger.handlers[:]:
            logger.removeHandler(old)
        logger.addHandler(handler)
        self._logging_configured = True
