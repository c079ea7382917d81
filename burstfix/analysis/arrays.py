"""Make a burst from arrays, for data that does not come from raw files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burstfix.analysis.burst import prepare_burst
from burstfix.cfa import LINEAR, CfaLayout
from burstfix.errors import BurstError, InputError
from burstfix.types import Burst, ColorProfile, Frame, FrameMetadata, Levels, NoiseProfile, Progress

# Normalised values from -1/6 to 7/6 are stored as DN, to keep values below black and above white.
_BLACK, _WHITE = 8192, 57344

# XYZ to linear sRGB under D65 (IEC 61966-2-1); used if camera RGB is treated as sRGB.
_XYZ_TO_SRGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)


def burst_from_arrays(
    mosaics: Sequence[ArrayLike],
    cfa: str,
    noise: NoiseProfile | tuple[float, float] | None = None,
    *,
    black: float = 0.0,
    white: float | None = None,
    color: ColorProfile | None = None,
    reference: int | None = None,
    keep_all: bool = False,
    progress: Progress | None = None,
) -> Burst:
    """Make a burst from arrays and analyse it, like `read_burst` for files.

    Args:
        mosaics: One array per frame, in time order, all of one shape: (H, W), or (H, W, 3) if `cfa` is
            "linear". Integers are DN between `black` and `white`. Floats are normalised (0 = black, 1 =
            white) and clipped to -1/6..7/6.
        cfa: "RGGB", "GRBG", "GBRG" or "BGGR" from the top left; "monochrome" or "linear".
        noise: A profile, or (shot gain, read variance) in normalised units. If None, the noise is measured.
        black: Black level in DN; for integers only.
        white: White level in DN, by default the largest value of the integer type; for integers only.
        color: Colour calibration; by default camera RGB is treated as linear sRGB.
        reference: Index of the frame to which the others are aligned; None = chosen automatically.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        progress: Called with ("prepare", done, total).

    Returns:
        The burst; its frames are named frame_000, frame_001 ...

    Raises:
        InputError: An array has the wrong number of dimensions or is not finite, or the pattern is unknown.
        BurstError: The arrays differ in shape, or no array is given.
        UsageError: There is no such reference, or the noise is invalid.

    Example:
        >>> import numpy as np
        >>> shots = np.random.default_rng(0).normal(0.2, 0.02, (3, 64, 64))
        >>> burst_from_arrays(shots, "RGGB", noise=(1e-3, 2e-4), keep_all=True).frames[0].mosaic.dtype
        dtype('uint16')
    """
    layout = CfaLayout.of(cfa)
    profile = NoiseProfile.uniform(*noise) if isinstance(noise, tuple) else noise
    arrays = [np.asarray(mosaic) for mosaic in mosaics]
    if not arrays:
        raise BurstError("a burst needs at least one array")
    frames = []
    for index, array in enumerate(arrays):
        name = f"frame_{index:03}"
        if array.shape != arrays[0].shape:
            raise BurstError(
                f"{name}: its shape is {array.shape}; expected that of the first frame, {arrays[0].shape}"
            )
        if array.ndim != (3 if cfa == LINEAR else 2) or (cfa == LINEAR and array.shape[2] != layout.channels):
            expected = "(H, W, 3)" if cfa == LINEAR else "(H, W)"
            raise InputError(f"{name}: its shape is {array.shape}; {cfa} frames are {expected}")
        is_float = np.issubdtype(array.dtype, np.floating)
        metadata = FrameMetadata(
            path=Path(name),
            height=array.shape[0],
            width=array.shape[1],
            cfa=cfa,
            levels=_float_levels() if is_float else _integer_levels(array, black, white),
            noise=profile,
            color=color or ColorProfile(np.array(_XYZ_TO_SRGB), np.ones(3)),
        )
        frames.append(Frame(_from_floats(array, name) if is_float else array.astype(np.uint16), metadata))
    return prepare_burst(
        frames,
        reference=reference,
        noise=profile,
        keep_all=keep_all,
        progress=progress,
    )


def _from_floats(array: NDArray[np.floating], name: str) -> NDArray[np.uint16]:
    if not np.isfinite(array).all():
        raise InputError(f"{name}: contains values that are not finite")
    numbers = np.rint(array.astype(np.float64) * (_WHITE - _BLACK) + _BLACK)
    return np.clip(numbers, 0, 65535).astype(np.uint16)


def _float_levels() -> Levels:
    return Levels(np.full((1, 1), _BLACK, np.float32), float(_WHITE))


def _integer_levels(array: NDArray[np.generic], black: float, white: float | None) -> Levels:
    if not np.issubdtype(array.dtype, np.unsignedinteger) or array.dtype.itemsize > 2:
        raise InputError(f"arrays of {array.dtype} are not supported; give uint8, uint16 or floats")
    largest = float(2 ** (8 * array.dtype.itemsize) - 1)
    return Levels(np.full((1, 1), black, np.float32), largest if white is None else float(white))
