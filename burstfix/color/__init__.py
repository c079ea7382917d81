"""Pure functions from camera RGB to display RGB."""

from burstfix.color.dng import as_shot_neutral
from burstfix.color.icc import icc_profile
from burstfix.color.rendering import TONES, render
from burstfix.color.spaces import SPACES, SRGB_CURVE

__all__ = [
    "SPACES",
    "SRGB_CURVE",
    "TONES",
    "as_shot_neutral",
    "icc_profile",
    "render",
]
