"""`burstfix merge`: merge a burst of raws into one picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from burstfix import records
from burstfix.cli import finding, options, target
from burstfix.cli.checks import check_default_name, check_reference, load_chosen_model
from burstfix.cli.epilog import epilog
from burstfix.cli.libraries import fast_imports
from burstfix.cli.progress import MERGING, REPORTING
from burstfix.cli.terminal import Terminal
from burstfix.cli.values import index_of
from burstfix.io.read.ahead import ReadAhead
from burstfix.io.read.paths import expand, folders_of

EXAMPLES = (
    "burstfix merge shots/*.dng",
    "burstfix merge shots/*.dng -o night.jpg --quality 90",
    "burstfix merge shots/ -o pictures/ --reference shots/IMG_0004.dng",
    "burstfix merge shots/*.dng --look vivid --wb auto -o night.png",
    "burstfix merge shots/*.dng --noise 1e-3,2e-5 --json",
    "burstfix merge shots/*.dng -o night.dng",
    "burstfix merge shots/*.dng --report night.html",
)


@click.command("merge", epilog=epilog(*EXAMPLES))
@options.paths
@options.reference
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER",
    help="Output file, or the folder to write it to.  [default: REFERENCE_merged.tif]",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option(
    "--preview",
    is_flag=True,
    help="Merge quickly at a quarter of height and width, to choose the reference and the look.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write a report of the merge: before and after, frames, maps, noise.",
)
@finding.source
@options.settings(options.named(options.MERGE, "reading", "picture", "rendering", "compute"))
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    typed: dict[str, Any],
    paths: tuple[str, ...],
    reference: int | Path | None,
    output: str | None,
    overwrite: bool,
    preview: bool,
    report: Path | None,
    source: finding.Source,
) -> None:
    """Merge a burst of raws into one clean picture.

    PATHS are the raws of one burst: files, patterns, or a folder. One of the frames is the reference: the
    others are aligned to it, and the result has its framing. A single raw is denoised on its own.
    """
    started = time.perf_counter()
    settings = source.merge(folders_of(paths), typed)
    if preview:
        settings = settings.for_preview()
    destination = target.plan(output, settings, typed=typed, overwrite=overwrite)
    if report is not None:
        target.check_report(report, destination, settings, overwrite=overwrite)
    files = expand(paths)
    destination.refuse_inputs(files)

    check_reference(reference, files)
    check_default_name(destination, reference, files)

    stages = MERGING if report is None else MERGING | REPORTING
    mode = "skip" if preview else settings.opcodes
    # Importing torch takes seconds, so the checks above run without it, and raws are decoded meanwhile.
    with (
        terminal.progress(stages) as progress,
        ReadAhead(files, skip_bad=settings.skip_bad, opcodes=mode, progress=progress) as ahead,
    ):
        with fast_imports():
            from burstfix.engine.host_memory import peak_memory
            from burstfix.pipeline import finish_picture, merge_burst, read_burst
            from burstfix.report.frames import burst_document
            from burstfix.report.summary import closing_line

        model = load_chosen_model(settings)
        how: dict[str, Any] = settings.reading() | {"reference": index_of(reference), "preview": preview}
        burst = read_burst(ahead.result(), **how, progress=progress)
        path = destination.path(burst.frames[burst.reference].metadata.path, files)
        was_read = time.perf_counter()
        mosaic = destination.is_raw and settings.dng == "mosaic"
        how = settings.merging() | {"model": model, "mosaic": mosaic, "measure_noise": destination.is_raw}
        linear = merge_burst(burst, **how, progress=progress)
        was_merged = time.perf_counter()
        progress("write", 0, 1)
        picture = replace(settings, bit_depth=destination.bit_depth, format=destination.format)
        finished = finish_picture(linear, path, picture, overwrite=overwrite)
        progress("write", 1, 1)
        ended = time.perf_counter()
        document = {
            "output": str(path.absolute()),
            "report": None if report is None else str(report.absolute()),
            "format": destination.format,
            "bit_depth": destination.bit_depth,
            "height": finished.height,
            "width": finished.width,
            "megapixels": round(finished.height * finished.width / 1e6, 3),
            "model": linear.settings.get("model", settings.model),
            **burst_document(burst),
            "settings": _plain(finished.image.settings),
            "seconds": {
                "read": round(was_read - started, 3),
                "merge": round(was_merged - was_read, 3),
                "write": round(ended - was_merged, 3),
                "total": round(ended - started, 3),
            },
            "peak_memory_bytes": peak_memory(),
        }
        if report is not None:
            from burstfix.report.html.write import write_report

            progress("report", 0, 1)
            complete = records.complete(records.Merge, document)
            write_report(report, burst, complete, picture, linear, finished.image, overwrite=overwrite)
            progress("report", 1, 1)
    terminal.result(records.Merge, document, closing_line, closing=True)


def _plain(value: Any) -> Any:
    """Convert a setting to JSON values."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast(Sequence[Any], value)]
    return str(value)
