"""Plot a training run from its log: loss and validation PSNR against steps."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from burstfix.atomic import atomic_path

logger = logging.getLogger(__name__)


def plot_log(log: Path, target: Path) -> bool:
    """Plot a log written by `Run` to the PNG file `target`; replace an existing file.

    Returns:
        True if the plot was written; False if matplotlib (extra "train") is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("no plot is written, because matplotlib is missing; install burstfix[train]")
        return False
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses = [r for r in records if "loss" in r]
    validations = [r for r in records if "psnr" in r]
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot([r["step"] for r in losses], [r["loss"] for r in losses], linewidth=0.8)
    upper.set_yscale("log")
    upper.set_ylabel("training loss")
    for level in validations[-1]["psnr"] if validations else ():
        steps = [r["step"] for r in validations]
        lower.plot(steps, [r["psnr"][level] for r in validations], marker=".", label=f"{level} noise")
        lower.legend()
    lower.set_ylabel("validation PSNR, dB")
    lower.set_xlabel("step")
    with atomic_path(target, overwrite=True) as beside:
        figure.savefig(beside, dpi=120)
    return True
