"""Pure functions from camera RGB to display RGB."""

from burstfix.color.dng import as_shot_neutral
from burstfix.color.icc import icc_profile
from burstfix.color.look import DEFAULT_LOOK, SHIPPED, Look, load_look
from burstfix.color.rendering import exposure_of, render
from burstfix.color.spaces import SPACES, SRGB_CURVE

__all__ = [
    "DEFAULT_LOOK",
    "SHIPPED",
    "SPACES",
    "SRGB_CURVE",
    "Look",
    "as_shot_neutral",
    "exposure_of",
    "icc_profile",
    "load_look",
    "render",
]
