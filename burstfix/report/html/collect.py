"""Collect the pictures, maps and measurements of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.align.blocks import CELL
from burstfix.analysis.noise_gain import measure_noise_gain
from burstfix.color import render
from burstfix.color.orientation import as_stored
from burstfix.color.preview import small_rgb
from burstfix.pipeline import merge_burst
from burstfix.raw.cfa import unpack
from burstfix.raw.frame_source import FrameSource
from burstfix.report.html.data import ReportData
from burstfix.report.versions import installed_versions
from burstfix.settings import MergeSettings
from burstfix.types import Burst, Frame, FrameMetadata, GlobalMotion, LinearImage, RenderedImage

_THUMBNAIL = 240  # pixels on the longer side
_CELL = 2 * CELL  # side of a cell of the maps in sensor pixels


def collect(
    burst: Burst,
    document: Mapping[str, Any],
    settings: MergeSettings,
    linear: LinearImage | None = None,
    picture: RenderedImage | None = None,
    command: str = "",
) -> ReportData:
    """Render the reference alone and the merge, and collect maps and measurements.

    Args:
        burst: The frames.
        document: The JSON document of `merge` or `inspect`.
        settings: Settings of the merge.
        linear: The merge, (3, H, W), with `maps` if the report should show maps; None without a merge.
        picture: The merge as it was rendered for the output, which saves rendering it again if it has full
            size and is in sRGB.
        command: Command line that repeats the merge.
    """
    alone = reference_alone(burst)
    rendering = {**settings.rendering(), "color_space": "srgb"}
    if linear is None:
        after = None
    elif picture is not None and settings.color_space == "srgb" and _is_full_size(picture, linear):
        after = picture
    else:
        after = render(linear, **rendering)
    if after is not None and rendering.get("exposure") == "auto":
        # Use the exposure of the merge, because the noise of a single frame could change an automatic
        # exposure.
        exposure = after.settings["render"].get("exposure_ev")
        if exposure is not None:
            rendering["exposure"] = exposure - alone.metadata.color.baseline_exposure
    before = render(alone, **rendering)
    maps = None if linear is None else linear.maps
    frames_used = None if maps is None else maps.frames_used
    return ReportData(
        document,
        _eight_bit(before.data),
        None if after is None else _eight_bit(after.data),
        [_eight_bit(_thumbnail(frame, rendering)) for frame in burst.frames],
        None if linear is None else measure_noise_gain(alone.shown(), linear.shown()),
        motion=None if maps is None else _upright(maps.motion, alone.metadata),
        frames_used=None if frames_used is None else _upright(frames_used, alone.metadata),
        measured_noise=burst.measured_noise,
        command=command,
        versions=installed_versions(),
    )


def _is_full_size(picture: RenderedImage, linear: LinearImage) -> bool:
    return sorted(picture.data.shape[:2]) == sorted(linear.metadata.shown_area[2:])


def reference_alone(burst: Burst) -> LinearImage:
    """Return the reference frame demosaicked and corrected, but not merged or denoised."""
    frame = burst.frames[burst.reference]
    single = replace(burst, frames=(frame,), reference=0, motions=(GlobalMotion(),), sharpness=(1.0,))
    return merge_burst(single, model="average", device="cpu")


def _thumbnail(frame: Frame, rendering: Mapping[str, Any]) -> NDArray[np.uint16]:
    """Render a frame at a small size, with the rendering of the merge."""
    source = FrameSource(frame)
    mosaic = unpack(source.read(source.whole).unflatten(0, (-1, 4))).numpy()
    top, left = source.padding.top, source.padding.left
    height, width = frame.mosaic.shape[:2]
    small = small_rgb(mosaic[:, top : top + height, left : left + width], frame.metadata.cfa, side=_THUMBNAIL)
    return render(LinearImage(small, frame.metadata), **rendering).data


def _upright(cells: NDArray[np.float32], metadata: FrameMetadata) -> NDArray[np.float32]:
    """Crop and rotate a map of cells as `render` crops and rotates the picture."""
    top, left, height, width = metadata.shown_area
    part = cells[top // _CELL : -(-(top + height) // _CELL), left // _CELL : -(-(left + width) // _CELL)]
    orientation = metadata.orientation
    rows, cols = part.shape
    upright = np.empty((cols, rows) if orientation in (5, 6, 7, 8) else (rows, cols), np.float32)
    as_stored(upright, orientation)[...] = part
    return upright


def _eight_bit(picture: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return (picture >> 8).astype(np.uint8)
