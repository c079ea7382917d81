"""`burstfix compare`: PSNR and SSIM of two pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.names import printable

if TYPE_CHECKING:
    from burstfix.evaluation.compare import Similarity

EXAMPLES = (
    "burstfix compare average.tif kpn.tif",
    "burstfix compare average.tif kpn.tif --truth truth.png",
)


@click.command("compare", epilog=epilog(*EXAMPLES))
@click.argument("a", metavar="A", type=click.Path(path_type=Path))
@click.argument("b", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--truth", type=click.Path(path_type=Path), metavar="FILE", help="Picture that both are compared with."
)
@options.speech
@options.pass_terminal
def command(terminal: Terminal, a: Path, b: Path, truth: Path | None) -> None:
    """Measure how similar two pictures are.

    With --truth, measure both against a third. All have the same size; 8 and 16 bits may be mixed. PSNR and
    SSIM compare pixel values, so both pictures should have the same colour space.
    """
    from burstfix.evaluation.compare import compare

    if truth is None:
        found = compare(a, b)
        terminal.result({"a": str(a), "b": str(b), **_record(found)}, lambda _: _text(found))
        return
    first, second = compare(a, truth), compare(b, truth)
    document = {
        "truth": str(truth),
        "a": {"path": str(a), **_record(first)},
        "b": {"path": str(b), **_record(second)},
    }
    terminal.result(
        document, lambda _: f"{printable(str(a))}: {_text(first)}\n{printable(str(b))}: {_text(second)}"
    )


def _record(found: Similarity) -> dict[str, float | None]:
    return {"psnr": found.psnr if math.isfinite(found.psnr) else None, "ssim": found.ssim}


def _text(found: Similarity) -> str:
    return f"PSNR {found.psnr:.2f} dB, SSIM {found.ssim:.4f}"
