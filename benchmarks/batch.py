"""Compare the speed of one `burstfix batch` with a loop that calls `burstfix merge`, on simulated bursts.

    python benchmarks/batch.py                     # 20 bursts of 2 megapixels x 4, average, 2 threads
    python benchmarks/batch.py --bursts 5 --max-memory 2GB

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
@click.option("--jobs", default=1, show_default=True)
@click.option("--max-memory", default=None, help="Value for burstfix batch.")
def main(
    bursts: int, frames: int, height: int, width: int, model: str, threads: int, jobs: int,
    max_memory: str | None,
) -> None:  # fmt: skip
    """Simulate bursts, merge them in both ways, and print the times."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    burstfix = [sys.executable, "-m", "burstfix"]
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        root = Path(name)
        folders = []
        for k in range(bursts):
            folders.append(root / "card" / f"{k:03}")
            folders[-1].mkdir(parents=True)
            write_burst(folders[-1], height, width, frames, seed=k)
        (root / "loop").mkdir()
        started = time.perf_counter()
        for folder in folders:
            out = root / "loop" / f"{folder.name}.tif"
            command = [*burstfix, "merge", str(folder), "-o", str(out), "-m", model, "-q", "--device", "cpu"]
            subprocess.run(command, env=environment, check=True)
        loop = time.perf_counter() - started
        command = [*burstfix, "batch", str(root / "card"), "-o", str(root / "batch"), "-m", model, "-q"]
        command += ["--device", "cpu", "--jobs", str(jobs)]
        command += ["--max-memory", max_memory] if max_memory else []
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment)
        most = watch(process)
        batch = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(process.returncode)
        made = len(list((root / "batch").rglob("*.tif")))
    megapixels = bursts * height * width / 1e6
    click.echo(
        f"{bursts} bursts of {height * width / 1e6:.1f} megapixels x {frames}, {model}, {threads} threads"
    )
    click.echo(f"loop of merge   {loop:6.1f} s   {megapixels / loop:.2f} megapixels per second")
    click.echo(
        f"batch           {batch:6.1f} s   {megapixels / batch:.2f} megapixels per second ({made} pictures)"
    )
    click.echo(
        f"batch is        {loop / batch:6.2f} times as fast; its peak memory is {most.total / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
