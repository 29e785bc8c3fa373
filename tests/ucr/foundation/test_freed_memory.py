import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from ucr.foundation.errors import command

@command
def main():
    np.ones(8_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(8_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

main()
"""


def page_faults(**environment):
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux's C library is told")
def test_a_command_takes_freed_memory_again_without_asking_the_system():
    assert page_faults() < 2000
    assert (
        page_faults(MALLOC_MMAP_MAX_="65536", MALLOC_TRIM_THRESHOLD_="100000") > 2000
    )  # the user's own word
