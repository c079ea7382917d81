"""Compare two picture files with each other or with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import Image, ImageOps
from torch import Tensor

from burstfix.errors import InputError
from burstfix.evaluation.metrics import SSIM_WINDOW, psnr, ssim

_PNG = b"\x89PNG"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True)
class Similarity:
    """Similarity of two pictures.

    Attributes:
        psnr: PSNR in dB; infinite for equal pictures.
        ssim: SSIM, at most 1.
    """

    psnr: float
    ssim: float


def compare(a: Path, b: Path) -> Similarity:
    """Compare the pixel values of two pictures, ignoring colour profiles.

    Args:
        a: Picture file: TIFF, PNG, JPEG, or another format that Pillow reads.
        b: Picture file of the same size. The bit depths may differ.

    Raises:
        InputError: A file cannot be read, or the sizes differ or are below 11x11 pixels.
    """
    first, second = read_pixels(a), read_pixels(b)
    if first.shape != second.shape:
        raise InputError(
            f"{b}: has {_size(second)} pixels, but {a} has {_size(first)}; give pictures of the same size"
        )
    if min(first.shape[1:]) < SSIM_WINDOW:
        raise InputError(f"{a}: has {_size(first)} pixels; SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW}")
    return Similarity(psnr(first, second), ssim(first, second))


def read_pixels(path: Path) -> Tensor:
    """Read a picture as float32 (3, H, W) in its full bit depth, scaled to 0..1 and rotated upright.

    Raises:
        InputError: The file cannot be read as a picture.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(4)
        if start == _PNG:
            pixels = imagecodecs.png_decode(path.read_bytes())
        elif start in _TIFF:
            pixels = tifffile.imread(path)
        else:
            with Image.open(path) as image:
                pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # decoders raise many types of exceptions on damaged files
        raise InputError(f"{path}: cannot be read as a picture ({' '.join(str(error).split())})") from error
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, -1)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype.kind not in "uf":
        raise InputError(f"{path}: expected RGB or grey pixels, found {pixels.dtype} {pixels.shape}")
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    rgb = pixels[..., :3].transpose(2, 0, 1).astype(np.float32) / scale
    return torch.from_numpy(np.ascontiguousarray(rgb))


def _size(picture: Tensor) -> str:
    return f"{picture.shape[2]}x{picture.shape[1]}"
