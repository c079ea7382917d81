"""A merge in a process with little address space ends with the exit code for memory."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from burstfix.cli import libraries
from burstfix.cli.libraries import check_memory_suffices
from burstfix.errors import OutOfMemoryError

CODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, resource.RLIM_INFINITY))
from burstfix.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
# Too low to load torch, which raises an exception (350 MB here) or ends the process (550 MB).
# Slightly more leaves too little for the merge, and then torch fails in many ways (600 and 700 MB).
@pytest.mark.parametrize("limit", [350_000_000, 550_000_000, 600_000_000, 700_000_000])
def test_merge_when_the_address_space_is_small_then_exit_6(
    limit: int, small_burst: list[Path], tmp_path: Path
):
    out = tmp_path / "out.tif"
    command = [sys.executable, "-c", CODE.format(limit=limit), "merge", *map(str, small_burst)]
    run = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True)
    assert run.returncode == 6, run.stderr
    assert run.stderr.splitlines()[-1].startswith("burstfix: out of memory")
    assert not out.exists()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (500_000_000, resource.RLIM_INFINITY))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
@pytest.mark.parametrize("end", [os.abort, lambda: os._exit(1)])
def test_check_memory_suffices_when_a_library_ends_the_process_then_out_of_memory(
    end: Callable[[], None], limited: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib, "import_module", lambda name: end())
    with pytest.raises(OutOfMemoryError, match="limited to 500 MB"):
        check_memory_suffices()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_check_memory_suffices_when_an_import_raises_then_the_real_import_reports_it(
    limited: None, monkeypatch: pytest.MonkeyPatch
):
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    check_memory_suffices()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_check_memory_suffices_when_too_little_is_left_for_the_merge_then_out_of_memory(
    limited: None, monkeypatch: pytest.MonkeyPatch
):
    def take_nearly_all(name: str) -> None:
        import resource

        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000, resource.RLIM_INFINITY))

    monkeypatch.setattr(importlib, "import_module", take_nearly_all)
    with pytest.raises(OutOfMemoryError, match="limited to 500 MB"):
        check_memory_suffices()


def test_check_memory_suffices_when_memory_is_not_limited_then_nothing_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"), raising=False)
    check_memory_suffices()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_check_memory_suffices_when_an_import_raises_for_lack_of_memory_then_out_of_memory(
    limited: None, monkeypatch: pytest.MonkeyPatch
):
    def fail(name: str) -> None:
        raise RuntimeError("some library has no message for a lack of memory")

    monkeypatch.setattr(libraries, "_WORKING_MEMORY", 1 << 60)
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(OutOfMemoryError, match="limited to 500 MB"):
        check_memory_suffices()
