"""Choose one exposure for all pictures of a series, so that a time lapse does not flicker."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from pathlib import Path

from burstfix.batch.plan import FoundBurst
from burstfix.batch.settings import BatchSettings
from burstfix.color import exposure_of
from burstfix.errors import BurstfixError
from burstfix.pipeline import merge_burst, read_burst

_PROBES = 3  # number of bursts of a series from which the exposure is found
_FALLBACK_EV = 0.0  # exposure of a series if none of its bursts can be read

log = logging.getLogger(__name__)


class SharedExposure:
    """Exposure of each series, which consists of the bursts of one folder and camera.

    The exposure is the median of three values. The look finds them from the middle frames of the first, the
    middle and the last burst.

    Args:
        bursts: All bursts of a batch.
        settings: Settings of the batch.
    """

    def __init__(self, bursts: Sequence[FoundBurst], settings: BatchSettings) -> None:
        self._settings = settings
        self._series: dict[tuple[Path, Path, str], list[FoundBurst]] = {}
        for burst in bursts:
            self._series.setdefault(_series_of(burst), []).append(burst)
        self._found: dict[tuple[Path, Path, str], float] = {}

    def of(self, burst: FoundBurst) -> float:
        """Return the exposure of a burst in EV, which is the same for its whole series."""
        key = _series_of(burst)
        if key not in self._found:
            self._found[key] = self._measure(self._series[key])
            log.info("%s: shared exposure %+.2f EV", burst.folder, self._found[key])
        return self._found[key]

    def _measure(self, series: list[FoundBurst]) -> float:
        probes = sorted({0, len(series) // 2, len(series) - 1})[:_PROBES]
        found: list[float] = []
        for k in probes:
            paths = series[k].paths
            try:
                burst = read_burst([paths[len(paths) // 2]], **self._settings.reading())
                linear = merge_burst(burst, model="average", device="cpu")
                found.append(exposure_of(linear, self._settings.look))
            except BurstfixError as error:  # the merge of this burst will raise the same error later
                log.debug("%s: no exposure (%s)", series[k].name, error)
        return round(statistics.median(found), 2) if found else _FALLBACK_EV


def _series_of(burst: FoundBurst) -> tuple[Path, Path, str]:
    return burst.root, burst.folder, burst.camera
