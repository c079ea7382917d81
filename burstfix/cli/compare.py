"""`burstfix compare`: PSNR and SSIM of two pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.report.summary import shown_path

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
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ground truth: compare A and B with this picture, not with each other.",
)
@options.verbosity
@options.pass_terminal
def command(terminal: Terminal, a: Path, b: Path, truth: Path | None) -> None:
    """Measure how similar two pictures are.

    With --truth, compare each of them with a third picture. All pictures must have the same size; 8 and 16
    bits may be mixed. PSNR and SSIM compare pixel values, so all pictures should have the same colour space.
    """
    from burstfix.evaluation.compare import compare

    pictures = [a] if truth is None else [a, b]
    truth = b if truth is None else truth
    document = {
        "truth": str(truth.absolute()),
        "pictures": [_record(picture, compare(picture, truth)) for picture in pictures],
    }
    terminal.result(records.Compare, document, _lines)


def _record(path: Path, found: Similarity) -> dict[str, Any]:
    psnr = found.psnr if math.isfinite(found.psnr) else None
    return {"path": str(path.absolute()), "psnr": psnr, "ssim": found.ssim}


def _lines(document: Mapping[str, Any]) -> str:
    pictures = document["pictures"]
    texts = [f"PSNR {one['psnr'] or math.inf:.2f} dB, SSIM {one['ssim']:.4f}" for one in pictures]
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"{shown_path(one['path'])}: {text}" for one, text in zip(pictures, texts, strict=True))
