"""Compare the exposures of frames in EV."""

from __future__ import annotations

import math
from typing import Protocol

# A tenth of a stop is invisible, and larger than the rounding errors of tags.
_TOLERANCE_EV = 0.1


class Exposed(Protocol):
    """A record with the exposure of a frame, such as `FrameMetadata`."""

    @property
    def exposure_time(self) -> float | None:
        """Exposure time in seconds."""
        ...

    @property
    def aperture(self) -> float | None:
        """Aperture as f-number."""
        ...

    @property
    def iso(self) -> float | None:
        """ISO speed."""
        ...


def same_exposure(a: Exposed, b: Exposed) -> bool:
    """Return True if exposure and ISO agree to a tenth of a stop. Unknown values count as equal."""
    return all(agree(level(a), level(b)) for level in (exposure, iso_level))


def agree(a: float | None, b: float | None) -> bool:
    """Return True if two levels in EV differ by at most a tenth of a stop, or if one is unknown."""
    return a is None or b is None or abs(a - b) <= _TOLERANCE_EV


def exposure(frame: Exposed) -> float | None:
    """Return the light on the sensor in EV, log2(time / f-number^2); None if the time is unknown.

    An unknown aperture is left out. This is safe, because a camera states it either in all frames or in no
    frame.
    """
    if frame.exposure_time is None:
        return None
    return math.log2(frame.exposure_time / (frame.aperture or 1.0) ** 2)


def iso_level(frame: Exposed) -> float | None:
    """Return log2 of the ISO.

    ISO is compared separately from exposure time, because frames with different gains have different noise.
    """
    return None if frame.iso is None else math.log2(frame.iso)
