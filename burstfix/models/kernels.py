"""What predicted kernels do: weighted sums over a mosaic's samples of one colour, at every pixel of it.

A kernel has one weight for each displacement, shared by the four pixels of a cell. Displacements that are
even in both directions lead from a pixel to samples of its own colour. Those of the three other parities lead
to another plane of the packed mosaic, so they give the colours that a pixel has not measured itself. In
frames that lie an odd number of pixels off, it is these that hold the samples which fall onto the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Parity:
    """Displacements of one parity, in sensor pixels: all pairs of `ys` and `xs`.

    Attributes:
        ys, xs: All even or all odd, each two more than the one before.
    """

    ys: tuple[int, ...]
    xs: tuple[int, ...]

    @property
    def taps(self) -> int:
        """How many displacements there are."""
        return len(self.ys) * len(self.xs)

    def distances(self) -> Tensor:
        """(taps,) squared lengths of the displacements."""
        return torch.tensor([float(y * y + x * x) for y in self.ys for x in self.xs])

    def gather(self, frame: Tensor) -> Tensor:
        """(B, 4, h, w) packed -> (B, 4, h + rows - 1, w + columns - 1), for `sum_taps`; borders repeated.

        Plane p holds what pixels of plane p see at the displacements, first tap first.
        """
        planes: list[Tensor] = []
        for p in range(4):
            y, x = divmod(p, 2)
            source_y, source_x = (y + self.ys[0]) % 2, (x + self.xs[0]) % 2
            # From a pixel's cell to that of its sample, for the first and the last tap.
            top, bottom = ((y + dy - source_y) // 2 for dy in (self.ys[0], self.ys[-1]))
            left, right = ((x + dx - source_x) // 2 for dx in (self.xs[0], self.xs[-1]))
            plane = 2 * source_y + source_x
            source = frame[:, plane : plane + 1]
            planes.append(F.pad(source, (-left, right, -top, bottom), mode="replicate"))
        return torch.cat(planes, 1)

    def sum_taps(self, gathered: Tensor, kernels: Tensor) -> Tensor:
        """(B, 4, h + rows - 1, w + columns - 1), (B, taps, h, w) -> (B, 4, h, w)."""
        h, w = kernels.shape[-2:]
        out = torch.zeros_like(gathered[:, :, :h, :w])
        for tap, kernel in enumerate(kernels.split(1, 1)):  # gradients of slices would be joined one by one
            dy, dx = divmod(tap, len(self.xs))
            out.addcmul_(kernel, gathered[:, :, dy : dy + h, dx : dx + w])
        return out


def own_color(side: int) -> Parity:
    """The even displacements of a kernel of side x side packed pixels, side odd."""
    reach = tuple(range(1 - side, side, 2))
    return Parity(reach, reach)


EVEN, ODD = (-2, 0, 2), (-1, 1)
OTHER_COLORS = (Parity(EVEN, ODD), Parity(ODD, EVEN), Parity(ODD, ODD))
"""The three parities that lead to other planes: along a row, along a column, along both."""


def all_colors(sums: Tensor, masses: Tensor) -> Tensor:
    """Normalises what the kernels of all parities gave, own colour first.

    Args:
        sums: (B, 4, 4, h, w): parity, plane.
        masses: (B, 4, 1, h, w): sums of the kernels' weights.

    Returns:
        (B, 3, 2h, 2w) RGB: each colour at every pixel.
    """
    own, row, column, both = range(4)

    def mean(plane: int, *parities: int) -> Tensor:
        parts = sum(sums[:, k, plane] for k in parities)
        return torch.as_tensor(parts) / sum(masses[:, k, 0] for k in parities)

    planes = [
        *(mean(plane, k) for plane, k in enumerate((own, row, column, both))),  # red
        mean(0, row, column), mean(1, own, both), mean(2, own, both), mean(3, row, column),
        *(mean(plane, k) for plane, k in enumerate((both, column, row, own))),  # blue
    ]  # fmt: skip
    return F.pixel_shuffle(torch.stack(planes, 1), 2)
