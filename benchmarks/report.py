"""Measure the processor time of a report and of a preview, with three merges of the same synthetic burst.

    python benchmarks/report.py                     # 12 megapixels x 5, the default model, 1 thread
    python benchmarks/report.py --model average

The processor time of the whole command and its children is measured, because other programs on the machine
affect it less than wall time. The default is one thread, because threads that wait for each other count as
busy if another program uses the second core.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from merge import write_burst


@click.command()
@click.option("--model", default="auto", show_default=True)
@click.option("--height", default=3000, show_default=True, help="Height in sensor pixels.")
@click.option("--width", default=4000, show_default=True)
@click.option("--frames", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--repeat", default=1, show_default=True, help="Measurements; the smallest is printed.")
def main(model: str, height: int, width: int, frames: int, threads: int, repeat: int) -> None:
    """Generate a burst, merge it without and with a report and as a preview, and print the times."""
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        folder = Path(name)
        paths = write_burst(folder, height, width, frames)
        command = [sys.executable, "-m", "burstfix", "merge", *map(str, paths), "-q", "--overwrite"]
        command += ["--model", model, "-o", str(folder / "out.tif")]
        cases = {"merge": [], "merge --report": ["--report", str(folder / "out.html")]}
        cases["merge --preview"] = ["--preview"]
        seconds = {
            case: min(processor_seconds([*command, *more], threads) for _ in range(repeat))
            for case, more in cases.items()
        }
        size = (folder / "out.html").stat().st_size
    click.echo(f"{height * width / 1e6:.1f} megapixels x {frames}, model {model}, {threads} threads")
    for case, spent in seconds.items():
        click.echo(f"{case:<16} {spent:6.1f} s   {spent / seconds['merge']:7.1%}")
    click.echo(f"report           {size / 1e6:6.2f} MB")


def processor_seconds(command: list[str], threads: int) -> float:
    """Run a command; return the processor time of the command and its children in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
