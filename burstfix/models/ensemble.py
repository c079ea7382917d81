"""Geometric self-ensemble: the mean of the results of a network for mirrored and transposed inputs.

Source: Lim et al., "Enhanced deep residual networks for single image super-resolution" (CVPRW 2017), section
3.3, here adapted to mosaics. Mirroring converts RGGB to GRBG. Therefore a mirrored mosaic is shifted by one
pixel, which restores RGGB. The outermost row or column is lost, but it lies in the halo of a tile.
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
"""Allowed numbers of views."""

_SWAPPED = (0, 2, 1, 3)  # order of the planes after a transposition: the two greens are swapped
# Additional bytes per packed pixel: transformed frames, sums.
_FRAME_BYTES, _PICTURE_BYTES = 32, 128


@dataclass(frozen=True, slots=True)
class View:
    """One of the eight views of a picture: first mirrored, then transposed."""

    rows: bool = False
    columns: bool = False
    swap: bool = False

    def of(self, packed: Tensor) -> Tensor:
        """Transform planes (..., 4, h, w), keeping RGGB order; the result is (..., 4, w, h) if transposed."""
        return self._swap_packed(self._mirror_packed(packed))

    def undo(self, packed: Tensor) -> Tensor:
        """Invert `of`, except for the last row and column."""
        return self._mirror_packed(self._swap_packed(packed))

    def undo_picture(self, picture: Tensor) -> Tensor:
        """Transform the result (..., 2h, 2w) of this view back to the geometry of the picture."""
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
    """Reverse a dimension; if `shift`, drop the first element of the result and repeat the last one."""
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
    """Return a model that averages the results of a network over several views.

    Args:
        model: A network, which runs once for each view. A model without weights is returned unchanged,
            because views do not improve its result.
        views: Number of views: 1, 2, 4 or 8. With 1, any model, even an ensemble, is returned unchanged.

    Raises:
        UsageError: The number of views is not supported.
    """
    if views not in VIEWS:
        raise UsageError(f"ensemble {views}: expected one of {', '.join(map(str, VIEWS))}")
    if views == 1:
        return model
    if not list(model.parameters()):
        logger.warning("model %s is not a network: an ensemble of views has no effect", model.info.name)
        return model
    return SelfEnsemble(model.model if isinstance(model, SelfEnsemble) else model, views)


class SelfEnsemble(BurstModel):
    """A network that averages its results over several views; see `self_ensemble`."""

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
        """Average the results over the views; see `BurstModel.forward`. The result has no `extra`."""
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
        """Return the features of the network."""
        return self.model.features(planes, shot_gain, read_variance)

    def match(self, reference: Tensor, frame: Tensor, initial: Tensor) -> BlockField:
        """Match with the network. Frames are aligned only once for all views."""
        return self.model.match(reference, frame, initial)
