"""A report of a synthetic picture, with hostile names."""

from __future__ import annotations

import numpy as np

from burstfix.analysis.noise_gain import NoiseGain
from burstfix.report.html.data import ReportData
from burstfix.types import NoiseMeasurement, NoiseProfile

HOSTILE = "<script>window.hacked=1</script> \"'& \u202egnp.\u202c \x1b[31mred\x1b[0m\n=1+1"


def report_data(height: int = 900, width: int = 1200) -> ReportData:
    """Return a report of three frames, one of which is dropped. Every text from files is `HOSTILE`."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[0:height, 0:width]
    clean = (120 + 60 * np.sin(xs / 40) * np.cos(ys / 55))[..., None] * [1.0, 0.9, 0.8]
    clean[: height // 3, : width // 3] += 40 * ((xs // 5 + ys // 9) % 2)[: height // 3, : width // 3, None]
    after = np.clip(clean, 0, 255).astype(np.uint8)
    before = np.clip(clean + rng.normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    moving = np.zeros((60, 80), np.float32)
    moving[40:50, 60:70] = 7
    noise = {"source": "burst", "shot_gain": [1e-3] * 4, "read_variance": [1e-5] * 4}

    def frame(number: int, **facts: object) -> dict[str, object]:
        return {
            "number": number,
            "path": f"/photos/{HOSTILE}_{number}.dng",
            "time": "2026-05-01T22:10:00",
            "exposure_seconds": 1 / 30,
            "iso": 3200.0,
            "file_noise": {**noise, "source": "file"},
            "sharpness": 0.9,
            "motion": {"dy": 1.5 * number, "dx": -2.0, "degrees": 0.1, "confidence": 0.9},
            "reference": False,
            "kept": True,
            "reason": None,
            **facts,
        }

    document = {
        "output": f"/pictures/{HOSTILE}.tif",
        "camera": HOSTILE,
        "lens": HOSTILE,
        "reference": {"number": 2, "path": "/photos/2.dng"},
        "noise": noise,
        "hot_pixels": 12,
        "opcodes": {"applied": [HOSTILE], "skipped": []},
        "frames": [frame(1), frame(2, reference=True), frame(3, kept=False, reason=HOSTILE)],
        "warnings": [HOSTILE],
        "model": "kpn",
        "seconds": {"read": 1.0, "merge": 2.0, "write": 0.5, "total": 3.5},
        "settings": {"render": {"exposure": 0.0, "white_balance": HOSTILE}},
        "version": "0.2.0",
        "peak_memory_bytes": 1_234_000_000,
    }
    return ReportData(
        document,
        before,
        after,
        [after[::4, ::4]] * 2,
        NoiseGain(9.5, np.full((14, 18), 0.33, np.float32)),
        motion=moving,
        frames_used=np.full((60, 80), 1.9, np.float32),
        measured_noise=NoiseMeasurement(
            NoiseProfile.uniform(1e-3, 1e-5, "burst"),
            np.array([0.01, 0.1, 0.5]),
            np.array([2e-5, 1.1e-4, 5.1e-4]),
        ),
        command=f"burstfix merge '{HOSTILE}'",
        versions={"burstfix": "0.2.0", "torch": HOSTILE},
    )
