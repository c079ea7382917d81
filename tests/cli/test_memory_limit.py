"""A merge in a process with little address space ends with the exit code for memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, resource.RLIM_INFINITY))
from burstfix.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
# Too low to import torch. With more, its libraries end the process themselves (std::bad_alloc).
@pytest.mark.parametrize("limit", [350_000_000])
def test_merge_when_the_address_space_is_small_then_exit_6(
    limit: int, small_burst: list[Path], tmp_path: Path
):
    out = tmp_path / "out.tif"
    command = [sys.executable, "-c", CODE.format(limit=limit), "merge", *map(str, small_burst)]
    run = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True)
    assert run.returncode == 6, run.stderr
    assert run.stderr.splitlines()[-1].startswith("burstfix: out of memory")
    assert not out.exists()
