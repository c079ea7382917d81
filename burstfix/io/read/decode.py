"""Decode one raw file in the current process. Used by the decoder process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from burstfix.cfa import LINEAR
from burstfix.errors import InputError
from burstfix.io import tag_numbers as tn
from burstfix.io.read import dng, pixels
from burstfix.io.read.camera import CameraFacts
from burstfix.io.read.dng import Area
from burstfix.io.read.metadata import LibRawFacts, build_metadata, visible_area
from burstfix.io.read.noted import Noted
from burstfix.io.read.tags import MIN_PIXELS_REFUSED, FileTags, check_claim, read_tags
from burstfix.io.read.xmp import read_xmp, with_xmp
from burstfix.types import FrameMetadata

_UNREADABLE = {tn.COMPRESSION_VC5: "VC-5 (GoPro's GPR)"}
# Maximum number of pixels per byte in raws other than DNGs. Even dark frames take more than 1/4 bit per
# pixel.
_MAX_PIXELS_PER_BYTE = 32
_MAX_ROLL = 1024  # maximum number of frames in a CR3; cameras record fewer than 100
_MAX_CHANNELS = 3  # maximum number of values per pixel; LibRaw reports the actual number only after decoding
# A file counts as truncated if more than this share of its rows, at the end, is zero.
_MISSING_SHARE = 1 / 16


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded raw.

    Attributes:
        metadata: Metadata of the raw.
        mosaic: Mosaic as in `Frame`; None if pixels were not requested.
        warnings: Sentences for the user.
    """

    metadata: FrameMetadata
    mosaic: NDArray[np.uint16] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Unpacked:
    """Result of a decoder: facts, all pixels of the sensor (None if not requested), and warnings."""

    facts: LibRawFacts
    mosaic: NDArray[np.uint16] | None
    warnings: tuple[str, ...] = ()


def decode(
    path: Path, *, wants_pixels: bool, raw_index: int = 0, reserve: Callable[[int], None] | None = None
) -> Decoded:
    """Read one raw.

    Args:
        path: The file.
        wants_pixels: True to decode the mosaic as well.
        raw_index: Index of the raw in the file.
        reserve: Called with the number of values to decode, before memory is allocated for them.

    Raises:
        InputError: The file cannot be read.
    """
    tags = read_tags(path, raw_index)
    if tags.is_dng:
        dng.check_sensor(tags)
        dng.cfa(tags)
        dng.active_area(tags)
    if reserve is not None and tags.raw is not None:
        reserve(tags.raw.pixels * max(1, tags.raw.number(tn.SAMPLES_PER_PIXEL, 1)))
    if pixels.needs_tifffile(tags):
        unpacked = _with_tifffile(tags, wants_pixels)
    else:
        unpacked = _with_libraw(tags, wants_pixels, reserve)
    noted = build_metadata(tags, unpacked.facts)
    xmp = read_xmp(path, tags.packet)
    metadata = replace(noted.value, exif=with_xmp(noted.value.exif, xmp.properties))
    warnings = (*unpacked.warnings, *noted.warnings, *xmp.warnings)
    if unpacked.mosaic is None:
        return Decoded(metadata, None, warnings)
    mosaic = _visible_pixels(tags, unpacked, metadata)
    white = _raised_white(metadata, mosaic)
    if white is not None:
        levels = replace(metadata.levels, white=white)
        warnings += (
            f"{path}: its pixels reach {mosaic.max()}, far above the white level of "
            f"{metadata.levels.white:g} that the file or LibRaw states; {white:g} is used",
        )
        metadata = replace(metadata, levels=levels)
    return Decoded(metadata, mosaic, warnings)


def _with_tifffile(tags: FileTags, wants_pixels: bool) -> _Unpacked:
    """Decode a DNG without LibRaw."""
    assert tags.raw is not None
    height, width = tags.raw.number(tn.IMAGE_LENGTH, 0), tags.raw.number(tn.IMAGE_WIDTH, 0)
    mosaic = pixels.decode_with_tifffile(tags) if wants_pixels else None
    if mosaic is not None:
        height, width = mosaic.shape[:2]
    return _Unpacked(LibRawFacts(Area(0, 0, height, width), height, width), mosaic)


