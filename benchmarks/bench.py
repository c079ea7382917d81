"""Measure the speed of burstfix: whole commands, the stages of a merge, and memory traffic.

    python benchmarks/bench.py                                # 12 megapixels x 5, 2 threads; 2 to 5 minutes
    python benchmarks/bench.py --against ../burstfix-0.1.0    # also another checkout, alternately

Compare the figures only with others of the same run: machines differ, and other programs disturb them.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click
import torch
from merge import Peak, watch, write_burst
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from burstfix import pipeline
from burstfix.align import blocks, gather
from burstfix.checkpoints import load_model
from burstfix.cli.app import keep_freed_memory
from burstfix.color import render
from burstfix.engine import infer
from burstfix.engine.device import CpuDevice
from burstfix.io import read_frames, write_image
from burstfix.models import average, kpn, layers
from burstfix.models.kernel_network import KernelNetwork
from burstfix.native import lanes

# Commands that are measured as a whole: name, arguments, and environment.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
COMMANDS: tuple[tuple[str, list[str], dict[str, str]], ...] = (
    ("merge, kpn", ["merge", "-m", "kpn"], {}),
    ("merge, kpn, float32 and AVX2 only", ["merge", "-m", "kpn", "--precision", "float32"], AVX2),
    ("merge, average", ["merge", "-m", "average"], {}),
    ("inspect", ["inspect"], {}),
)
# Functions to measure: stage, module or class, name. The time of an inner stage is not part of the outer one.
STAGES: tuple[tuple[str, Any, str], ...] = (
    ("match", infer, "find_fields"),
    ("convolve: encoder and U-Net", KernelNetwork, "_encode_frame"),
    ("convolve: encoder and U-Net", KernelNetwork, "_unet"),
    ("filter: predict and apply kernels", kpn.Kpn, "_filter"),
    ("head: demosaic and refine", KernelNetwork, "_head"),
    ("average windows", average.Average, "_average"),
    ("correct shadows", average, "_unbiased_shadows"),
    ("demosaic", average, "menon"),
)
# Compiled loops: torch does not see their memory traffic.
LOOPS: tuple[tuple[Any, str], ...] = (
    (layers, "convolve"),
    (kpn, "apply_kernels"),
    (average, "merge_windows"),
    (gather, "gather"),
    (blocks, "window_costs"),
    (blocks, "choose"),
)


@click.command()
@click.option("--height", default=3000, show_default=True, help="Height in sensor pixels.")
@click.option("--width", default=4000, show_default=True)
@click.option("--frames", default=5, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--repeat", default=2, show_default=True, help="Measurements; the smallest time is printed.")
@click.option("--against", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None)
def main(height: int, width: int, frames: int, threads: int, repeat: int, against: Path | None) -> None:
    """Print machine, whole commands, stages, and memory traffic."""
    keep_freed_memory()  # as the command does
    torch.set_num_threads(threads)
    megapixels = height * width / 1e6
    device, loops = CpuDevice(), {0: "no compiled loops", 8: "AVX2 loops", 16: "AVX-512 loops"}[lanes()]
    click.echo(f"machine: {device.name}, {torch.backends.cpu.get_cpu_capability()}, {loops}")
    bfloat16 = "bfloat16" if device.has_bfloat16() else "float32"
    click.echo(f"         {bfloat16}, {threads} threads, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as name:
        folder = Path(name)
        paths = write_burst(folder, height, width, frames)
        click.echo(f"\nwhole commands, {megapixels:.1f} megapixels x {frames}")
        trees = [Path(__file__).resolve().parents[1], *([against.resolve()] if against else [])]
        for title, arguments, environment in COMMANDS:
            print_command(title, [*arguments, *map(str, paths)], environment, trees, threads, repeat)
        for model in ("kpn", "average"):
            click.echo(f"\nstages of {model}")
            print_stages(model, paths, folder / "stages.tif")
        (folder / "small").mkdir()
        small = write_burst(folder / "small", 1024, 1024, frames)
        click.echo("\nmemory traffic of merging: inputs and outputs of all operations")
        for model in ("kpn", "average"):
            click.echo(f"  {model:<10} {bytes_moved(model, small) / 2**20:8.0f} bytes per sensor pixel")


def print_command(
    title: str,
    arguments: list[str],
    environment: dict[str, str],
    trees: list[Path],
    threads: int,
    repeat: int,
) -> None:
    """Run a command in each tree, in turn, and print the smallest time and the largest memory."""
    best = [(float("inf"), 0)] * len(trees)
    for _ in range(repeat):
        for k, tree in enumerate(trees):
            seconds, peak = measure(arguments, environment, tree, threads)
            best[k] = (min(best[k][0], seconds), max(best[k][1], peak.total))
    line = f"  {title:<36} {best[0][0]:6.1f} s {best[0][1] / 1e9:6.2f} GB"
    if len(best) > 1:
        line += (
            f"   other: {best[1][0]:6.1f} s {best[1][1] / 1e9:6.2f} GB, ratio {best[0][0] / best[1][0]:.2f}"
        )
    click.echo(line)


def measure(
    arguments: list[str], environment: dict[str, str], tree: Path, threads: int
) -> tuple[float, Peak]:
    """Run a command with the code of a tree; return seconds and the peak memory of all its processes."""
    command = [sys.executable, "-m", "burstfix", *arguments, "-q"]
    with tempfile.TemporaryDirectory(prefix="burstfix-benchmark-") as out:
        if arguments[0] == "merge":
            command += ["-o", str(Path(out) / "out.tif"), "--device", "cpu"]
        own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONPATH": str(tree)}
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=tree, env=os.environ | environment | own, stdout=subprocess.DEVNULL
        )
        peak = watch(process)
        seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments[:3])}: exit code {process.returncode}")
    return seconds, peak


def print_stages(model: str, paths: list[Path], out: Path) -> None:
    """Merge in this process, and print the time of each stage and its share."""
    network = load_model(model)
    pipeline.merge_burst(pipeline.read_burst(paths[:2]), model=network, device="cpu")  # prepares weights
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        spent[stage] += time.perf_counter() - started

    with timed("decode"):
        read = read_frames(paths)
    with timed("analyse"):
        burst = pipeline.read_burst(read)
    with replaced({(place, name): stage for stage, place, name in STAGES}, timed), timed("merge"):
        linear = pipeline.merge_burst(burst, model=network, device="cpu")
    inside = sum(spent[stage] for stage in {stage for stage, *_ in STAGES})
    spent["the rest of merging"] = spent.pop("merge") - inside
    with timed("render"):
        picture = render(linear)
    with timed("write"):
        write_image(picture, out, overwrite=True)
    total = sum(spent.values())
    for stage, seconds in spent.items():
        if seconds > 0:
            click.echo(f"  {stage:<36} {seconds:6.2f} s {seconds / total:5.0%}")


def bytes_moved(model: str, paths: list[Path]) -> int:
    """Return the bytes of all inputs and outputs of the operations of a merge of 1024x1024 sensor pixels."""
    network, burst = load_model(model), pipeline.read_burst(paths)
    counter = _Traffic()

    @contextmanager
    def untouched(_: str) -> Iterator[None]:
        yield

    loops = {(place, name): name for place, name in LOOPS}
    with replaced(loops, untouched, counter.count), counter:
        infer.merge_tiled(burst, network)
    return counter.total


class _Traffic(TorchDispatchMode):
    """Mode that adds up the sizes of the tensors that operations read and write. Views are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        written = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        known = {each.untyped_storage().data_ptr() for each in read}
        in_place = func._schema.is_mutable
        if in_place or any(each.untyped_storage().data_ptr() not in known for each in written):
            self.count(read, written)
        return result

    def count(self, *values: Any) -> None:
        """Add the sizes of all tensors in nested lists, tuples and dataclasses."""
        for value in values:
            if isinstance(value, Tensor):
                self.total += value.nbytes
            elif isinstance(value, (list, tuple)):
                self.count(*value)
            elif is_dataclass(value):
                self.count(*(getattr(value, field.name) for field in fields(value)))


@contextmanager
def replaced(
    functions: dict[tuple[Any, str], str],
    around: Callable[[str], Any],
    seen: Callable[..., None] | None = None,
) -> Iterator[None]:
    """Wrap functions (module or class, name) in the context `around(label)`.

    `seen` receives their arguments and results.
    """

    def wrapped(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with around(label):
                result = function(*args, **kwargs)
            if seen is not None:
                seen(args, list(kwargs.values()), result)
            return result

        return call

    originals = {key: getattr(*key) for key in functions}
    try:
        for (place, name), label in functions.items():
            setattr(place, name, wrapped(originals[place, name], label))
        yield
    finally:
        for (place, name), original in originals.items():
            setattr(place, name, original)


if __name__ == "__main__":
    main()
