"""What the kernel is asked for, beside what attacks show."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from tau2_gym.sandbox.jail import linux

COLLAPSES = """
import sys
sys.path.insert(0, {folder!r})
from jail import linux

def large():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("AnonHugePages:"))

kept = [bytes([number % 256]) * 1000 for number in range(40_000)]
before = large()
linux.make_forks_cheap()
assert all(piece == bytes([number % 256]) * 1000 for number, piece in enumerate(kept))
print(large() - before)
"""


def test_memory_is_put_into_large_pages_and_stays_what_it_was() -> None:
    if sys.platform != "linux":
        pytest.skip("this is not Linux")
    with mmap.mmap(-1, 2**23, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(2**23))
        try:
            memory.madvise(linux.COLLAPSE)
        except OSError as error:
            pytest.skip(f"this kernel does not put memory into large pages: {error}")
    code = COLLAPSES.format(folder=str(Path(linux.__file__).parents[1]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20_000  # of 40 MB, in KiB
