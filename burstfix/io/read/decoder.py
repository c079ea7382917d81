"""The child process that opens raw files, so that a crash of LibRaw is an answer and not the end.

Run as `python -m burstfix.io.read.decoder` by `io.decoder_client`. Requests are JSON lines on standard input;
the answers on standard output are described in `io.decoder_protocol`.
Everything that parses a file runs here. The child ends when its input does.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from burstfix.errors import InputError, UnsupportedSensorError
from burstfix.io.read import dng
from burstfix.io.read.decoder_protocol import HEADER, READY, Reply, Request, encode
from burstfix.io.read.decoder_protocol import decode as decode_message
from burstfix.io.read.dng import Area
from burstfix.io.read.metadata import CameraFacts, LibRawFacts, build_metadata, visible_area
from burstfix.io.read.tags import MAX_PIXELS, read_tags
from burstfix.io.read.xmp import read_xmp, with_xmp
from burstfix.io.tag_numbers import COMPRESSION
from burstfix.types import LINEAR, FrameMetadata

# TIFF compression codes of raws that LibRaw is usually built without.
_UNREADABLE = {9: "VC-5 (GoPro's GPR)", 52546: "JPEG XL"}
# What a decode may take beyond the gigapixel limit of 2 GB for the mosaic itself: as much again.
_MEMORY_LIMIT = 4 << 30
# LibRaw can repeat a complaint for every pixel.
_LOG_LIMIT = 1 << 20
# Twice what the parent waits, so that it matters only when the parent is gone.
_SELF_DESTRUCT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    metadata: FrameMetadata
    mosaic: NDArray[np.uint16] | None
    notes: tuple[str, ...]


def decode(path: Path, pixels: bool) -> _Decoded:
    """Reads one raw in this process.

    Args:
        path: The file.
        pixels: Whether the mosaic is wanted as well.

    Raises:
        InputError: It cannot be read.
    """
    tags = read_tags(path)
    if tags.is_dng:
        dng.check_sensor(tags)
        dng.cfa(tags)
        dng.active_area(tags)
    notes: list[str] = []
    try:
        with rawpy.RawPy() as raw:
            _open(raw, path)
            sizes = raw.sizes
            claimed = sizes.raw_height * sizes.raw_width
            if claimed > MAX_PIXELS:
                raise InputError(
                    f"{path}: claims {claimed / 1e6:.0f} megapixels; more than 1000 are not read"
                )
            # A DNG says all about itself in its tags; other raws are known to LibRaw once unpacked.
            if pixels or not tags.is_dng:
                raw.unpack()
            facts = LibRawFacts(
                visible=Area(sizes.top_margin, sizes.left_margin, sizes.height, sizes.width),
                raw_height=sizes.raw_height,
                raw_width=sizes.raw_width,
                flip=int(sizes.flip),
                camera=None if tags.is_dng else _camera_facts(raw, _is_foveon(path)),
                crop=_crop(sizes),
            )
            metadata = build_metadata(tags, facts, notes)
            xmp = read_xmp(path, tags.packet)
            notes += xmp.warnings
            metadata = replace(metadata, exif=with_xmp(metadata.exif, xmp.properties))
            area = visible_area(tags, facts)
            mosaic = None
            if pixels:
                rows = slice(area.top, area.top + area.height)
                mosaic = raw.raw_image[rows, area.left : area.left + area.width]
                colours = () if mosaic.ndim == 2 else (3,)
                # A copy: LibRaw's own memory goes with it.
                mosaic = np.array(mosaic[..., :3] if colours else mosaic, order="C")
                wanted = (3,) if metadata.cfa == LINEAR else ()
                if mosaic.shape != (area.height, area.width, *wanted) or mosaic.dtype != np.uint16:
                    raise InputError(
                        f"{path}: decoded to {mosaic.dtype} {mosaic.shape}, which fits no mosaic"
                    )
                if not mosaic.any():  # what LibRaw leaves where it does not know a compression after all
                    raise InputError(f"{path}: nothing but zeros came out; LibRaw cannot decode its pixels")
    except rawpy.LibRawError as error:
        compression = tags.raw.number(COMPRESSION, 0) if tags.raw is not None else 0
        raise InputError(f"{path}: {_libraw_message(error, compression)}") from error
    return _Decoded(metadata, mosaic, tuple(notes))


def _crop(sizes: Any) -> Area | None:
    """What the maker's tags say is to be shown; rawpy 0.24 and before do not tell."""
    if not hasattr(sizes, "crop_width"):
        return None
    return Area(sizes.crop_top_margin, sizes.crop_left_margin, sizes.crop_height, sizes.crop_width)


