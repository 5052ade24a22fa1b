"""Pieces of Python that take more than they may have, for a cell or a process."""

MEMORY = "b = []\nwhile True: b.append(bytearray(b'x') * 2**24)"
PROCESSORS = (
    "import time, os\npid = os.fork()\nt = time.perf_counter(); c = time.process_time()\n"
    "while time.perf_counter() - t < 4: pass\n"
    "used = time.process_time() - c\n"
    "if pid == 0: os._exit(min(255, int(used * 50)))\n"
    "_, s = os.waitpid(pid, 0)\nprint((used + os.waitstatus_to_exitcode(s) / 50) / 4)"
)
"""Two busy processes for four seconds; prints how many processors they had together."""
