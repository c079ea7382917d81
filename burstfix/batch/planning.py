"""The plan of a batch with its settings, as shown by `--dry-run` and used by a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burstfix.batch.journal import Entry
from burstfix.batch.layout import assign_outputs
from burstfix.batch.plan import Plan, find_bursts
from burstfix.batch.raw_info import InfoReader
from burstfix.batch.settings import BatchSettings
from burstfix.batch.superseded import burst_key
from burstfix.names import name_limit
from burstfix.types import Progress


def plan_folders(
    folders: Sequence[Path],
    settings: BatchSettings,
    output: Path | None,
    reader: InfoReader | None = None,
    without: frozenset[Path] = frozenset(),
    progress: Progress | None = None,
) -> Plan:
    """Find the bursts in folders with the settings of a batch; the output folder is not searched."""
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


def outputs_of(
    plan: Plan, settings: BatchSettings, model: str, entries: Sequence[Entry], output: Path
) -> dict[str, str]:
    """Choose the path of the picture of every group that will be merged.

    Args:
        plan: The bursts.
        settings: Settings. They contain the layout and state if single frames are merged.
        model: Name of the model that merges.
        entries: Entries of the journal. Bursts keep the names recorded in them; no other burst gets these
            names.
        output: The output folder.

    Returns:
        Mapping from the key of a group to the path of its picture in the output folder.
    """
    wanted = plan.of_kind("burst", "single") if settings.singles else plan.bursts
    frames = {burst.key: tuple(str(path) for path in burst.paths) for burst in wanted}
    settled = {
        entry.key: entry.output
        for entry in entries
        if entry.layout == settings.layout and frames.get(entry.key) == entry.frames
    }
    taken = {
        entry.output: burst_key(entry.key) for entry in entries if entry.state != "failed" or entry.stamp
    }
    limit = name_limit(output)
    return assign_outputs(wanted, settings.layout, model=model, settled=settled, taken=taken, limit=limit)


def model_name(settings: BatchSettings) -> str:
    """Return the name of the model; resolve "auto" only if the layout contains the name of the model."""
    if settings.model != "auto" or "{model" not in settings.layout:
        return settings.model
    from burstfix.engine.select import select_device
    from burstfix.models.catalog import best_for

    return best_for(select_device(settings.device).type)
