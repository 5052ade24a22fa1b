"""What people write beside the service: files of text, with every reason why one cannot be read told as a problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hubwright.errors import ConfigError, Problem

Told = Mapping[type[OSError], tuple[str, str]]
"""What is said of an error, and what to do about it."""


def read_text(path: Path, most: int, name: str, told: Told) -> str:
    """Return the text of a file in UTF-8, with or without a mark at its beginning.

    Args:
        path: the file.
        most: the bytes it may have.
        name: what a larger one is not, such as "roster".
        told: sentences for errors that this file has its own for.

    Raises:
        ConfigError: with the one problem why it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ConfigError([Problem(str(path), f"is larger than {most // 1024} kB, so it is no {name}.")])
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(f"{path}:{line}", "is not text in UTF-8.", "Save it as UTF-8.")
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}."
        problem = Problem(str(path), *next((said for kind, said in told.items() if isinstance(error, kind)), (reason,)))
    raise ConfigError([problem])
