"""Run burstfix on hostile files for some time, and print a table of the outcomes.

    python -m tests.fuzz.run --seconds 600 --seed 1
    python -m tests.fuzz.run --case opcodes:1:2345 -v

Target, seed and number determine an input, so every case can be repeated. An outcome is allowed if burstfix
succeeds or reports the error with the correct exit code. Faults are unexpected exceptions (exit code 1),
other exit codes, and cases that take more than 20 s of processor time or more than 1 GB of memory. Inputs
with faults are kept. With any fault, the fuzzer exits with code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import tifffile

from burstfix.checkpoints import load_model
from burstfix.cli import main as burstfix
from burstfix.errors import BurstfixError, InputError
from burstfix.io import read_frame
from burstfix.io.read.decoder_client import shared_client
from tests.fuzz import inputs

SLOW_SECONDS = 20.0
HANG_SECONDS = 120.0
MEMORY_LIMIT = 1_000_000_000  # additional bytes relative to the first case

READ, MERGED = "read", "merged"


class FaultError(Exception):
    """An outcome that is not allowed."""


def read(path: Path) -> str:
    """Read a raw. Allowed outcomes are a frame, and an `InputError` that names the file in one line."""
    try:
        frame = read_frame(path)
    except InputError as error:
        if str(path) not in str(error) or "\n" in str(error):
            raise FaultError(f"message without a file, or of several lines: {error}") from error
        return "refused (3)"
    metadata = frame.metadata
    if frame.mosaic.shape[:2] != (metadata.height, metadata.width):
        raise FaultError(f"mosaic of {frame.mosaic.shape}, metadata state {metadata.height}x{metadata.width}")
    if not float(metadata.levels.black.max()) < metadata.levels.white:
        raise FaultError("black is not below white")
    return READ


def merge(path: Path) -> str:
    """Merge a raw with the command. Allowed outcomes are a picture, and exit code 3 or 6 without one."""
    output = path.with_name("merged.tif")
    output.unlink(missing_ok=True)
    printed = io.StringIO()
    command = ["merge", str(path), "-o", str(output), "-m", "average", "--device", "cpu", "-q"]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = burstfix(command)
    if code not in (0, 3, 6):
        raise FaultError(f"exit code {code}: {printed.getvalue().strip()}")
    if code:
        if output.exists():
            raise FaultError(f"exit code {code}, but a picture was written")
        return f"refused ({code})"
    # Changed levels may turn a valid mosaic black or white.
    return MERGED if np.ptp(tifffile.imread(output)) else "merged to one value"


def read_and_merge(path: Path) -> str:
    """Read a raw and, if this succeeds, merge it."""
    outcome = read(path)
    return merge(path) if outcome == READ else outcome


def load(path: Path) -> str:
    """Load weights. Allowed outcomes are a model, and an error of burstfix."""
    try:
        load_model(path)
    except BurstfixError as error:
        if error.exit_code not in (2, 7) or "\n" in str(error):
            raise FaultError(f"exit code {error.exit_code}: {error}") from error
        return f"refused ({error.exit_code})"
    return "loaded"


Make = Callable[[random.Random, Path], Path]
Try = Callable[[Path], str]

TARGETS: dict[str, tuple[Make, Try]] = {
    "dng": (inputs.dng, read_and_merge),
    "opcodes": (inputs.opcode_lists, merge),
    "xmp": (inputs.xmp, read),
    "weights": (inputs.weights, load),
}


@dataclass(slots=True)
class Tally:
    """Outcomes of the inputs of one target."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    slowest: float = 0.0
    most_memory: int = 0


