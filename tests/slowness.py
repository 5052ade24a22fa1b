"""How much longer waits are here: the tests also run in an emulated machine, whose processor is many times slower."""

from __future__ import annotations

import os

SLOWNESS = float(os.environ.get("HUBWRIGHT_TEST_SLOWNESS", "1"))
"""1 on a usual machine; tests/machine/guest.py measures it for its guest."""
