"""A voice that remembers, and parts that are tiny programs."""

import sys

import pytest

from hubwright.care.part import Part


class Memory:
    """A `Voice` that keeps what it is told."""

    def __init__(self):
        self.said, self.warned, self.waited = [], [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)

    def wait(self, text):
        self.waited.append(text)


@pytest.fixture
def voice():
    return Memory()


@pytest.fixture
def program(tmp_path):
    """Make a part that runs a piece of Python; `-S -E` so that it starts at once."""

    def make(name="thing", code="import time; time.sleep(60)", **options):
        options.setdefault("env", {"PATH": "/usr/bin:/bin"})
        argv = (sys.executable, "-I", "-S", "-c", code)
        return Part(name, argv, log=tmp_path / f"{name}.log", **options)

    return make
