"""Grey bursts, as in the experiments of the paper on deformable kernels.

Source: Xu et al., "Learning deformable kernels for image and video denoising" (2019), section 4. A grey frame
is converted to linear light by the inverse of the sRGB curve (equation 8). Noise with the variance
sigma_s * q + sigma_r^2 is added to the linear value q, and the result is not clipped. Results are compared
after the sRGB curve. The paper does not define grey; here it is the luma of Rec. 601.

Our models merge mosaics, so a grey frame is recorded as the mosaic of a camera with equal R, G and B: each
pixel of the frame is one sample of the mosaic, and the amount of data is that of the paper. The denoised
mosaic of a model is the denoised frame.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burstfix.color.spaces import SRGB_CURVE
from burstfix.sim.camera import GAMMA

# Black and white level of the 16-bit mosaics. They contain -0.5 to 1.5 of white, so that no noise is clipped.
# A step is 3% of the weakest read noise.
BLACK, WHITE = 2**14, 3 * 2**14 - 1
_LUMA = torch.tensor([0.299, 0.587, 0.114])


def grey_source(picture: Tensor) -> Tensor:
    """Make a picture grey for `record_photo` and `record_clip` with the camera "neutral".

    These functions invert a power of 2.2. The values are chosen so that the recorded signal is the luma after
    the inverse of the sRGB curve.

    Args:
        picture: (..., 3, H, W) display RGB in 0..1.

    Returns:
        Tensor of the same shape with three equal channels.
    """
    luma = (picture * _LUMA.reshape(3, 1, 1)).sum(-3, keepdim=True)
    linear = torch.from_numpy(SRGB_CURVE.decode(luma.numpy()).astype(np.float32))
    return (linear.clamp(0, 1) ** (1 / GAMMA)).expand(picture.shape)


def grey_display(linear: Tensor) -> Tensor:
    """Convert linear grey (1, H, W) to display values in 0..1 with the sRGB curve."""
    return torch.from_numpy(SRGB_CURVE.encode(linear.clamp(0, 1).numpy()))
