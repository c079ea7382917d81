"""Compare the speed of one `burstfix batch` with a loop that calls `burstfix merge`, on simulated bursts.

    python benchmarks/batch.py                     # 20 bursts of 2 megapixels x 4, average, 2 threads
    python benchmarks/batch.py --bursts 5 --max-memory 2GB
    python benchmarks/batch.py --bursts 200 --height 640 --width 800 --frames 3 --loop 5 --jobs 1 --jobs 2

Both run as commands in their own processes. The times include starting the program, finding the bursts,
decoding, merging and writing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from merge import watch, write_burst


@click.command()
@click.option("--bursts", default=20, show_default=True)
@click.option("--frames", default=4, show_default=True)
@click.option("--height", default=1200, show_default=True, help="Height in sensor pixels.")
@click.option("--width", default=1680, show_default=True)
@click.option("--model", default="average", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--jobs", "all_jobs", multiple=True, type=int, default=(1,), help="Compare several.")
@click.option("--loop", "looped", type=int, help="Bursts that are merged in the loop.  [default: all]")
@click.option("--max-memory", default=None, help="Value for burstfix batch.")
def main(
    bursts: int, frames: int, height: int, width: int, model: str, threads: int, all_jobs: tuple[int, ...],
    looped: int | None, max_memory: str | None,
) -> None:  # fmt: skip
    """Simulate bursts, merge them in both ways, and print the times."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    burstfix = [sys.executable, "-m", "burstfix"]
    size = height * width / 1e6
    click.echo(f"{bursts} bursts of {size:.1f} megapixels x {frames}, {model}, {threads} threads")
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        root = Path(name)
        folders = []
        for k in range(bursts):
            folders.append(root / "card" / f"{k:03}")
            folders[-1].mkdir(parents=True)
            write_burst(folders[-1], height, width, frames, seed=k)
        (root / "loop").mkdir()
        looped = min(looped or bursts, bursts)
        started = time.perf_counter()
        for folder in folders[:looped]:
            out = root / "loop" / f"{folder.name}.tif"
            command = [*burstfix, "merge", str(folder), "-o", str(out), "-m", model, "-q", "--device", "cpu"]
            subprocess.run(command, env=environment, check=True)
        each = (time.perf_counter() - started) / looped
        click.echo(
            f"loop of merge ({looped} bursts): {each:.2f} s and {size / each:.2f} megapixels per second"
        )
        for jobs in all_jobs:
            out = root / f"batch-{jobs}"
            command = [*burstfix, "batch", str(root / "card"), "-o", str(out), "-m", model, "-q"]
            command += ["--device", "cpu", "--jobs", str(jobs)]
            command += ["--max-memory", max_memory] if max_memory else []
            started = time.perf_counter()
            process = subprocess.Popen(command, env=environment)
            most = watch(process)
            seconds = time.perf_counter() - started
            made = len(list(out.rglob("*.tif")))
            if process.returncode or made != bursts:
                raise SystemExit(f"exit code {process.returncode}, {made} pictures")
            click.echo(
                f"batch --jobs {jobs}: {seconds:.1f} s, {bursts * size / seconds:.2f} megapixels per second, "
                f"{each * bursts / seconds:.2f} times as fast as merge, {most.total / 1e9:.2f} GB"
            )


if __name__ == "__main__":
    main()
