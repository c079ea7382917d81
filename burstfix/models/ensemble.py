"""A network that looks at its input from several sides and averages what it sees: geometric self-ensemble.

After Lim et al., "Enhanced deep residual networks for single image super-resolution" (CVPRW 2017), section
3.3, here for mosaics. Mirrored, RGGB becomes GRBG; so a mirrored mosaic is shifted by one pixel, which brings
it back to RGGB and costs the outermost row or column (it lies in a tile's halo).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burstfix.align.blocks import BlockField
from burstfix.errors import UsageError
from burstfix.models.base import BurstModel, Merged

logger = logging.getLogger(__name__)

VIEWS = (1, 2, 4, 8)
"""How many views there may be."""

_SWAPPED = (0, 2, 1, 3)  # planes where rows become columns: the greens change places
_FRAME_BYTES, _PICTURE_BYTES = 32, 128  # more working memory a packed pixel: turned frames, sums of pictures


@dataclass(frozen=True, slots=True)
class View:
    """One of the eight ways to look at a picture: mirrored first, then rows and columns swapped."""

    rows: bool = False
    columns: bool = False
    swap: bool = False

    def of(self, packed: Tensor) -> Tensor:
        """(..., 4, h, w) in RGGB order, seen so: in RGGB order again, (..., 4, w, h) where swapped."""
        return self._swap_packed(self._mirror_packed(packed))

    def undo(self, packed: Tensor) -> Tensor:
        """What `of` made, as it was, but for the last row and column."""
        return self._mirror_packed(self._swap_packed(packed))

    def undo_picture(self, picture: Tensor) -> Tensor:
        """(..., 2h, 2w) made of such a view, as it would be of the picture itself."""
        if self.swap:
            picture = picture.transpose(-1, -2)
        for dim, wanted in ((-2, self.rows), (-1, self.columns)):
            if wanted:
                picture = _mirrored(picture, dim, shift=True)
        return picture

    def _mirror_packed(self, packed: Tensor) -> Tensor:
        planes = list(packed.unbind(-3))
        for dim, wanted, odd in ((-2, self.rows, (2, 3)), (-1, self.columns, (1, 3))):
            if wanted:
                planes = [_mirrored(plane, dim, shift=k in odd) for k, plane in enumerate(planes)]
        return torch.stack(planes, -3)

    def _swap_packed(self, packed: Tensor) -> Tensor:
        return packed[..., _SWAPPED, :, :].transpose(-1, -2) if self.swap else packed


def _mirrored(x: Tensor, dim: int, *, shift: bool) -> Tensor:
    """Reversed along a dimension; shifted, the first of the result is left out and the last repeated."""
    x = x.flip(dim)
    last = x.shape[dim] - 1
    return torch.cat([x.narrow(dim, 1, last), x.narrow(dim, last, 1)], dim) if shift else x


_ALL = (
    View(),
    View(swap=True),
    View(rows=True, columns=True),
    View(rows=True, columns=True, swap=True),
    View(columns=True),
    View(columns=True, swap=True),
    View(rows=True),
    View(rows=True, swap=True),
)


def self_ensemble(model: BurstModel, views: int) -> BurstModel:
    """The mean of a network's results over so many views, which takes as many times as long.

    Args:
        model: A network; models without weights come back as they are, they have nothing to gain.
        views: 2, 4 or 8; with 1 any model comes back as it is, an ensemble too.

    Raises:
        UsageError: Another number of views.
    """
    if views not in VIEWS:
        raise UsageError(f"ensemble {views}: expected one of {', '.join(map(str, VIEWS))}")
    if views == 1:
        return model
    if not list(model.parameters()):
        logger.warning("model %s is no network: an ensemble of views changes nothing", model.info.name)
        return model
    return SelfEnsemble(model.model if isinstance(model, SelfEnsemble) else model, views)


class SelfEnsemble(BurstModel):
    """What `self_ensemble` makes."""

    def __init__(self, model: BurstModel, views: int) -> None:
        super().__init__()
        self.model = model
        self.views = _ALL[:views]
        self.info = replace(
            model.info,
            bytes_per_pixel=model.info.bytes_per_pixel + _FRAME_BYTES,
            bytes_per_pixel_fixed=model.info.bytes_per_pixel_fixed + _PICTURE_BYTES,
        )

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """As the network's, without its extras. The last row and column are mirrored in some views."""
        rgb = mosaic = None
        for view in self.views:
            seen = self.model(
                view.of(frames).contiguous(), view.of(shot_gain), view.of(read_variance), reference
            )
            picture = view.undo_picture(seen.rgb.float())
            rgb = picture if rgb is None else rgb.add_(picture)
            if seen.mosaic is not None:
                planes = view.undo(seen.mosaic.float())
                mosaic = planes if mosaic is None else mosaic.add_(planes)
        assert rgb is not None
        return Merged(rgb / len(self.views), None if mosaic is None else mosaic / len(self.views))

    def features(self, planes: Tensor, shot_gain: Tensor, read_variance: Tensor) -> Tensor:
        """The network's."""
        return self.model.features(planes, shot_gain, read_variance)

    def match(self, reference: Tensor, frame: Tensor, initial: Tensor) -> BlockField:
        """The network's: frames are aligned once, for all views."""
        return self.model.match(reference, frame, initial)
