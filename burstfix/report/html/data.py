"""The data of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.analysis.noise_gain import NoiseGain
from burstfix.types import NoiseMeasurement


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """Data of a report.

    Attributes:
        document: The JSON document of `merge` or `inspect`.
        before: The reference alone, uint8 (H, W, 3) sRGB.
        after: The merge with the same look, uint8 (H, W, 3) sRGB; None without a merge.
        thumbnails: Each kept frame in time order, uint8 (h, w, 3).
        gain: Noise before and after; None without a merge.
        motion: Map of the largest motion relative to the camera motion, in sensor pixels, float32 (h, w);
            None if unknown.
        frames_used: Map of the effective number of frames, float32 (h, w); None if unknown.
        measured_noise: Noise measured on the burst; None if it was not measured.
        command: Command line that repeats the merge; "" if unknown.
        versions: Version of each program and library that was used.
    """

    document: Mapping[str, Any]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8] | None
    thumbnails: Sequence[NDArray[np.uint8]]
    gain: NoiseGain | None
    motion: NDArray[np.float32] | None = None
    frames_used: NDArray[np.float32] | None = None
    measured_noise: NoiseMeasurement | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