def _with_libraw(tags: FileTags, wants_pixels: bool, reserve: Callable[[int], None] | None) -> _Unpacked:
    """Decode a raw with LibRaw.

    Raises:
        InputError: LibRaw cannot read it.
    """
    path = tags.path
    try:
        with rawpy.RawPy() as raw:
            _open(raw, path, tags.raw_index)
            sizes = raw.sizes
            claimed = sizes.raw_height * sizes.raw_width
            raws = _count_raws(path)
            if raws.value > 1:
                _check_roll(path, raws.value, claimed, tags.size)
            if not tags.is_dng:
                check_claim(path, claimed, tags.size, _MAX_PIXELS_PER_BYTE)
                if reserve is not None:
                    reserve(_MAX_CHANNELS * claimed)
            # The tags of a DNG contain all metadata. For other raws, LibRaw provides the metadata after
            # unpacking.
            if wants_pixels or not tags.is_dng:
                raw.unpack()
            mosaic = np.array(raw.raw_image) if wants_pixels else None  # LibRaw frees its own memory
            facts = LibRawFacts(
                visible=Area(sizes.top_margin, sizes.left_margin, sizes.height, sizes.width),
                raw_height=sizes.raw_height,
                raw_width=sizes.raw_width,
                flip=int(sizes.flip),
                camera=None if tags.is_dng else _camera_facts(raw, path),
                crop=_crop(sizes),
                pixel_aspect=float(sizes.pixel_aspect),
                raw_count=raws.value,
            )
    except rawpy.LibRawError as error:
        compression = tags.raw.number(tn.COMPRESSION, 0) if tags.raw is not None else 0
        raise InputError(f"{path}: {_libraw_message(error, compression)}") from error
    return _Unpacked(facts, mosaic, raws.warnings)


def _visible_pixels(tags: FileTags, unpacked: _Unpacked, metadata: FrameMetadata) -> NDArray[np.uint16]:
    """Return the visible part of the pixels as a contiguous array with deinterleaved rows and columns.

    Raises:
        InputError: The file contains no pixels, or too few.
    """
    path, mosaic = tags.path, unpacked.mosaic
    assert mosaic is not None
    area = visible_area(tags, unpacked.facts)
    mosaic = pixels.deinterleaved(tags, mosaic)
    mosaic = mosaic[area.top : area.top + area.height, area.left : area.left + area.width]
    colors = (3,) if metadata.cfa == LINEAR else ()
    if colors and mosaic.ndim == 3:
        mosaic = mosaic[..., :3]
    if mosaic.shape != (area.height, area.width, *colors) or mosaic.dtype != np.uint16:
        raise InputError(f"{path}: decoded to {mosaic.dtype} {mosaic.shape}, which fits no mosaic")
    if not mosaic.any():
        raise InputError(f"{path}: all its pixels are zero; the file is damaged or lacks its picture data")
    if not tags.is_dng:
        missing = area.height - 1 - int(np.flatnonzero(mosaic.reshape(area.height, -1).any(axis=1))[-1])
        if missing > _MISSING_SHARE * area.height:
            raise InputError(
                f"{path}: the file is truncated: the last {missing} of {area.height} rows contain only zeros"
            )
    return np.ascontiguousarray(mosaic)


def _raised_white(metadata: FrameMetadata, mosaic: NDArray[np.uint16]) -> float | None:
    """Return a new white level if many pixels are far above the stated level; otherwise None.

    The new level is the largest value with as many bits as the pixels use. Therefore the frames of a burst
    get the same level.
    """
    limit = 2 * metadata.levels.white
    if limit >= mosaic.max() or np.count_nonzero(mosaic > limit) < mosaic.size / 1000:
        return None
    return float((1 << int(mosaic.max()).bit_length()) - 1)


def _open(raw: rawpy.RawPy, path: Path, raw_index: int = 0) -> None:
    """Open a file in LibRaw: by its name if that is valid UTF-8, otherwise from memory."""
    raw.set_unpack_params(shot_select=raw_index)
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(os.fspath(path))


def _count_raws(path: Path) -> Noted[int]:
    """Count the raws of a CR3 that are frames of one burst (a roll); 1 for other files.

    A roll stores its frames in one track. If there are several tracks, as in a dual-pixel raw, they contain
    other pictures. LibRaw does not open a frame beyond the end of a roll. It opens a track of any number, but
    does not decode a track that does not exist.
    """
    with open(path, "rb") as file:
        if file.read(12)[4:] != b"ftypcrx ":
            return Noted(1)
    if _can_open(path, _MAX_ROLL):
        other = f"{path}: contains several pictures (a dual-pixel raw?); only the first is used"
        return Noted(1, (other,) if _has_track(path, 1) else ())
    count, beyond = 1, _MAX_ROLL
    while beyond - count > 1:
        middle = (count + beyond) // 2
        count, beyond = (middle, beyond) if _can_open(path, middle - 1) else (count, middle)
    return Noted(count)


def _can_open(path: Path, raw_index: int) -> bool:
    try:
        with rawpy.RawPy() as raw:
            _open(raw, path, raw_index)
    except rawpy.LibRawError:
        return False
    return True


def _check_roll(path: Path, frames: int, pixels: int, size: int) -> None:
    """Check that a file can hold the frames of a roll; those of a hostile file may share their data.

    Raises:
        InputError: The file is too small.
    """
    if frames * pixels > max(MIN_PIXELS_REFUSED, size * _MAX_PIXELS_PER_BYTE):
        raise InputError(
            f"{path}: the file is truncated or damaged: it claims {frames} raws of {pixels / 1e6:.1f} "
            f"megapixels, which its {size} bytes cannot hold"
        )


