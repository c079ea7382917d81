"""`burstfix noise-profile`: measure the noise of a camera."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.errors import InputError, OutputError
from burstfix.io.read.paths import expand

EXAMPLES = (
    "burstfix noise-profile shots/*.dng -o profiles.toml",
    "burstfix merge shots/*.dng --noise-profiles profiles.toml",
)


@click.command("noise-profile", epilog=epilog(*EXAMPLES))
@click.argument("paths", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Noise table to write; entries are added to an existing one.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace entries of the same camera and ISO.")
@options.verbosity
@options.pass_terminal
def command(terminal: Terminal, paths: tuple[str, ...], output: Path, overwrite: bool) -> None:
    """Measure the noise of a camera whose files lack a noise profile.

    FILES are raws. For each ISO, give one burst, or two or more frames of a flat, still subject. A single
    frame gives a less accurate result. Frames are grouped by camera and ISO. The result is a table with an
    entry for each camera and ISO. `merge` uses the table for files without a NoiseProfile. Name the table
    with --noise-profiles, or store it as noise_profiles.toml in your config folder.
    """
    files = expand(paths)
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent}: this folder does not exist; create it first")

    from burstfix.analysis.noise_calibration import measure_noise
    from burstfix.analysis.noise_table import NoiseTable, load_table, save_table
    from burstfix.io.read.selection import select_raws
    from burstfix.report.frames import noise_document

    table = load_table(output) if output.exists() else NoiseTable()
    selection = select_raws(files)
    entries: list[dict[str, Any]] = []
    with terminal.progress() as progress:
        for measured in measure_noise(selection.paths, progress=progress):
            if measured.iso in table.cameras.get(measured.camera, {}) and not overwrite:
                raise OutputError(
                    f"{output}: has an entry for {measured.camera} at ISO {measured.iso:g}; "
                    "add --overwrite to replace it"
                )
            table = table.with_entry(measured.camera, measured.iso, measured.noise)
            entries.append(
                {
                    "camera": measured.camera,
                    "iso": measured.iso,
                    "frame_count": measured.frames,
                    "noise": noise_document(measured.noise),
                }
            )
    if not entries:
        raise InputError("nothing to measure; " + "; ".join(selection.warnings))
    save_table(table, output, overwrite=True)
    document = {"output": str(output.absolute()), "entries": entries, "warnings": list(selection.warnings)}
    terminal.result(records.NoiseProfile, document, _lines)


def _lines(document: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{e['camera']}, ISO {e['iso']:g}: "
        f"S {e['noise']['shot_gain'][1]:.3g}, O {e['noise']['read_variance'][1]:.3g} "
        f"({e['frame_count']} frame{'s' if e['frame_count'] > 1 else ''})"
        for e in document["entries"]
    )
