"""Training photographs.

They are decoded once, kept as bytes on the training device, and cropped at random.
"""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from burstfix.errors import InputError
from burstfix.sim.sources import display_pixels

logger = logging.getLogger(__name__)
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class PhotoStore:
    """Photographs as uint8 (3, H, W) on one device.

    Attributes:
        pictures: The photographs.
        names: Names of their files.
        skipped: Names of files that could not be used.
    """

    pictures: list[Tensor]
    names: list[str]
    skipped: list[str]

    def crops(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Return random crops, flipped and rotated at random, as float32 (count, 3, size, size) in 0..1.

        Every part of every photograph is equally likely.

        Args:
            count: Number of crops.
            size: Side of a crop in pixels.
            generator: Generator on the CPU, even if the pictures are on another device.
        """
        areas = torch.tensor([p.shape[1] * p.shape[2] for p in self.pictures], dtype=torch.float32)
        chosen = torch.multinomial(areas, count, replacement=True, generator=generator).tolist()
        where = torch.rand((count, 2), generator=generator).tolist()
        turns = torch.randint(0, 8, (count,), generator=generator).tolist()
        out = []
        for index, (v, u), turn in zip(chosen, where, turns, strict=True):
            picture = self.pictures[index]
            y = int(v * (picture.shape[1] - size + 1))
            x = int(u * (picture.shape[2] - size + 1))
            crop = picture[:, y : y + size, x : x + size]
            crop = torch.rot90(crop, turn % 4, (1, 2))
            out.append(crop.flip(2) if turn >= 4 else crop)
        return torch.stack(out).float() / 255


def load_photos(sources: list[Path], smallest: int, device: torch.device) -> PhotoStore:
    """Read all pictures in files, folders and tar archives.

    Args:
        sources: Picture files, folders (with their subfolders) or .tar archives.
        smallest: Minimum height and width in pixels. Smaller pictures are skipped.
        device: Device on which the bytes are stored.

    Raises:
        InputError: A source does not exist, or no picture is usable.
    """
    pictures: list[Tensor] = []
    names: list[str] = []
    skipped: list[str] = []
    for name, data in _files(sources):
        try:
            with Image.open(io.BytesIO(data)) as image:
                array = display_pixels(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            logger.warning("%s: skipped, cannot be read as a picture (%s)", name, error)
            skipped.append(name)
            continue
        if min(array.shape[:2]) < smallest:
            logger.warning("%s: skipped, smaller than %d pixels", name, smallest)
            skipped.append(name)
            continue
        pictures.append(torch.from_numpy(array).permute(2, 0, 1).contiguous().to(device))
        names.append(name)
    if not pictures:
        raise InputError(
            f"{', '.join(map(str, sources))}: no usable training pictures; give larger photographs"
        )
    if skipped:
        logger.warning("%d of %d pictures skipped", len(skipped), len(skipped) + len(pictures))
    return PhotoStore(pictures, names, skipped)


def _files(sources: list[Path]) -> Iterator[tuple[str, bytes]]:
    for source in sources:
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        if source.suffix == ".tar":
            try:
                with tarfile.open(source) as archive:
                    for member in archive:
                        handle = (
                            archive.extractfile(member) if member.name.lower().endswith(SUFFIXES) else None
                        )
                        if handle is not None:
                            yield f"{source.name}/{member.name}", handle.read()
            except tarfile.TarError as error:
                raise InputError(f"{source}: not a readable tar archive ({error})") from error
        elif source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
                yield path.name, path.read_bytes()
        else:
            yield source.name, source.read_bytes()
