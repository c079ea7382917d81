from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from burstfix.engine import host_memory
from burstfix.engine.host_memory import container_memory, free_memory

V1 = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "400"}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def limit(folder: str, left: int) -> dict[str, str]:
    """Return the files of a version 2 group with the given number of remaining bytes."""
    return {f"{folder}memory.max": f"{left + 700}\n", f"{folder}memory.current": "700\n"}


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"memory.max": "max\n", "memory.current": "5\n"}, None),
        ("0::/\n", limit("", 300), 300),
        ("0::/\n", {**limit("", 300), "memory.stat": "anon 7\ninactive_file 50\n"}, 350),
        ("0::/\n", {"memory.max": "1000", "memory.current": "1100"}, 0),
        ("0::/user/job\n", limit("user/job/", 300), 300),  # group of the process
        ("0::/user/job\n", limit("user/", 200), 200),  # its parent
        # The lower limit applies.
        ("0::/user/job\n", {**limit("user/job/", 300), **limit("user/", 200)}, 200),
        ("0::/user/job\n", limit("user/other/", 200), None),  # group of another process
        ("0::/docker/abc\n", limit("", 300), 300),  # a path that does not exist in the container
        ("3:cpu:/a\n2:memory:/a\n", {f"memory/a/{k}": v for k, v in V1.items()}, 600),
        ("2:memory:/docker/abc\n", {f"memory/{k}": v for k, v in V1.items()}, 600),
        ("2:cpu:/a\n", {f"memory/a/{k}": v for k, v in V1.items()}, None),
        ("1:cpu:/a\n0::/a\n", {f"unified/{k}": v for k, v in limit("a/", 300).items()}, 300),  # hybrid
        (None, limit("", 300), 300),
    ],
)
def test_container_memory_when_groups_have_limits_then_it_is_the_smallest_remainder(
    tmp_path, membership, files, expected
):
    own = tmp_path / "cgroup"
    if membership is not None:
        own.write_text(membership)
    write(tmp_path / "sys", files)
    assert container_memory(tmp_path / "sys", own) == expected


def test_free_memory_when_in_a_small_container_then_it_is_below_its_limit(tmp_path, monkeypatch):
    write(tmp_path, {"memory.max": "5000", "memory.current": "2000", "own": "0::/\n"})
    monkeypatch.setattr(host_memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(host_memory, "_OWN_CGROUPS", tmp_path / "own")
    assert free_memory() == 3000


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_free_memory_when_the_address_space_is_limited_then_it_is_the_remaining_address_space():
    code = (
        "import resource\n"
        "from burstfix.engine.host_memory import free_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (900_000_000, resource.RLIM_INFINITY))\n"
        "print(free_memory())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) < 900_000_000


def test_peak_memory_when_a_process_frees_its_memory_then_the_peak_remains() -> None:
    script = (
        "from burstfix.engine.host_memory import peak_memory\n"
        "block = bytearray(b'x' * 200_000_000)\n"
        "del block\n"
        "print(peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 200e6 < int(done.stdout) < 900e6