def _has_track(path: Path, raw_index: int) -> bool:
    with rawpy.RawPy() as raw:
        _open(raw, path, raw_index)
        try:
            raw.unpack()
        except rawpy.LibRawError as error:
            return "nonexisting image" not in str(error)
    return True


def _crop(sizes: Any) -> Area | None:
    """Return the crop from the camera's own tags; None in rawpy 0.24 and earlier, which lack it."""
    if not hasattr(sizes, "crop_width"):
        return None
    return Area(sizes.crop_top_margin, sizes.crop_left_margin, sizes.crop_height, sizes.crop_width)


def _camera_facts(raw: rawpy.RawPy, path: Path) -> CameraFacts:
    """Collect LibRaw's data about an unpacked file."""
    other = raw.other
    lens = getattr(raw, "lens", None)  # rawpy 0.25 and later
    # For an unknown time, LibRaw returns the start of 1970 in local time.
    time = other.timestamp if other.timestamp and other.timestamp.year > 1971 else None
    is_flat = raw.raw_type == rawpy.RawType.Flat
    matrix = np.asarray(raw.rgb_xyz_matrix, dtype=np.float64)[:3, :3]
    colors = raw.color_desc.decode("ascii", "replace")
    return CameraFacts(
        pattern=raw.raw_pattern if is_flat else None,
        channels=1 if is_flat else 3,
        is_foveon=_is_foveon(path),
        colors=colors,
        black=tuple(float(x) for x in raw.black_level_per_channel),
        white=float(raw.white_level),
        xyz_to_camera=matrix,
        white_balance=np.array(raw.camera_whitebalance[:3], dtype=np.float64),
        estimated_balance=_estimated_balance(raw),
        iso=float(other.iso_speed),
        exposure_time=float(other.shutter_speed),
        aperture=float(other.aperture),
        focal_length=float(other.focal_length),
        time=time,
        lens=lens.model.strip() if lens is not None else "",
        balanced_to_srgb=_libraw_conversion(raw)
        if is_flat and len(colors) > 1 and not matrix.any()
        else None,
    )


def _estimated_balance(raw: rawpy.RawPy) -> NDArray[np.float64]:
    """Return estimated multipliers for R, G, B if the camera recorded none, otherwise those of daylight."""
    if min(raw.camera_whitebalance[:3]) > 0 or raw.raw_type != rawpy.RawType.Flat:
        return np.array(raw.daylight_whitebalance[:3], dtype=np.float64)
    raw.postprocess(use_auto_wb=True, half_size=True)
    # rawpy 0.25 and earlier do not provide the estimate.
    found = getattr(raw, "auto_whitebalance", None) or raw.daylight_whitebalance
    return np.array(found[:3], dtype=np.float64)


def _libraw_conversion(raw: rawpy.RawPy) -> NDArray[np.float64] | None:
    """Find LibRaw's built-in matrix from white-balanced camera RGB to linear sRGB for a camera.

    rawpy does not expose the matrix. It is fitted to two renderings of the raw by LibRaw: in camera RGB and
    in sRGB. If LibRaw does not know the camera, it does not convert colours, and the result is None.
    """
    plain: dict[str, Any] = {
        "user_wb": [1.0, 1.0, 1.0, 1.0],
        "gamma": (1, 1),
        "no_auto_bright": True,
        "output_bps": 16,
        "half_size": True,
    }
    camera = raw.postprocess(output_color=rawpy.ColorSpace.raw, **plain).reshape(-1, 3).astype(np.float64)
    srgb = raw.postprocess(output_color=rawpy.ColorSpace.sRGB, **plain).reshape(-1, 3).astype(np.float64)
    unclipped = ((srgb > 0) & (srgb < 65535)).all(axis=1)
    if np.count_nonzero(unclipped) < 100:
        return None
    fitted, _, rank, _ = np.linalg.lstsq(camera[unclipped], srgb[unclipped], rcond=None)
    if rank < 3 or np.linalg.cond(fitted) > 1e4 or np.allclose(fitted, np.eye(3), atol=0.02):
        return None
    return fitted.T.astype(np.float64)


def _is_foveon(path: Path) -> bool:
    """Return True for Sigma's X3F files."""
    with open(path, "rb") as file:
        return file.read(4) == b"FOVb"


def _libraw_message(error: Exception, compression: int) -> str:
    """Explain an error of LibRaw. `compression` is the TIFF code of the raw picture; 0 if unknown."""
    text = error.args[0] if error.args else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if "nsupported file format" in text:
        if compression in _UNREADABLE:
            return f"its pixels are compressed with {_UNREADABLE[compression]}, which LibRaw cannot decode"
        return "is not a raw file that LibRaw can read (unknown format or camera, or damaged)"
    if "Input/output error" in text:
        return "the file is truncated or damaged (LibRaw ran out of data)"
    return f"cannot be decoded (LibRaw: {text})"
