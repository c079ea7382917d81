"""Golden channel means of two real raws. A wrong black level, opcode or matrix would change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from burstfix.color import render
from burstfix.io import read_frame
from burstfix.opcodes import GainMap, parse_list
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import LinearImage, OpcodeMode
from tests.opcodes.slow_gain import slow_gain


def half_size(path: Path, mode: OpcodeMode) -> LinearImage:
    """Apply opcode lists 1 and 2 as in a merge, and reduce each 2x2 cell to one pixel."""
    frame = read_frame(path)
    source = FrameSource(frame.planned(mode), corrected=True)
    planes = source.read(Region(0, 0, source.height, source.width)).numpy()
    return LinearImage(np.stack([planes[0], (planes[1] + planes[2]) / 2, planes[3]]), frame.metadata)


def corners_over_centre(data: np.ndarray) -> np.ndarray:
    """Return the mean of the four corners (100 pixels square) divided by the mean of the centre, (3,)."""
    height, width = data.shape[1:]
    corners = [
        data[:, y, x] for y in (slice(100), slice(-100, None)) for x in (slice(100), slice(-100, None))
    ]
    middle = data[:, height // 2 - 50 : height // 2 + 50, width // 2 - 50 : width // 2 + 50]
    return np.mean([c.mean((1, 2)) for c in corners], axis=0) / middle.mean((1, 2))


@pytest.mark.parametrize(
    ("name", "linear", "rendered"),
    [
        ("gopro_hero7.dng", (0.0734466, 0.1365196, 0.0762725), (0.289077, 0.292645, 0.285468)),
        ("gopro_fusion.dng", (0.0636641, 0.1063113, 0.0633326), (0.315869, 0.276917, 0.264544)),
    ],
)
def test_gopro_when_read_and_rendered_then_means_equal_the_golden_values(
    shared_data: Path, name: str, linear: tuple[float, ...], rendered: tuple[float, ...]
):
    image = half_size(shared_data / "raws" / "good" / name, "apply")
    means = image.data.mean((1, 2), dtype=np.float64)
    shown = render(image, look="plain").data.mean((0, 1)) / 65535
    print(name, means.round(7).tolist(), shown.round(6).tolist())  # noqa: T201
    assert means == pytest.approx(linear, rel=1e-4)
    assert shown == pytest.approx(rendered, rel=1e-4)


def test_gopro_hero7_when_its_gain_maps_are_applied_then_gains_follow_the_specification(shared_data: Path):
    path = shared_data / "raws" / "good" / "gopro_hero7.dng"
    before, after = (half_size(path, mode) for mode in ("skip", "apply"))
    opcodes = before.metadata.opcodes
    assert opcodes is not None
    maps = parse_list(opcodes.second, 2, str(path))
    assert len(maps) == 4
    height, width = before.data.shape[1:]
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    some = np.random.default_rng(2).integers(0, (height, width), (200, 2)).tolist()
    checked = 0
    for channel, phase in ((0, (0, 0)), (2, (1, 1))):  # red and blue occur once in a 2x2 cell
        one = next(m for m in maps if isinstance(m, GainMap) and (m.area.top, m.area.left) == phase)
        for y, x in [*corners, *some]:
            value = before.data[channel, y, x]
            if 0.01 < value < 0.99:
                row, col = 2 * y + phase[0], 2 * x + phase[1]
                want = slow_gain(one.gains, one.origin, one.spacing, row, col, 2 * height, 2 * width)
                assert after.data[channel, y, x] / value == pytest.approx(want, rel=1e-5)
                checked += 1
    assert checked > 200


def test_gopro_hero7_when_its_gain_maps_are_applied_then_corners_become_brighter(shared_data: Path):
    path = shared_data / "raws" / "good" / "gopro_hero7.dng"
    before, after = (corners_over_centre(half_size(path, mode).data) for mode in ("skip", "apply"))
    print(f"corners over centre, R G B: before {before.round(3)}, after {after.round(3)}")  # noqa: T201
    # The unweighted mean of the maps is 1.60 over these corners and 1.001 in the centre.
    assert after / before == pytest.approx([1.60] * 3, rel=0.08)
