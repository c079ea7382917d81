"""`burstfix doctor`: check an installation."""

from __future__ import annotations

import click

from burstfix import records
from burstfix.cli import finding, options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.settings.files import FILE_NAME, NOISE_TABLE

EXAMPLES = ("burstfix doctor", "burstfix doctor --json")


@click.command("doctor", epilog=epilog(*EXAMPLES))
@options.verbosity
@options.pass_terminal
def command(terminal: Terminal) -> int:
    """Check this installation: versions, devices, weights, settings.

    A small built-in burst is merged on every device, and the result is compared with that of the CPU in
    float32. A device that differs by more than the tolerance is reported, and --device auto does not choose
    it. The exit code is 1 if a device computes wrong results, and 7 if weights are missing or damaged.
    """
    from burstfix.report.doctor import examine, lines

    folder = finding.user_folder()
    found = examine([folder / FILE_NAME, folder / NOISE_TABLE])
    terminal.result(records.Doctor, found.document, lambda document: "\n".join(lines(document)))
    return found.exit_code
