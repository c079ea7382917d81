"""Watch folders; plan a burst when all of its files have arrived."""

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
from burstfix.io.read.frames import natural_key

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # time between scans while files arrive, if the system reports no changes
_WAIT_SECONDS = 0.5  # time between checks of the stop condition

MakePlan = Callable[[frozenset[Path]], Plan]


class Arrivals:
    """Detection of files that are still being written.

    A file is complete if it has not changed for `settle` seconds.

    Attributes:
        stamps: Stamps of the files of the last scan.
    """

    def __init__(self, settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle, self._clock = settle, clock
        self._seen: dict[Path, tuple[str, float]] = {}  # stamp, and time of the last change
        self.stamps: dict[Path, str] = {}
        self._started = False

    def update(self, paths: Sequence[Path]) -> frozenset[Path]:
        """Check all files; return the files that are new or have changed recently."""
        now = self._clock()
        arriving: set[Path] = set()
        self.stamps = {}
        for path in paths:
            try:
                stamp = file_stamp(path)
                age = max(0.0, time.time() - os.stat(path).st_mtime)
            except OSError:
                continue  # removed in the meantime
            self.stamps[path] = stamp
            before = self._seen.get(path)
            if before is None:
                # A copy may keep the modification time of its original, so the age of files counts only in
                # the first scan.
                self._seen[path] = (stamp, now if self._started else now - age)
            elif before[0] != stamp:
                self._seen[path] = (stamp, now)
            if now - self._seen[path][1] < self._settle:
                arriving.add(path)
        self._started = True
        return frozenset(arriving)


def complete(plan: Plan, raws: Sequence[Path], arriving: frozenset[Path]) -> tuple[FoundBurst, ...]:
    """Return the complete groups: those next to which, in the order of names, no file is arriving.

    Args:
        plan: Plan that leaves out the arriving files.
        raws: All raws found.
        arriving: Files that are still being written.
    """
    positions: dict[Path, int] = {}  # index of each raw in its folder
    folders: dict[Path, list[Path]] = {}
    for path in sorted(raws, key=natural_key):
        listed = folders.setdefault(path.parent, [])
        positions[path] = len(listed)
        listed.append(path)
    ready: list[FoundBurst] = []
    for group in plan.groups:
        at = [positions[path] for path in group.paths if path in positions]
        if not at:
            continue
        neighbours = folders[group.paths[0].parent][max(0, min(at) - 1) : max(at) + 2]
        if not arriving.intersection(neighbours):
            ready.append(group)
    return tuple(ready)


def watch_folders(
    folders: Sequence[Path],
    output: Path,
    settle: float,
    make_plan: MakePlan,
    stopped: Callable[[], bool],
) -> Iterator[Plan]:
    """Yield plans of the bursts that have become complete until the watch is stopped.

    Args:
        folders: Folders to watch, including their subfolders.
        output: Output folder, which is not searched.
        settle: Seconds without a change after which a file is complete.
        make_plan: Function that plans all files except those it is given.
        stopped: Function that returns True to stop; called about every half second.
    """
    watcher = _Watcher(roots_of(folders), output, settle, make_plan, stopped)
    is_waiting = False
    while not stopped():
        missing = _missing_folder(watcher.roots)
        if not missing:
            is_waiting = False
            yield from watcher.plans()
            continue
        if not is_waiting:
            log.warning("%s; waiting for it", missing)
        is_waiting = True
        time.sleep(_WAIT_SECONDS)


class _Watcher:
    """Watcher of folders that may disappear, for example when a drive is unmounted."""

    def __init__(
        self,
        roots: Sequence[Path],
        output: Path,
        settle: float,
        make_plan: MakePlan,
        stopped: Callable[[], bool],
    ) -> None:
        self.roots = roots
        self._output, self._settle = output, settle
        self._make_plan, self._stopped = make_plan, stopped
        self._arrivals = Arrivals(settle)

    def plans(self) -> Iterator[Plan]:
        """Yield plans until stopped, or until a folder is missing."""
        # These variables are local, so that after a folder was missing, a new call retries the failed bursts.
        handled: dict[str, tuple[str, ...]] = {}
        unreadable: tuple[SkippedFile, ...] = ()
        seen: object = None
        next_scan = 0.0
        for changed in self._changes():
            if self._stopped() or _missing_folder(self.roots):
                return
            if not changed and time.monotonic() < next_scan:
                continue
            raws = scan(self.roots, self._output).raws
            arriving = self._arrivals.update(raws)
            next_scan = time.monotonic() + (_POLL_SECONDS if arriving else max(_POLL_SECONDS, self._settle))
            before, seen = seen, (arriving, self._arrivals.stamps)
            if not changed and seen == before:
                continue
            try:
                plan = self._make_plan(arriving)
            except InputError:
                if _missing_folder(self.roots):
                    return
                raise
            new_groups: list[FoundBurst] = []
            for group in complete(plan, raws, arriving):
                stamps = tuple(f"{path} {_stamp_or_missing(path)}" for path in group.paths)
                if handled.get(group.key) != stamps:
                    handled[group.key] = stamps
                    new_groups.append(group)
            for skipped in plan.unreadable:
                if skipped not in unreadable:
                    log.warning("%s: cannot be read: %s", skipped.path, skipped.reason)
            if new_groups or plan.unreadable != unreadable:
                unreadable = plan.unreadable
                yield dataclasses.replace(plan, groups=tuple(new_groups))

    def _changes(self) -> Iterator[bool]:
        """Yield True at the start and after each change; otherwise yield False at least every half second."""
        yield True
        try:
            for changed in watch(
                *self.roots,
                watch_filter=lambda _, path: not Path(path).is_relative_to(self._output),
                debounce=400,
                rust_timeout=round(1000 * _WAIT_SECONDS),
                yield_on_timeout=True,
                raise_interrupt=True,
                ignore_permission_denied=True,
            ):
                yield bool(changed)
        except FileNotFoundError:
            return  # a folder was removed just now


def _missing_folder(roots: Sequence[Path]) -> str:
    """Return the reason why a folder cannot be searched; "" if all can be searched."""
    try:
        roots_of(roots)
    except InputError as error:
        return str(error)
    return ""


def _stamp_or_missing(path: Path) -> str:
    try:
        return file_stamp(path)
    except OSError:
        return "missing"
