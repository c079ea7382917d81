"""`burstfix inspect`: analyse a burst without merging it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from burstfix import records
from burstfix.cli import finding, options, target
from burstfix.cli.checks import check_reference
from burstfix.cli.epilog import epilog
from burstfix.cli.libraries import fast_imports
from burstfix.cli.progress import READING
from burstfix.cli.terminal import Terminal
from burstfix.cli.values import index_of
from burstfix.errors import InputError
from burstfix.io.read.ahead import ReadAhead
from burstfix.io.read.paths import expand, folders_of
from burstfix.types import Burst, FrameMetadata

EXAMPLES = (
    "burstfix inspect shots/*.dng",
    "burstfix inspect shots/ --skip-bad",
    "burstfix inspect shots/*.dng --json",
    "burstfix inspect shots/*.dng --plot burst.html",
)


@click.command("inspect", epilog=epilog(*EXAMPLES))
@options.paths
@options.reference
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html|FILE.png",
    help="Also write the frames, the camera motion and the noise, as an HTML page or as a picture.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --plot if it exists.")
@finding.source
@options.settings(options.named(options.MERGE, "reading"))
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    typed: dict[str, Any],
    paths: tuple[str, ...],
    reference: int | Path | None,
    plot: Path | None,
    overwrite: bool,
    source: finding.Source,
) -> None:
    """Analyse a burst frame by frame, without merging it.

    The table lists for each raw: time, exposure, size, levels, sharpness (1 = the sharpest), shift (sensor
    pixels) and rotation (degrees) relative to the reference, and whether `merge` would keep the frame.
    Columns that do not fit the terminal are left out. Nothing is written without --plot.
    """
    settings = source.merge(folders_of(paths), typed)
    if plot is not None:
        target.check_report_file(plot, suffixes=(".html", ".htm", ".png"), overwrite=overwrite)
    files = expand(paths)
    check_reference(reference, files)

    reading = settings.reading()
    how = {name: reading[name] for name in ("skip_bad", "opcodes")}
    # Raws are decoded while torch is imported, which takes seconds.
    with (
        terminal.progress(READING) as progress,
        ReadAhead(files, **how, progress=progress) as ahead,
    ):
        with fast_imports():
            from burstfix.pipeline import read_burst
            from burstfix.report.frames import burst_document, burst_tables

        frames = ahead.result()
        burst = read_burst(frames, reference=index_of(reference), **reading, progress=progress)
        document = burst_document(burst, _dropped_metadata(burst))
        if plot is not None:
            from burstfix.report.html.write import write_report

            write_report(plot, burst, document, settings, overwrite=overwrite)
    terminal.result(records.Inspect, document, burst_tables)


def _dropped_metadata(burst: Burst) -> dict[Path, FrameMetadata]:
    """Read the metadata of the dropped frames; leave out unreadable files."""
    from burstfix.io import read_metadata

    found: dict[Path, FrameMetadata] = {}
    for frame in burst.dropped:
        try:
            found[frame.path] = read_metadata(frame.path)
        except InputError:
            continue  # `frame.reason` already states the error
    return found
