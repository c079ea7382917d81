"""LPIPS, a perceptual distance between pictures, from the package torchmetrics.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018). The distance is
computed from features of AlexNet, as the authors recommend for comparisons of pictures. torchmetrics contains
the authors' linear weights. The weights of AlexNet come from torchvision as a separate download, which
burstfix never starts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burstfix.errors import UsageError, WeightsError

Distance = Callable[[Tensor, Tensor], float]

_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


def lpips() -> Distance:
    """Load LPIPS.

    Returns:
        Function of two pictures (3, H, W) in 0..1, at least 32x32, that returns their distance: 0 for equal
        pictures.

    Raises:
        UsageError: A package is missing, or is not compatible with the installed torch.
        WeightsError: The weights of AlexNet have not been downloaded.
    """
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]  # optional
        from torchmetrics.image.lpip import (  # pyright: ignore[reportMissingImports]  # optional
            LearnedPerceptualImagePatchSimilarity,
        )
    # RuntimeError: torchvision was built for another version of torch.
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"--lpips needs torchmetrics, and torchvision from the same index as torch ({error}); install "
            "them with pip install 'burstfix[lpips]'"
        ) from error
    weights = weights_file()
    if not weights.is_file():
        raise WeightsError(
            f"{weights}: does not exist; LPIPS needs the weights of AlexNet: download {_URL} to this file"
        )
    network: Any = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def distance(result: Tensor, truth: Tensor) -> float:
        network.reset()
        with torch.inference_mode():
            return float(network(result[None].float(), truth[None].float()))

    return distance


def weights_file() -> Path:
    """Return the file in which torchvision expects the weights of AlexNet; it depends on TORCH_HOME."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _URL.rsplit("/", 1)[1]
