"""`burstfix inspect`: what burstfix sees in a burst, without merging it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.paths import expand
from burstfix.cli.terminal import Terminal
from burstfix.errors import InputError
from burstfix.types import Burst, FrameMetadata, NoiseProfile

EXAMPLES = (
    "burstfix inspect shots/*.dng",
    "burstfix inspect shots/ --skip-bad",
    "burstfix inspect shots/*.dng --json",
)


@click.command("inspect", epilog=epilog(*EXAMPLES))
@options.burst
@options.speech
@options.pass_terminal
def command(
    terminal: Terminal,
    paths: tuple[str, ...],
    reference: int | Path | None,
    noise: NoiseProfile | None,
    noise_profiles: Path | None,
    skip_bad: bool,
    keep_all: bool,
    opcodes: Any,
) -> None:
    """Show what burstfix sees in a burst, frame by frame.

    For each raw: time, exposure, size, levels, sharpness (1 = the sharpest), where its content lies against
    the reference (in sensor pixels, and turned by so many degrees), and whether `merge` would keep it.
    Nothing is written.
    """
    files = expand(paths)

    from burstfix.pipeline import read_burst
    from burstfix.report.frames import burst_document, burst_tables

    with terminal.progress() as progress:
        burst = read_burst(
            files,
            reference=options.reference_index(reference),
            noise=noise,
            skip_bad=skip_bad,
            keep_all=keep_all,
            opcodes=opcodes,
            noise_profiles=options.noise_table(noise_profiles),
            progress=progress,
        )
        document = burst_document(burst, _dropped_metadata(burst))
    terminal.result(document, burst_tables(document))


def _dropped_metadata(burst: Burst) -> dict[Path, FrameMetadata]:
    """What the files of dropped frames still say about themselves."""
    from burstfix.io import read_metadata

    found = {}
    for frame in burst.dropped:
        try:
            found[frame.path] = read_metadata(frame.path)
        except InputError:
            continue  # the reason for dropping it says as much
    return found
