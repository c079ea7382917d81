"""Folders that are being filled: which bursts are complete, as files arrive."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchfiles import watch

from burstfix.batch.plan import FoundBurst, Plan
from burstfix.batch.raw_info import file_stamp
from burstfix.batch.scan import SkippedFile, roots_of, scan
from burstfix.errors import InputError
from burstfix.io.read.selection import natural_key

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # between looks while something is on its way, where no change is reported
_WAIT_SECONDS = 0.5  # between questions whether to stop


class Arrivals:
    """Tells which files have been left alone for long enough to be whole.

    Attributes:
        stamps: Of the files that were there at the last look.
    """

    def __init__(self, settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle, self._clock = settle, clock
        self._seen: dict[Path, tuple[str, float]] = {}
        self.stamps: dict[Path, str] = {}
        self._started = False

    def look(self, paths: Sequence[Path]) -> frozenset[Path]:
        """The files that have changed within the last seconds, or are new."""
        now = self._clock()
        moving = set()
        self.stamps = {}
        for path in paths:
            try:
                stamp = file_stamp(path)
                age = max(0.0, time.time() - os.stat(path).st_mtime)
            except OSError:
                continue  # gone again
            self.stamps[path] = stamp
            before = self._seen.get(path)
            if before is None:
                # Copies may keep the time of the original, so what was not here at the first look is new.
                since = now - age if not self._started else now
                self._seen[path] = (stamp, since)
            elif before[0] != stamp:
                self._seen[path] = (stamp, now)
            if now - self._seen[path][1] < self._settle:
                moving.add(path)
        self._started = True
        return frozenset(moving)


def complete(plan: Plan, raws: Sequence[Path], moving: frozenset[Path]) -> tuple[FoundBurst, ...]:
    """The groups to which no file on its way can belong: none is a neighbour of theirs by name.

    Args:
        plan: Made without the files on their way.
        raws: All raws found.
        moving: Those that are still being written.
    """
    places: dict[Path, tuple[Path, int]] = {}
    folders: dict[Path, list[Path]] = {}
    for path in sorted(raws, key=natural_key):
        listed = folders.setdefault(path.parent, [])
        places[path] = (path.parent, len(listed))
        listed.append(path)
    ready = []
    for group in plan.groups:
        at = [places[path][1] for path in group.paths if path in places]
        around = folders.get(group.paths[0].parent, [])[max(0, min(at) - 1) : max(at) + 2] if at else []
        if at and not moving.intersection(around):
            ready.append(group)
    return tuple(ready)


def watch_folders(
    folders: Sequence[Path],
    output: Path,
    settle: float,
    make_plan: Callable[[frozenset[Path]], Plan],
    stopped: Callable[[], bool],
) -> Iterator[Plan]:
    """Plans of what has become complete, until stopped.

    Args:
        folders: To watch, folders in them included.
        output: Is not looked into.
        settle: Seconds that a file must have been left alone.
        make_plan: Groups all files but those given.
        stopped: Asked about every half second.
    """
    roots = roots_of(folders)
    arrivals = Arrivals(settle)
    said = False
    while not stopped():
        if gone := _gone(roots):
            if not said:
                _log.warning("%s; waiting for it", gone)
            said = True
            time.sleep(_WAIT_SECONDS)
        else:
            said = False
            yield from _while_there(roots, output, settle, arrivals, make_plan, stopped)


def _while_there(
    roots: Sequence[Path],
    output: Path,
    settle: float,
    arrivals: Arrivals,
    make_plan: Callable[[frozenset[Path]], Plan],
    stopped: Callable[[], bool],
) -> Iterator[Plan]:
    """Plans until stopped, or until a folder goes away (a drive that is not always there)."""
    # Forgotten when a folder goes away: what failed for that is tried again.
    handled: dict[str, tuple[str, ...]] = {}
    unreadable: tuple[SkippedFile, ...] = ()
    seen: object = None
    look_at = 0.0
    for changed in _changes(roots, output):
        if stopped() or _gone(roots):
            return
        if not changed and time.monotonic() < look_at:
            continue
        raws = scan(roots, output).raws
        moving = arrivals.look(raws)
        look_at = time.monotonic() + (_LOOK_SECONDS if moving else max(_LOOK_SECONDS, settle))
        before, seen = seen, (moving, arrivals.stamps)
        if not changed and seen == before:
            continue
        try:
            plan = make_plan(moving)
        except InputError:
            if _gone(roots):
                return
            raise
        fresh = []
        for group in complete(plan, raws, moving):
            stamps = tuple(f"{path} {_stamp(path)}" for path in group.paths)
            if handled.get(group.key) != stamps:
                handled[group.key] = stamps
                fresh.append(group)
        for aside in plan.unreadable:
            if aside not in unreadable:
                _log.warning("%s: cannot be read: %s", aside.path, aside.reason)
        if fresh or plan.unreadable != unreadable:
            unreadable = plan.unreadable
            yield dataclasses.replace(plan, groups=tuple(fresh))


def _changes(roots: Sequence[Path], output: Path) -> Iterator[bool]:
    """Whether something has changed, at least every half second; what is there already counts as a change."""
    yield True
    try:
        for changed in watch(
            *roots,
            watch_filter=lambda _, path: not Path(path).is_relative_to(output),
            debounce=400,
            rust_timeout=round(1000 * _WAIT_SECONDS),
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            yield bool(changed)
    except FileNotFoundError:
        return  # a folder went away just now


def _gone(roots: Sequence[Path]) -> str:
    """Why a folder cannot be looked into, "" where all can."""
    try:
        roots_of(roots)
    except InputError as error:
        return str(error)
    return ""


def _stamp(path: Path) -> str:
    try:
        return file_stamp(path)
    except OSError:
        return "gone"
