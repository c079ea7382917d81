"""`BatchSettings`: the settings of each merge, and settings to find, name and schedule bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from burstfix.batch.grouping import DEFAULT_GAP, MIN_FRAMES
from burstfix.batch.layout import DEFAULT_LAYOUT, check_layout
from burstfix.errors import UsageError
from burstfix.io.write.formats import DEFAULT_FORMAT, format_of
from burstfix.settings import MergeSettings, check_settings, kinds, setting, settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings(MergeSettings):
    """All settings of a batch. Settings files and command-line options use the same names.

    Attributes:
        exposure: As in `MergeSettings`, or "shared": one exposure for all bursts of a folder and camera.
        gap: Maximum pause within a burst, in seconds.
        min_frames, max_frames: Smallest and largest number of frames in a burst. Longer bursts are split into
            parts. If `max_frames` is 0, there is no limit.
        singles: Merge (denoise) single frames as well.
        check_content: Split bursts where the scene changes.
        layout: Pattern for the names of the pictures; see `burstfix.batch.layout.FIELDS`.
        overwrite: Replace files that burstfix has not written.
        report: Write an HTML report of each burst, and an index of all bursts.
        jobs: Number of bursts that are read ahead while one is merged.
        max_memory: Bytes for reading ahead and merging; 0 = three quarters of the free memory.
        settle: With `watch`, seconds without a change before files are read.
    """

    exposure: float | str | None = setting(
        None,
        kinds.exposure("auto", "shared"),
        "Exposure correction in stops; positive values brighten. auto is chosen per picture; shared uses one "
        "exposure for all bursts of a folder and camera.",
        group="rendering",
        default_text="the value in the look",
    )
    gap: float = setting(
        DEFAULT_GAP, kinds.number(0, metavar="SECONDS"), "Maximum pause within a burst.", group="grouping"
    )
    min_frames: int = setting(
        MIN_FRAMES, kinds.whole(2), "Smallest number of frames in a burst.", group="grouping"
    )
    max_frames: int = setting(
        0,
        kinds.whole(0),
        "Largest number of frames in a burst; longer bursts are split into parts.",
        group="grouping",
        default_text="0, no limit",
    )
    singles: bool = setting(False, kinds.flag(), "Merge (denoise) single frames as well.", group="batch")
    check_content: bool = setting(
        True, kinds.flag(), "Split bursts where the scene changes.", group="grouping", default_text="yes"
    )
    layout: str = setting(
        DEFAULT_LAYOUT,
        kinds.text(metavar="PATTERN"),
        "Pattern for the names of the pictures; fields: {folder} {first} {last} {count} {camera} {model} "
        "{type} {date} {time}.",
        group="batch",
    )
    overwrite: bool = setting(
        False,
        kinds.flag(),
        "Also replace changed pictures and files that burstfix did not write.",
        group="batch",
    )
    report: bool = setting(
        False,
        kinds.flag(),
        "Also write OUT/report.html, an index of all bursts, and a report of each burst.",
        group="batch",
    )
    jobs: int = setting(
        1,
        kinds.whole(1, 64, metavar="N"),
        "Number of bursts to read ahead while one is merged.",
        group="batch",
    )
    max_memory: int = setting(
        0,
        kinds.size(),
        "Memory limit, such as 8GB.",
        group="batch",
        default_text="3/4 of the free memory",
    )
    settle: float = setting(
        5.0,
        kinds.number(0, metavar="SECONDS"),
        "With --watch, read files once they have not changed for this time.",
        group="batch",
    )

    def __post_init__(self) -> None:
        """Check all values and their combinations.

        Raises:
            UsageError: A value is invalid; the message names the setting.
        """
        check_settings(self)
        if self.max_frames and self.max_frames < self.min_frames:
            raise UsageError(
                f"max_frames = {self.max_frames}: expected at least min_frames = {self.min_frames}, or 0"
            )
        # The checked layout ends with a suffix, which determines the format.
        full = check_layout(self.layout, self.format)
        object.__setattr__(self, "layout", full)
        row = format_of(full) or DEFAULT_FORMAT
        row.bit_depth(self.bit_depth)
        row.check_color_space(self.color_space)
        if self.report and row.is_raw and self.dng == "mosaic":
            raise UsageError("report needs demosaicked pictures; it cannot be used with dng mosaic")

    def result_settings(self) -> dict[str, Any]:
        """Return the settings that change the pictures or their names, as JSON values."""
        values = {name: getattr(self, name) for name in NAMES if name not in _NO_RESULT}
        for name, default in _ADDED.items():
            if values[name] == default:
                del values[name]  # so that journals stay valid that are older than the setting
        return values


NAMES = tuple(settings_of(BatchSettings))
"""Names of all settings, in the order in which they are shown."""

_NO_RESULT = frozenset(
    ("gap", "min_frames", "max_frames", "singles", "check_content", "format", "overwrite", "device")
    + ("report", "tile", "jobs", "max_memory", "settle")
)
"""Settings that do not change a picture; the format is part of the layout."""

_ADDED = {"ensemble": 1, "dng": "linear", "scale": 1.0, "max_size": 0, "dng_compression": "ljpeg"}
"""Settings that earlier versions did not have, with their defaults."""