def _open(raw: rawpy.RawPy, path: Path) -> None:
    """Hands a file to LibRaw: by its name, where that is UTF-8."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(os.fspath(path))


def _camera_facts(raw: rawpy.RawPy, is_foveon: bool) -> CameraFacts:
    """What LibRaw knows of an unpacked file."""
    other = raw.other
    lens = getattr(raw, "lens", None)  # rawpy 0.25 and later
    # LibRaw gives the start of 1970 for "unknown", in local time.
    time = other.timestamp if other.timestamp and other.timestamp.year > 1971 else None
    return CameraFacts(
        pattern=raw.raw_pattern if raw.raw_type == rawpy.RawType.Flat else None,
        channels=1 if raw.raw_type == rawpy.RawType.Flat else 3,
        is_foveon=is_foveon,
        colors=raw.color_desc.decode("ascii", "replace"),
        black=tuple(float(x) for x in raw.black_level_per_channel),
        white=float(raw.white_level),
        xyz_to_camera=np.asarray(raw.rgb_xyz_matrix, dtype=np.float64)[:3, :3],
        white_balance=np.array(raw.camera_whitebalance[:3], dtype=np.float64),
        iso=float(other.iso_speed),
        exposure_time=float(other.shutter_speed),
        aperture=float(other.aperture),
        focal_length=float(other.focal_length),
        time=time,
        lens=lens.model.strip() if lens is not None else "",
    )


def _is_foveon(path: Path) -> bool:
    """Sigma's X3F files begin so."""
    with open(path, "rb") as file:
        return file.read(4) == b"FOVb"


def _libraw_message(error: Exception, compression: int) -> str:
    """LibRaw's complaint in words for people; `compression` is the raw picture's TIFF code, 0 if unknown."""
    text = error.args[0] if error.args else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if "nsupported file format" in text:
        if compression in _UNREADABLE:
            return f"its pixels are compressed with {_UNREADABLE[compression]}, which LibRaw cannot decode"
        return "is no raw file that LibRaw can read (unknown format or camera, or damaged)"
    if "Input/output error" in text:
        return "the file is cut off or damaged (LibRaw ran out of data)"
    return f"cannot be decoded (LibRaw: {text})"


def _answer(path: Path, pixels: bool, log_fd: int) -> tuple[Reply, NDArray[np.uint16] | None]:
    """Decodes, turning every failure into a reply."""
    os.lseek(log_fd, 0, os.SEEK_SET)
    os.ftruncate(log_fd, 0)
    try:
        decoded = decode(path, pixels)
    except UnsupportedSensorError as error:
        return Reply(str(error), unsupported=True), None
    except InputError as error:
        return Reply(str(error)), None
    except MemoryError:
        return Reply(f"{path}: needs more memory than decoding may take ({_MEMORY_LIMIT >> 30} GB)"), None
    except OSError as error:
        return Reply(f"{path}: cannot be read ({error.strerror or error})"), None
    except Exception as error:  # damaged tags break parsers in more ways than can be listed
        return Reply(f"{path}: the file is damaged ({type(error).__name__}: {error})"), None
    os.lseek(log_fd, 0, os.SEEK_SET)
    log = os.read(log_fd, _LOG_LIMIT).decode("utf-8", "replace")
    # LibRaw goes on after these with what it has, and tells nobody but standard error.
    for sign, meaning in (
        ("Unexpected end of file", "the file is cut off: its picture data end early"),
        ("data corrupted", "the picture data are damaged"),
    ):
        if sign in log:
            return Reply(f"{path}: {meaning}"), None
    return Reply(metadata=decoded.metadata, warnings=decoded.notes), decoded.mosaic


def _limit_resources() -> None:
    """Caps memory and log size where the system can (Windows cannot)."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in ((resource.RLIMIT_AS, _MEMORY_LIMIT), (resource.RLIMIT_FSIZE, _LOG_LIMIT)):
        try:
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))
        except (OSError, ValueError):
            continue  # macOS refuses some limits


def main() -> None:
    """Answers requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes our input
    # LibRaw and C libraries print where they like: keep the real output to ourselves.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    log_fd = 2
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(out.fileno(), os.O_BINARY)
    logging.disable(logging.CRITICAL)
    _limit_resources()
    _write(out, READY)
    for line in sys.stdin.buffer:
        request: Request = decode_message(Request, line)
        # Ends the process from a C thread even where LibRaw hangs and the parent is gone.
        faulthandler.dump_traceback_later(_SELF_DESTRUCT_SECONDS, exit=True)
        if request.folder is not None:
            os.chdir(request.folder)
        reply, mosaic = _answer(Path(request.path), request.pixels, log_fd)
        faulthandler.cancel_dump_traceback_later()
        body = encode(reply)
        pixels = mosaic.data.cast("B") if mosaic is not None else memoryview(b"")
        _write(out, HEADER.pack(len(body), len(pixels)))
        _write(out, body)
        _write(out, pixels)


def _write(out: Any, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    main()
