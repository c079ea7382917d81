"""Pictures of the report: encode them for the page, and choose crops."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GRID = 24  # side in display pixels of the cells for the choice of crops
_SHADOW = (0.03, 0.22)  # range of display luminance in deep shadows


@dataclass(frozen=True, slots=True)
class Crop:
    """A detail of the picture.

    Attributes:
        reason: Reason for the choice: "texture", "edge", "deep shadow" or "moving part".
        top, left, height, width: Position and size in pixels of the picture.
    """

    reason: str
    top: int
    left: int
    height: int
    width: int

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return this part of an (H, W, 3) picture."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def data_uri(picture: NDArray[np.uint8], *, quality: int = 85, lossless: bool = False) -> str:
    """Encode (H, W, 3) sRGB as a data URI: JPEG, or PNG if `lossless`."""
    held = io.BytesIO()
    if lossless:
        Image.fromarray(picture).save(held, "PNG", optimize=True)
    else:
        Image.fromarray(picture).save(held, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode('ascii')}"


def reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Reduce a picture so that its longer side is at most `side` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image)


def color_map(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Colour a map (h, w) from dark blue (`low`) through green to yellow (`high`); return uint8 (h, w, 3).

    Lightness increases with the value, so that the map can also be read in greyscale. Values that are not
    finite are middle grey.
    """
    stops = np.array(
        [(38, 18, 82), (45, 72, 138), (34, 124, 140), (61, 176, 110), (170, 218, 60), (252, 232, 70)]
    )
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    known = np.isfinite(share)
    position = np.where(known, share, 0) * (len(stops) - 1)
    first = np.minimum(position.astype(int), len(stops) - 2)
    mix = (position - first)[..., None]
    colored = stops[first] * (1 - mix) + stops[first + 1] * mix
    return np.where(known[..., None], colored, 128).round().astype(np.uint8)


def luminance_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luminance (H, W), 0 to 255, of display values (H, W, 3), with weights of ITU-R BT.709."""
    return picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def choose_crops(
    picture: NDArray[np.uint8], moving: NDArray[np.floating] | None = None, *, side: int = 480
) -> list[Crop]:
    """Choose crops that show the effect of a merge. Two crops overlap by at most a half.

    Args:
        picture: The merged picture, (H, W, 3).
        moving: Map (h, w) of the same view with high values in areas with motion, or None.
        side: Height and width of a crop in pixels. Crops are smaller if the picture is smaller.
    """
    height, width = picture.shape[:2]
    crop_height, crop_width = min(side, height), min(side, width)
    luminance = luminance_of(picture) / np.float32(255)
    detail = _cell_means(_detail(luminance))
    gradient = _cell_means(_gradient(luminance))
    mean = _cell_means(luminance)
    dark = (mean > _SHADOW[0]) & (mean < _SHADOW[1])
    scores = {
        "texture": detail / (gradient + 0.02) * np.sqrt(detail),
        "edge": gradient,
        "deep shadow": np.where(dark, 0.3 + detail / (mean + 0.02), 0),
    }
    if moving is not None and np.isfinite(moving).any() and float(np.nanmax(moving)) > 0:
        rows, cols = (np.arange(n) * m // n for n, m in zip(mean.shape, moving.shape, strict=True))
        scores["moving part"] = np.nan_to_num(moving[rows][:, cols]) * np.sqrt(detail + 1e-4)
    crops: list[Crop] = []
    for reason, score in scores.items():
        crop = _best(reason, score, crops, (height, width), (crop_height, crop_width))
        if crop is not None:
            crops.append(crop)
    return crops


def _best(
    reason: str,
    score: NDArray[np.floating],
    taken: list[Crop],
    size: tuple[int, int],
    crop_size: tuple[int, int],
) -> Crop | None:
    """Return the crop with the highest mean score outside the taken crops; None if all scores are 0."""
    rows, cols = (max(1, side // _GRID) for side in crop_size)
    sums = np.pad(np.asarray(score, np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, cols = min(rows, score.shape[0]), min(cols, score.shape[1])
    means = sums[rows:, cols:] - sums[:-rows, cols:] - sums[rows:, :-cols] + sums[:-rows, :-cols]
    for position in np.argsort(means, axis=None)[::-1]:
        y, x = np.unravel_index(position, means.shape)
        if means[y, x] <= 1e-9:
            return None
        top, left = min(int(y) * _GRID, size[0] - crop_size[0]), min(int(x) * _GRID, size[1] - crop_size[1])
        crop = Crop(reason, top, left, *crop_size)
        if all(_shared(crop, other) < 0.5 for other in taken):
            return crop
    return None


def _shared(a: Crop, b: Crop) -> float:
    """Return the share of crop `a` that lies inside crop `b`."""
    rows = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    cols = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    return max(0, rows) * max(0, cols) / (a.height * a.width)


def _cell_means(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average over cells of `_GRID` pixels; incomplete cells at the border are left out."""
    height, width = x.shape
    cell_y, cell_x = min(_GRID, height), min(_GRID, width)
    rows, cols = height // cell_y, width // cell_x
    return x[: rows * cell_y, : cols * cell_x].reshape(rows, cell_y, cols, cell_x).mean((1, 3))


def _gradient(x: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros_like(x)
    out[:-1] += np.abs(np.diff(x, axis=0))
    out[:, :-1] += np.abs(np.diff(x, axis=1))
    return out


def _detail(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the magnitude of the second difference: high in fine structure, low on slopes."""
    out = np.zeros_like(x)
    out[1:-1] += np.abs(x[2:] - 2 * x[1:-1] + x[:-2])
    out[:, 1:-1] += np.abs(x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2])
    return out
