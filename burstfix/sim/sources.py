"""Read the photographs and clips from which bursts are simulated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from burstfix.errors import InputError

PICTURE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"))


def read_picture(path: Path) -> Tensor:
    """Read a photograph as float32 (3, H, W) display RGB in 0..1, rotated upright.

    Raises:
        InputError: The file cannot be read as a picture.
    """
    try:
        with Image.open(path) as image:
            pixels = display_pixels(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error
    return _as_tensor(pixels)


def display_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a picture of any mode, including 16-bit grey, to uint8 (H, W, 3)."""
    if image.mode.startswith("I"):  # Pillow would clip 16-bit values to 255 instead of scaling them
        grey = (np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8)
        return np.stack([grey] * 3, -1)
    return np.array(image.convert("RGB"))


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures directly in a folder, in natural order (frame2 before frame10)."""
    found = (
        p
        for p in folder.iterdir()
        if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    return sorted(found, key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", p.name)])


def read_clip(path: Path, first: int, count: int) -> Tensor:
    """Read consecutive frames of a clip as float32 (count, 3, H, W) display RGB in 0..1.

    Args:
        path: Folder of pictures of one size, or a video file (needs the extra `video`).
        first: Index of the first frame.
        count: Number of frames.

    Raises:
        InputError: The clip cannot be read, is too short, or its frames differ in size.
    """
    if path.is_dir():
        files = pictures_in(path)
        if not files:
            raise InputError(f"{path}: contains no pictures; expected the frames of a clip")
        frames = [read_picture(file) for file in files[first : first + count]]
        total = f"{len(files)} frames"
    else:
        frames = [_as_tensor(pixels) for pixels in _video_frames(path, first, count)]
        total = f"only {first + len(frames)} frames"
    if len(frames) < count:
        raise InputError(f"{path}: has {total}; expected frames {first + 1} to {first + count}")
    for frame in frames:
        if frame.shape != frames[0].shape:
            sizes = " and ".join(f"{f.shape[2]}x{f.shape[1]}" for f in (frames[0], frame))
            raise InputError(f"{path}: its frames differ in size ({sizes}); expected one size")
    return torch.stack(frames)


def _video_frames(path: Path, first: int, count: int) -> Iterator[np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    import imageio.v3 as iio  # imported here, because only videos need it

    try:
        for index, pixels in enumerate(iio.imiter(path)):
            if index >= first + count:
                break
            if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
                raise InputError(f"{path}: its frames are not 8-bit RGB")
            if index >= first:
                yield pixels[..., :3]
    except InputError:
        raise
    # Plug-ins raise exceptions of any type. A missing plug-in causes ImportError or OSError.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        if "find a backend" in reason:  # the message of imageio has several lines
            reason = "no installed plug-in reads such files"
        raise InputError(
            f"{path}: cannot be read as a video ({reason}); videos need burstfix[video] (pip install av), "
            "or give a folder of frames"
        ) from error


def _as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
