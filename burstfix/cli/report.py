"""`burstfix report`: write reports for pictures that were merged earlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import options, target
from burstfix.cli.epilog import epilog
from burstfix.cli.progress import MERGING, REPORTING
from burstfix.cli.terminal import Terminal
from burstfix.errors import InputError, UsageError
from burstfix.io.write.formats import format_of
from burstfix.report.summary import shown_path

if TYPE_CHECKING:
    from burstfix.report.html.repeat import PictureRecipe
    from burstfix.types import Progress

EXAMPLES = (
    "burstfix report night.tif --raws shots/",
    "burstfix report pictures/ --raws card/",
)


@click.command("report", epilog=epilog(*EXAMPLES))
@click.argument(
    "pictures",
    nargs=-1,
    required=True,
    metavar="PICTURE|FOLDER...",
    type=click.Path(path_type=Path, exists=True),
)
@click.option(
    "--raws",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder with the raws, searched with its subfolders; may be given several times.  "
    "[default: the folder of the picture]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Report file; allowed only for a single picture.  [default: the path of the picture with the suffix "
    ".html]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing reports.")
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    pictures: tuple[Path, ...],
    raws: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
) -> None:
    """Write reports for pictures that burstfix merged earlier.

    Each picture contains the names of its raws and the settings of its merge. The merge is repeated for the
    report; the picture is not changed. In a folder, files that burstfix did not write are skipped.
    """
    files = _pictures(pictures)
    if output is not None and len(files) > 1:
        raise UsageError(f"-o names one report, but {len(files)} pictures are given; leave out -o")
    targets = [output or picture.with_suffix(".html") for picture in files]
    for path in targets:
        target.check_report_file(path, overwrite=overwrite)

    with terminal.progress(MERGING | REPORTING) as progress:
        from burstfix.report.html.repeat import find_raws, read_recipe

        written: list[dict[str, Any]] = []
        for picture, path in zip(files, targets, strict=True):
            try:
                recipe = read_recipe(picture)
            except InputError:
                if picture in pictures:  # given on the command line, not found by searching a folder
                    raise
                continue
            found = find_raws(recipe.frames, raws or (picture.resolve().parent,))
            _write(picture, path, recipe, found, overwrite, progress)
            written.append(
                {
                    "picture": str(picture.absolute()),
                    "report": str(path.absolute()),
                    "frame_count": len(found),
                }
            )
    terminal.result(records.Reports, {"reports": written}, _lines, closing=True)


def _lines(document: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{shown_path(one['report'])}: {one['frame_count']} frames" for one in document["reports"]
    )


def _pictures(paths: tuple[Path, ...]) -> list[Path]:
    """List the given pictures, and the pictures in the given folders."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in inside if file == path or (file.is_file() and format_of(file) is not None)]
    return files


def _write(
    picture: Path, path: Path, recipe: PictureRecipe, raws: list[Path], overwrite: bool, progress: Progress
) -> None:
    """Repeat a merge and write its report."""
    from burstfix.pipeline import merge_burst, read_burst
    from burstfix.report.frames import burst_document
    from burstfix.report.html.write import write_report

    settings = replace(recipe.settings, keep_all=True)  # the recipe lists only frames that were kept
    reference = raws[recipe.frames.index(recipe.reference)]
    burst = read_burst(raws, reference=reference, **settings.reading(), progress=progress)
    linear = merge_burst(burst, **settings.merging(), progress=progress)
    document = {"output": str(picture), **burst_document(burst), "settings": dict(linear.settings)}
    document["model"] = linear.settings["model"]
    progress("report", 0, 1)
    write_report(path, burst, document, settings, linear, overwrite=overwrite)
    progress("report", 1, 1)