def run_case(target: str, seed: int, number: int, folder: Path) -> str:
    """Generate one input and test it.

    Raises:
        FaultError: The outcome is not allowed.
    """
    make, attempt = TARGETS[target]
    path = make(random.Random(f"{target}:{seed}:{number}"), folder)
    began = processor_seconds()
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=sys.__stderr__)
    try:
        outcome = attempt(path)
    except FaultError:
        raise
    except Exception as error:
        raise FaultError(f"{type(error).__name__}: {error}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    if (seconds := processor_seconds() - began) > SLOW_SECONDS:
        raise FaultError(f"took {seconds:.1f} s")
    return outcome


def _processes() -> list[psutil.Process]:
    """Return this process and, if it runs, the decoder."""
    found = [psutil.Process()]
    if (pid := shared_client().pid) is not None:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def processor_seconds() -> float:
    """Return the processor time used so far, which does not depend on other programs.

    For a restarted decoder, only the time since its start counts.
    """
    total = 0.0
    for process in _processes():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory() -> int:
    """Return the memory of this process and the decoder in bytes."""
    total = 0
    for process in _processes():
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def cases(only: list[str]) -> Iterator[tuple[str, int]]:
    """Yield targets in turn, each with an increasing number."""
    number = 0
    while True:
        for target in only:
            yield target, number
        number += 1


def fuzz(seconds: float, seed: int, only: list[str], keep: Path) -> int:
    """Test inputs until the time is over; print the table; return the number of faults."""
    tallies = {target: Tally() for target in only}
    end = time.monotonic() + seconds
    base, faults = 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for target, number in cases(only):
            if time.monotonic() > end:
                break
            tally, began = tallies[target], processor_seconds()
            try:
                outcome = run_case(target, seed, number, folder)
                used = memory()
                base = base or used
                tally.most_memory = max(tally.most_memory, used - base)
                if used - base > MEMORY_LIMIT:
                    raise FaultError(f"holds {(used - base) / 1e6:.0f} MB more than the first case")
            except FaultError as fault:
                faults += 1
                outcome = "FAULT"
                where = keep / f"{target}-{seed}-{number}"
                shutil.copytree(folder, where, dirs_exist_ok=True)
                sys.stderr.write(f"{target}:{seed}:{number}: {fault} (kept in {where})\n")
            tally.outcomes[outcome] += 1
            tally.slowest = max(tally.slowest, processor_seconds() - began)
    sys.stdout.write(table(tallies))
    return faults


def table(tallies: dict[str, Tally]) -> str:
    """Format the outcomes as a Markdown table."""
    lines = [
        "| target | cases | outcomes | slowest | memory beyond the first case |",
        "|---|---|---|---|---|",
    ]
    for target, tally in tallies.items():
        outcomes = ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common())
        lines.append(
            f"| {target} | {tally.outcomes.total()} | {outcomes} | {tally.slowest:.1f} s "
            f"| {tally.most_memory / 1e6:.0f} MB |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the fuzzer; the exit code is 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="time budget")
    parser.add_argument("--seed", type=int, default=None, help="random by default, and printed")
    parser.add_argument("--only", action="append", choices=list(TARGETS), help="a target; may be repeated")
    parser.add_argument("--case", metavar="TARGET:SEED:NUMBER", help="repeat one case")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for inputs with faults")
    parser.add_argument("-v", action="store_true", help="show the traceback of a repeated case")
    options = parser.parse_args(argv)
    if options.case:
        target, seed, number = options.case.split(":")
        options.keep.mkdir(parents=True, exist_ok=True)
        try:
            sys.stdout.write(run_case(target, int(seed), int(number), options.keep) + "\n")
        except FaultError as fault:
            if options.v:
                traceback.print_exception(fault)
            sys.stdout.write(f"FAULT: {fault}\n")
            return 1
        return 0
    logging.disable(logging.CRITICAL)  # warnings about the inputs
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    sys.stdout.write(f"seed {seed}, {options.seconds:g} s\n")
    sys.stdout.flush()
    return min(1, fuzz(options.seconds, seed, options.only or list(TARGETS), options.keep))


if __name__ == "__main__":
    sys.exit(main())
