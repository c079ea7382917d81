"""Folders that are being filled: which bursts are complete, as files arrive."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from watchfiles import watch

from burstfix.batch.facts import stamp_of
from burstfix.batch.plan import FoundBurst, Plan
from burstfix.batch.scan import roots_of, scan
from burstfix.io.frames import natural_key

_LOOK_SECONDS = 1.0  # between looks while something is on its way, where no change is reported


class Arrivals:
    """Tells which files have been left alone for long enough to be whole."""

    def __init__(self, settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle, self._clock = settle, clock
        self._seen: dict[Path, tuple[str, float]] = {}
        self._started = False

    def look(self, paths: list[Path]) -> frozenset[Path]:
        """The files that have changed within the last seconds, or are new."""
        now = self._clock()
        moving = set()
        for path in paths:
            try:
                stamp = stamp_of(path)
                age = max(0.0, time.time() - os.stat(path).st_mtime)
            except OSError:
                continue  # gone again
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


def complete(plan: Plan, raws: list[Path], moving: frozenset[Path]) -> tuple[FoundBurst, ...]:
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
    folders: list[Path],
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
    handled: dict[str, tuple[str, ...]] = {}
    changes = watch(
        *roots,
        watch_filter=lambda _, path: not Path(path).is_relative_to(output),
        debounce=400,
        rust_timeout=500,
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    look_at = 0.0
    for changed in _with_start(changes):
        if stopped():
            return
        if not changed and time.monotonic() < look_at:
            continue
        raws = scan(roots, output).raws
        moving = arrivals.look(raws)
        look_at = time.monotonic() + (_LOOK_SECONDS if moving else max(_LOOK_SECONDS, settle))
        plan = make_plan(moving)
        fresh = []
        for group in complete(plan, raws, moving):
            stamps = tuple(f"{path} {_stamp(path)}" for path in group.paths)
            if handled.get(group.key) != stamps:
                handled[group.key] = stamps
                fresh.append(group)
        if fresh:
            yield dataclasses.replace(plan, groups=tuple(fresh))


def _with_start(changes: Iterable[Collection[object]]) -> Iterator[bool]:
    """What is there already counts as a change."""
    yield True
    for changed in changes:
        yield bool(changed)


def _stamp(path: Path) -> str:
    try:
        return stamp_of(path)
    except OSError:
        return "gone"
