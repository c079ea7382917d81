"""Compare the compiled convolutions with those of torch, on one thread.

    python benchmarks/convolutions.py

The unit is GFLOP per second of a direct convolution, although the compiled ones need fewer products.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import torch
from torch import Tensor

from burstfix.models.layers import Conv
from burstfix.native import lanes
from burstfix.native.conv import convolve

CHANNELS = (32, 48, 96, 128)


@click.command()
@click.option("--side", default=512, show_default=True, help="Side of the picture in pixels.")
@click.option("--repeat", default=5, show_default=True, help="Measurements; the fastest is printed.")
def main(side: int, repeat: int) -> None:
    """Print a table: channels, data type, torch, compiled loops."""
    if not lanes():
        raise SystemExit("there are no compiled loops for this processor, or they were not compiled")
    torch.set_num_threads(1)
    click.echo("channels  data type   torch  compiled   largest difference")
    for channels in CHANNELS:
        for dtype in (torch.float32, torch.bfloat16):
            conv = Conv(channels, channels)
            x = torch.randn(1, channels, side, side).to(dtype, memory_format=torch.channels_last)
            work = 2 * channels * channels * 9 * side**2 / 1e9
            with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                reference = torch.conv2d(x.float(), conv.weight, conv.bias, padding=1)
                slow = fastest(
                    lambda x=x, conv=conv: torch.conv2d(x, conv.weight, conv.bias, padding=1), repeat
                )
                fast = fastest(lambda x=x, conv=conv: convolve(conv, x), repeat)
                difference = float((convolve(conv, x).float() - reference).abs().max())
            name = str(dtype).removeprefix("torch.")
            click.echo(f"{channels:8}  {name:<9} {work / slow:7.0f} {work / fast:9.0f}   {difference:.1e}")


def fastest(work: Callable[[], Tensor], repeat: int) -> float:
    """Return the smallest processor time of a function in seconds."""
    best = float("inf")
    for _ in range(repeat):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


if __name__ == "__main__":
    main()
