"""Find defects of a sensor by comparing the frames of a burst: pixels, small clusters, columns and rows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from burstfix.analysis.line_defects import find_line_defects
from burstfix.raw.cfa import pack
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import Frame, GlobalMotion, NoiseProfile

_STRIP = 256  # packed rows examined at once; fewer if there are many frames
_STRIP_VALUES = 1 << 23  # packed values of all frames examined at once (32 MB)
_LEAST_STRIP = 64  # packed rows
_MOST_FRAMES = 12  # more frames take time and add hardly any evidence
_MARGIN = 2  # packed rows above and below a strip that affect its result
_EVERY_FRAME = 4.0  # standard deviations by which a defect must stand out in each frame
_FEW_FRAMES = 10.0  # the same for one or two frames; there, motion does not separate defects from detail
_TEXTURE = 0.5  # minimum excess as a share of the difference between neighbours; texture stays below it
_ISOLATION = 0.25  # maximum excess of neighbours of other colours, as a share; light spreads more
_STILL_ISOLATION = 0.06  # the same if the camera did not move; even the sharpest star spreads more
_SPILL_ERRORS = 2.0  # tolerance for the excess of these neighbours, standard errors
_SPILL_NOISE = 0.61  # standard deviation of the mean of four differences: a pixel minus the mean of two
_STILL_RADIUS = 3.0  # sensor pixels; a point of light that moves by less stays next to the same pixel
_RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_SMALLEST = 0.02  # normalised excess below which a repair does more harm than good
_ROUNDS = 10  # maximum rounds to confirm clusters; only texture needs more
_SAFETY = 0.999  # factor on the variance in the first test, against rounding errors
_PARTNERS = 2  # number of neighbours of the same colour that may belong to the same cluster of defects


def find_hot_pixels(
    frames: Sequence[Frame], noise: NoiseProfile, motions: Sequence[GlobalMotion]
) -> NDArray[np.int32]:
    """Find pixels that stand out from their neighbourhood at the same sensor position in every frame.

    A pixel is hot if in each frame it is brighter (or darker) than all eight neighbours of its colour by more
    than the noise, and if its neighbours of other colours do not stand out. This excludes stars, because the
    lens spreads even the smallest star over several pixels.

    If the camera moves, no detail of the scene stays on one pixel. Then up to two neighbours may be defects
    too, so that pairs, small clusters, and bad columns and rows are found. If the camera stands still in most
    frames (a tripod), or there are fewer than three frames, the neighbours must show almost no excess. At the
    border, only existing neighbours are compared. Of long bursts, twelve frames are examined.

    Args:
        frames: At least one frame; all of one camera and size. With fewer than three, only extreme pixels are
            found.
        noise: Noise of the frames.
        motions: Motion of each frame relative to any one of them.

    Returns:
        int32 (count, 2), rows and columns in the visible area, in reading order. Empty for linear frames,
        where demosaicing has spread the defects.
    """
    if frames[0].layout.channels > 1:
        return np.empty((0, 2), np.int32)
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int).tolist()
    frames, motions = [frames[k] for k in chosen], [motions[k] for k in chosen]
    sources = [FrameSource(frame) for frame in frames]
    still = len(frames) < 3 or _stands_still(motions)
    with ThreadPoolExecutor(1) as thread:  # both searches consist of small steps, which leave cores idle
        lines = thread.submit(find_line_defects, sources, noise, motions)
        found = _find_single(sources, noise, still)
        return np.unique(np.concatenate([*found, lines.result()]), axis=0).astype(np.int32)


def _find_single(sources: Sequence[FrameSource], noise: NoiseProfile, still: bool) -> list[NDArray[np.int64]]:
    """Find single pixels and small clusters, strip by strip; the results are (count, 2)."""
    found: list[NDArray[np.int64]] = []
    height, above = sources[0].height, sources[0].padding.top
    step = _STRIP_VALUES // (4 * sources[0].width * len(sources))
    step = min(max(step, _LEAST_STRIP), _STRIP)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        region = Region(max(top - _MARGIN, 0), 0, min(bottom + _MARGIN, height), sources[0].width)
        rows = _Strip(sources, noise, still, region).defects()
        packed_rows = (rows[:, 0] + above) // 2
        found.append(rows[(packed_rows >= top) & (packed_rows < bottom)])
    return found


def _stands_still(motions: Sequence[GlobalMotion]) -> bool:
    """Return True if most frames lie within `_STILL_RADIUS` pixels of one frame."""
    shifts = torch.tensor([(motion.dy, motion.dx) for motion in motions], dtype=torch.float64)
    near = torch.cdist(shifts, shifts) <= _STILL_RADIUS
    return int(near.sum(1).max()) * 2 > len(motions)


class _Strip:
    """Some packed rows of all frames."""

    def __init__(
        self, sources: Sequence[FrameSource], noise: NoiseProfile, still: bool, region: Region
    ) -> None:
        self._frames = torch.stack([source.read(region) for source in sources])  # N, 4, h, w
        self._mean = self._frames.mean(0)
        # Exclude padding: a repeated pixel would be compared with its own copy.
        known = torch.where(_inside(sources[0], region), self._mean, torch.nan)
        self._known = F.pad(known, (1, 1, 1, 1), value=torch.nan)
        self._still = still
        self._limit = _EVERY_FRAME if len(sources) >= 3 else _FEW_FRAMES
        self._gain = self._frames.new_tensor(noise.shot_gain)
        self._read = self._frames.new_tensor(noise.read_variance)
        padding = sources[0].padding
        self._origin = np.array([2 * region.top - padding.top, -padding.left])

    def defects(self) -> NDArray[np.int64]:
        """Return rows and columns of defects in the visible area."""
        found = []
        for sign in (1.0, -1.0):  # hot, dead
            outliers = self._outliers(sign)
            largest = self._ring(outliers, sign, self._known).nan_to_num(-torch.inf).topk(_PARTNERS + 1, 0)
            pixels = self._candidates(outliers, sign, largest.values[0])
            pixels = pixels[self._confirmed(pixels, sign, self._known)]
            if not self._still:
                in_clusters = self._candidates(outliers, sign, largest.values[_PARTNERS])
                pixels = torch.cat([pixels, self._clusters(in_clusters, sign)])
            plane, y, x = pixels.T
            found.append(torch.stack([2 * y + plane // 2, 2 * x + plane % 2], 1).numpy() + self._origin)
        return np.concatenate(found)

    def _clusters(self, pixels: Tensor, sign: float) -> Tensor:
        """Select the candidates that are defects, alone or next to other defects."""
        for _ in range(_ROUNDS):
            # Candidates are not compared with each other.
            known = self._known.clone()
            plane, y, x = pixels.T
            known[plane, y + 1, x + 1] = torch.nan
            confirmed = self._confirmed(pixels, sign, known)
            if confirmed.all():
                return pixels
            pixels = pixels[confirmed]
        return pixels[:0]

    def _outliers(self, sign: float) -> Tensor:
        """Find pixels that exceed a neighbour on each side by more than the noise.

        This necessary condition is fast to test. At least three of the eight neighbours are as high as the
        bound that is computed here, so candidates exceed it even if `_PARTNERS` neighbours are defects. The
        noise at the level of the other neighbours is not lower than at the darker of pixel and bound.

        Returns:
            int64 (count, 3): plane, row and column in the strip.
        """
        known = sign * self._known
        padded = known.nan_to_num(-torch.inf)
        across = torch.minimum(torch.minimum(padded[..., :-2], padded[..., 2:]), padded[..., 1:-1])
        down = torch.minimum(torch.minimum(padded[:, :-2], padded[:, 2:]), padded[:, 1:-1])
        bound = torch.maximum(
            torch.maximum(across[:, :-2], across[:, 2:]), torch.maximum(down[..., :-2], down[..., 2:])
        )
        pixels = known[:, 1:-1, 1:-1]
        excess = pixels - bound
        darker = bound if sign > 0 else -pixels  # candidates exceed the bound
        gain, read = (x[:, None, None] * self._limit**2 / len(self._frames) for x in (self._gain, self._read))
        variance = torch.addcmul(read, darker.clamp(min=0), gain)
        return torch.nonzero((excess > _SMALLEST) & (excess.square() > variance * _SAFETY))

    def _candidates(self, outliers: Tensor, sign: float, around: Tensor) -> Tensor:
        """Select the pixels that, averaged over the frames, exceed the level `around` them, (count,)."""
        plane, y, x = outliers.T
        excess = sign * self._mean[plane, y, x] - around
        limit = self._limit * self._std(sign * around, plane)
        return outliers[(excess > limit / len(self._frames) ** 0.5) & (excess > _SMALLEST)]

    @staticmethod
    def _ring(pixels: Tensor, sign: float, known: Tensor) -> Tensor:
        """Return the eight neighbours of each pixel in its plane, times `sign`, (8, count); NaN = unknown."""
        plane, y, x = pixels.T
        return sign * torch.stack([known[plane, y + 1 + dy, x + 1 + dx] for dy, dx in _RING])

    def _confirmed(self, pixels: Tensor, sign: float, known: Tensor) -> Tensor:
        """Return a mask of the candidates that stand out from all known neighbours of any colour."""
        plane, y, x = pixels.T
        ring = self._ring(pixels, sign, known)
        largest = ring.nan_to_num(-torch.inf).amax(0)
        smallest = ring.nan_to_num(torch.inf).amin(0)
        excess = sign * self._mean[plane, y, x] - largest
        std = self._std(sign * largest, plane)
        spill = _spill(known, plane, y, x, sign).nan_to_num(torch.inf)
        if self._still:
            # Noise may hide the light of a star on the neighbours.
            spill = spill + _SPILL_ERRORS * _SPILL_NOISE * std / len(self._frames) ** 0.5
        isolation = _STILL_ISOLATION if self._still else _ISOLATION
        every = sign * self._frames[:, plane, y, x] - largest
        return (
            torch.isfinite(largest)
            & (every > self._limit * std).all(0)
            & (excess > _SMALLEST)
            & (excess > _TEXTURE * (largest - smallest))
            & (spill < isolation * excess)
        )

    def _std(self, level: Tensor, plane: Tensor) -> Tensor:
        """Return the standard deviation of noise (count,) at levels (count,) of given planes."""
        return torch.sqrt(self._gain[plane] * torch.clamp(level, min=0) + self._read[plane])


def _inside(source: FrameSource, region: Region) -> Tensor:
    """Return bool (4, h, w): False where padding has added pixels to a region."""
    padding = source.padding
    rows, cols = 2 * source.height, 2 * source.width
    row, col = (
        torch.arange(2 * region.top, 2 * region.bottom),
        torch.arange(2 * region.left, 2 * region.right),
    )
    inside_rows = (row >= padding.top) & (row < rows - padding.bottom)
    inside_cols = (col >= padding.left) & (col < cols - padding.right)
    return pack(inside_rows[:, None] & inside_cols)


def _spill(known: Tensor, plane: Tensor, y: Tensor, x: Tensor, sign: float) -> Tensor:
    """Return the mean excess of the four nearest sensor neighbours over their own surroundings.

    These neighbours have other colours. Unknown neighbours (NaN) are ignored, as in the border of one packed
    pixel around `known`.
    """
    rows, cols = 2 * (y + 1) + plane // 2, 2 * (x + 1) + plane % 2

    def at(row: Tensor, col: Tensor) -> Tensor:
        return known[row % 2 * 2 + col % 2, row // 2, col // 2]

    rises = []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = at(rows + dy, cols + dx)
        # The nearest pixels of the neighbour's colour on both sides of it, along the other axis.
        far = torch.stack(
            [at(rows + dy + 2 * side * dx, cols + dx + 2 * side * dy) for side in (-1, 1)]
        ).nanmean(0)
        rises.append(sign * (beside - far))
    return torch.stack(rises).nanmean(0)
