"""Free places between what is imported, in an interpreter of its own."""

import subprocess
import sys
import textwrap


def test_no_free_place_is_left_between_used_ones() -> None:
    code = """
        from hubwright.engines.local import holes
        kept = [bytes(size) for size in range(480) for _ in range(100)]
        kept = kept[::3]
        free = lambda: sum(size * count for size, count in holes._free_blocks().items())
        before, taken = free(), holes.fill()
        print(before, taken, free())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    before, taken, after = map(int, done.stdout.split())
    assert before > 1_000_000
    assert taken >= before * 0.9
    assert after < before / 10
