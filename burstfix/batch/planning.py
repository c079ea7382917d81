"""The plan of a batch with its settings: what `--dry-run` shows and what a run works through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burstfix.batch.facts import FactReader
from burstfix.batch.former import owner
from burstfix.batch.journal import Entry
from burstfix.batch.layout import assign_outputs
from burstfix.batch.plan import Plan, Progress, find_bursts
from burstfix.batch.settings import BatchSettings


def plan_folders(
    folders: Sequence[Path],
    settings: BatchSettings,
    output: Path | None,
    reader: FactReader | None = None,
    without: frozenset[Path] = frozenset(),
    progress: Progress | None = None,
) -> Plan:
    """The plan for folders with a batch's settings; the output folder is not searched."""
    return find_bursts(
        folders,
        gap=settings.gap,
        min_frames=settings.min_frames,
        max_frames=settings.max_frames,
        check_content=settings.check_content,
        leave_out=output,
        without=without,
        reader=reader,
        progress=progress,
    )


def outputs_of(plan: Plan, settings: BatchSettings, model: str, entries: Sequence[Entry]) -> dict[str, str]:
    """Name of the picture of every group that is to be merged, by the group's key.

    Args:
        plan: What was found.
        settings: The layout, and whether single frames count.
        model: What merges.
        entries: Of the journal: bursts keep the names they have, and no other gets them or those they had.
    """
    wanted = plan.of_kind("burst", "single") if settings.singles else plan.bursts
    frames = {burst.key: tuple(str(path) for path in burst.paths) for burst in wanted}
    settled = {
        entry.key: entry.output
        for entry in entries
        if entry.layout == settings.layout and frames.get(entry.key) == entry.frames
    }
    taken = {entry.output: owner(entry.key) for entry in entries if entry.state != "failed" or entry.stamp}
    return assign_outputs(wanted, settings.layout, model=model, settled=settled, taken=taken)


def model_name(settings: BatchSettings) -> str:
    """The name behind "auto", looked up only if the layout asks for it; others are what they say."""
    if settings.model != "auto" or "{model" not in settings.layout:
        return settings.model
    from burstfix.models.catalog import best_for

    return best_for(settings.device)
