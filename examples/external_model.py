"""Run a network of another project in `burstfix evaluate` and `burstfix merge`.

    PYTHONPATH=examples NETWORK_WEIGHTS=network.pt \
        burstfix evaluate --clips clips/ -m external_model:External -m kpn

Copy this file, replace `Network` by the class of the other project, and adapt `External`. The comments mark
what usually differs between projects.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from burstfix.errors import WeightsError
from burstfix.models.base import BurstModel, Merged, ModelInfo

FRAMES = 5


class Network(nn.Module):
    """Placeholder for the network of the other project.

    It takes (B, 5, 8, h, w): five frames, the reference in the middle, each with the four planes of the
    mosaic and four planes of its noise map. It returns linear RGB (B, 3, 2h, 2w).
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(FRAMES * 8, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Merge the frames."""
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.first(x.flatten(1, 2)))), 2)


class External(BurstModel):
    """Adapter of `Network` to the interface of burstfix."""

    def __init__(self) -> None:
        super().__init__()
        self.info = ModelInfo(
            "external",
            # Heights and widths of tiles are multiples of this, in packed pixels: 2^k for k halvings.
            size_multiple=8,
            # The receptive field around a pixel, in packed pixels, rounded up to a multiple of 8. If it is
            # too small, tiles become visible.
            halo=8,
            # Working memory per packed pixel; it determines the size of the tiles.
            bytes_per_pixel=100,
            bytes_per_pixel_fixed=1000,
            supports_bfloat16=False,
        )
        self.network = Network()
        path = os.environ.get("NETWORK_WEIGHTS", "")
        try:
            self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"NETWORK_WEIGHTS={path}: cannot be loaded ({error})") from error

    def forward(self, frames: Tensor, shot_gain: Tensor, read_variance: Tensor, reference: int) -> Merged:
        """See `BurstModel.forward`. Frames are aligned to the reference to the nearest packed pixel."""
        # Values are linear: 0 is black, 1 is white, the white balance is not applied, and noise may be
        # negative. Other projects may clip, or apply the white balance or a gamma curve.
        chosen = frames[:, frames_around(reference, frames.shape[1])]
        # Planes are in the order R, G in the red rows, G in the blue rows, B. The noise map is the standard
        # deviation; other projects use the variance, or a constant.
        std = torch.sqrt(chosen.clamp(min=0) * shot_gain + read_variance)
        return Merged(rgb=self.network(torch.cat([chosen, std], 2)))


def frames_around(reference: int, count: int) -> list[int]:
    """Return the indices of five frames with the reference in the middle. Missing frames are repeated.

    >>> frames_around(0, 4)
    [0, 0, 0, 1, 2]
    """
    half = FRAMES // 2
    return [min(max(reference + k, 0), count - 1) for k in range(-half, half + 1)]
