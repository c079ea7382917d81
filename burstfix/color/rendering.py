"""From a linear image to a picture for a display, in strips of rows so that memory hardly grows."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from burstfix.color.blocks import block_mean
from burstfix.color.chromatic import Matrix
from burstfix.color.dng import camera_to_rgb
from burstfix.color.exif import exif_of
from burstfix.color.highlights import reconstruct, white_level
from burstfix.color.icc import icc_profile
from burstfix.color.orientation import as_stored
from burstfix.color.spaces import ColorSpace, color_space
from burstfix.color.stretch import stretched
from burstfix.color.tone import automatic_exposure, filmic
from burstfix.color.white_balance import WhiteBalance, neutral_for
from burstfix.errors import UsageError
from burstfix.types import LinearImage, RenderedImage

Tone = Literal["none", "filmic"]
TONES: tuple[Tone, ...] = ("none", "filmic")

_STRIP_PIXELS = 1 << 17  # small enough for the processor's cache, and memory hardly grows with the picture
_THUMBNAIL_SIDE = 256
_EXPOSURE_RANGE_EV = 20.0


def render(
    linear: LinearImage,
    *,
    white_balance: WhiteBalance = "camera",
    exposure: float | Literal["auto"] = 0.0,
    tone: Tone = "none",
    color_space: str = "srgb",
) -> RenderedImage:
    """Renders camera RGB for a display.

    Display white is where the first channel clips once white-balanced. Channels that clip are raised to what
    the others say (`highlights.reconstruct`): lower exposure or the filmic tone show what lies beyond, and
    what is clipped altogether comes out neutral. The picture is turned upright, its Orientation tag set to 1,
    and cropped to what the camera meant to be shown (`FrameMetadata.default_crop`).

    Args:
        linear: The picture; its data is left as it is.
        white_balance: "camera" (what the file says), "auto" (estimated), or multipliers for R, G, B.
        exposure: EV to add to the file's BaselineExposure, or "auto".
        tone: "none" (the plain curve of the colour space) or "filmic".
        color_space: "srgb", "display-p3", "rec2020" or "prophoto".

    Returns:
        The picture with ICC profile, EXIF and settings (those of `linear`, and "render").

    Raises:
        UsageError: A setting that is not known or out of range.
        InputError: The raw's colour calibration is not usable.
    """
    space = _space(color_space)
    if tone not in TONES:
        raise UsageError(f"tone {tone!r} is not known; choose one of {', '.join(TONES)}")
    profile = linear.metadata.color
    data = stretched(linear.shown(), linear.metadata.default_scale)
    thumbnail = _thumbnail(data)
    neutral = neutral_for(white_balance, profile, thumbnail)
    matrix = camera_to_rgb(profile, neutral, space)

    if exposure == "auto":
        seen = np.minimum(reconstruct(thumbnail, neutral), 1.0)
        luminance = space.to_xyz()[1] @ matrix @ seen.reshape(3, -1)
        exposure_ev = automatic_exposure(luminance)
        gain = 2.0**exposure_ev
    else:
        if isinstance(exposure, str) or not abs(exposure) <= _EXPOSURE_RANGE_EV:
            raise UsageError(f"exposure {exposure!r}: expected auto or a number of EV from -20 to 20")
        exposure_ev = float(exposure)
        gain = 2.0 ** (exposure_ev + _finite(profile.baseline_exposure))

    white = gain * white_level(neutral)
    orientation = linear.metadata.orientation
    _, height, width = data.shape
    turned = orientation in (5, 6, 7, 8)
    out = np.empty((width, height, 3) if turned else (height, width, 3), np.uint16)
    target = as_stored(out, orientation)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = _display(data[:, top : top + rows], neutral, matrix * gain, white, tone, space)
        target[top : top + rows] = strip.transpose(1, 2, 0)

    settings: dict[str, Any] = {
        **linear.settings,
        "render": {
            "white_balance": white_balance if isinstance(white_balance, str) else list(white_balance),
            "white_balance_multipliers": [round(float(m), 5) for m in 1 / neutral],
            "exposure": exposure,
            "exposure_ev": round(exposure_ev, 3),
            "tone": tone,
            "color_space": space.name,
        },
    }
    return RenderedImage(out, icc_profile(space.name), exif_of(linear.metadata), settings)


def _space(name: str) -> ColorSpace:
    """`color_space` under a name that the argument of `render` does not hide."""
    return color_space(name)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _display(
    camera: NDArray[np.float32],
    neutral: Matrix,
    matrix: Matrix,
    white: float,
    tone: Tone,
    space: ColorSpace,
) -> NDArray[np.uint16]:
    """(3, h, w) camera RGB to (3, h, w) encoded values; `white` is the largest value there can be."""
    balanced = reconstruct(camera, neutral).reshape(3, -1)
    rgb = matrix.astype(np.float32) @ balanced
    np.fmax(rgb, 0.0, out=rgb)  # and not-a-number becomes black
    if tone == "filmic":
        # Saturated colours can leave the colour space by the matrix: they are darkened, hue stays.
        rgb *= np.minimum(np.float32(white) / np.maximum(rgb.max(axis=0), 1e-9), 1.0)
        rgb = filmic(rgb, white)
    else:
        np.minimum(rgb, 1.0, out=rgb)
    encoded = space.curve.encode(rgb)
    encoded *= 65535.0
    encoded += 0.5
    return np.clip(encoded, 0.0, 65535.0, out=encoded).astype(np.uint16).reshape(camera.shape)


def _thumbnail(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, H, W) averaged down in square blocks to about 256 pixels on the longer side."""
    _, height, width = data.shape
    block = max(1, min(max(height, width) // _THUMBNAIL_SIDE, height, width))
    return block_mean(data, block, block)
