"""Apply predicted kernels: weighted sums over the samples of one colour at every pixel of a mosaic.

Kernels are predicted for quads (2x2 packed pixels), with one plane of weights for each pixel of a quad. They
are applied in this layout, because rearranging them to full size would take longer than the sums.

A kernel has one weight for each displacement, which the four pixels of a cell share. Displacements that are
even in both directions lead from a pixel to samples of its own colour. Displacements of the three other
parities lead to another plane of the packed mosaic, and thus to the colours that the pixel did not measure.
In a frame that is displaced by an odd number of pixels, these samples coincide with the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from burstfix.raw.cfa import interleave

LOGIT_LIMIT = 12.0  # keeps running sums finite, because e^12 and e^-12 are far inside the range of float32
SIGNED_SCALE = 0.25  # scale of the signed part, so that it does not learn faster than the other parts


@dataclass(frozen=True, slots=True)
class Parity:
    """Displacements of one parity, in sensor pixels: all pairs of `ys` and `xs`.

    Attributes:
        ys, xs: Displacements in each direction: all even or all odd, in steps of two.
    """

    ys: tuple[int, ...]
    xs: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Number of displacements."""
        return len(self.ys) * len(self.xs)

    def distances(self) -> Tensor:
        """Return the squared lengths of the displacements, (taps,)."""
        return torch.tensor([float(y * y + x * x) for y in self.ys for x in self.xs])

    def gather(self, frame: Tensor, border: int, top: int, rows: int) -> Tensor:
        """Collect the samples that `sum_taps` needs for some rows of quads.

        Args:
            frame: (B, 4, h + 2 * border, w + 2 * border) packed; h and w are even.
            border: Width in packed pixels of the border on every side, which displacements may reach.
            top, rows: First row of quads, and number of rows.

        Returns:
            (B, 4, 2 * rows + len(ys) - 1, 3, columns): plane p contains the samples for the pixels of plane
            p, starting with the first tap. Columns are reordered so that reads are contiguous: even columns,
            odd columns, and even columns again without the first one.
        """
        height, width = 2 * rows + len(self.ys) - 1, frame.shape[-1] - 2 * border
        columns = width // 2 + (len(self.xs) - 1) // 2
        reordered = frame.new_empty((len(frame), 4, height, 3, columns))
        for p in range(4):
            y, x = divmod(p, 2)
            source_y, source_x = (y + self.ys[0]) % 2, (x + self.xs[0]) % 2
            # Displacement from the cell of a pixel to the cell of its sample, for the first tap.
            first = border + 2 * top + (y + self.ys[0] - source_y) // 2
            left = border + (x + self.xs[0] - source_x) // 2
            source = frame[:, 2 * source_y + source_x, first : first + height, left:]
            for parity in range(3):
                part = source[..., parity::2][..., :columns]  # a missing last column is not read
                reordered[:, p, :, parity, : part.shape[-1]] = part
        return reordered

    def sum_taps(self, gathered: Tensor, kernels: Tensor) -> Tensor:
        """Compute the weighted sums over all taps.

        Args:
            gathered: Result of `gather`.
            kernels: (B, taps, 4, rows, w / 2) weights for each pixel of each quad.

        Returns:
            (B, 4, 4, rows, w / 2): plane, pixel of the quad, rows, columns.
        """
        batch, _, _, h, w = kernels.shape
        out = kernels.new_zeros((batch, 4, 2, 2, h, w))
        total = out.permute(0, 1, 4, 2, 3, 5)
        by_tap = kernels.unflatten(2, (2, 2)).permute(0, 1, 4, 2, 3, 5)
        # `split` instead of slices, because autograd would add up the gradients of slices one by one.
        for tap, kernel in enumerate(by_tap.split(1, 1)):
            dy, dx = divmod(tap, len(self.xs))
            left = dx // 2
            seen = gathered[:, :, dy : dy + 2 * h, dx % 2 : dx % 2 + 2, left : left + w]
            total.addcmul_(kernel, seen.unflatten(2, (h, 2)))
        return out.flatten(2, 3)


def own_color(side: int) -> Parity:
    """Return the even displacements of a kernel of side x side packed pixels, where side is odd."""
    reach = tuple(range(1 - side, side, 2))
    return Parity(reach, reach)


EVEN, ODD = (-2, 0, 2), (-1, 1)
OTHER_COLORS = (Parity(EVEN, ODD), Parity(ODD, EVEN), Parity(ODD, ODD))
"""The three parities that lead to other planes: along a row, along a column, along both."""


COLOR_SOURCES = (
    (0, (0,)), (1, (1,)), (2, (2,)), (3, (3,)),  # red
    (0, (1, 2)), (1, (0, 3)), (2, (0, 3)), (3, (1, 2)),  # green
    (0, (3,)), (1, (2,)), (2, (1,)), (3, (0,)),  # blue
)  # fmt: skip
"""For each colour at every sensor pixel of a cell: its plane, and the parities that lead to the colour."""


def all_colors(sums: Tensor, masses: Tensor) -> Tensor:
    """Normalise the weighted sums of all parities and sort them by colour.

    Args:
        sums: (B, 4, 4, 4, rows, w / 2): parity (own colour first), plane, pixel of the quad, rows, columns.
        masses: (B, 4, 1, 4, rows, w / 2): sums of the weights of the kernels.

    Returns:
        (B, 12, 4, rows, w / 2): each colour at every sensor pixel of the cell, pixel of the quad, rows,
        columns.
    """

    def mean(plane: int, parities: tuple[int, ...]) -> Tensor:
        parts = sum(sums[:, k, plane] for k in parities)
        return torch.as_tensor(parts) / sum(masses[:, k, 0] for k in parities)

    planes = [mean(plane, parities) for plane, parities in COLOR_SOURCES]
    return torch.stack(planes, 1)


def from_quads(strips: list[Tensor]) -> Tensor:
    """Assemble strips (B, K, 4, rows, w / 2), in order from the top, to (B, K, h, w)."""
    return interleave(torch.cat(strips, 3).flatten(1, 2))


def planes(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a 1x1 convolution with 4 * K outputs: (B, c, rows, w / 2) to float32 (B, K, 4, rows, w / 2).

    A matrix product is used, because it writes plane by plane; a convolution would write pixel by pixel.
    """
    batch, _, rows, columns = features.shape
    weight = weight.flatten(1).expand(batch, -1, -1)
    product = torch.baddbmm(bias[:, None], weight, features.flatten(2))
    return product.float().unflatten(2, (rows, columns)).unflatten(1, (-1, 4))
