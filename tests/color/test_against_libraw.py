"""Colours of a frame compared with those of LibRaw, with the same white balance."""

from pathlib import Path

import numpy as np
import pytest
import rawpy
from skimage.color import deltaE_ciede2000, rgb2lab

from burstfix.color import render
from burstfix.io import read_frame
from burstfix.types import Frame, LinearImage

pytestmark = pytest.mark.shared


def half_size(frame: Frame) -> LinearImage:
    """Reduce each 2x2 cell to one pixel, so that the comparison is independent of demosaicking."""
    levels, pattern = frame.metadata.levels, frame.metadata.cfa
    rows, cols = levels.black.shape
    planes: dict[str, list[np.ndarray]] = {"R": [], "G": [], "B": []}
    for k, colour in enumerate(pattern):
        y, x = divmod(k, 2)
        black = float(levels.black[y % rows, x % cols])
        plane = frame.mosaic[y::2, x::2].astype(np.float32)
        planes[colour].append((plane - black) / (levels.white - black))
    data = np.stack([np.mean(planes[c], axis=0) for c in "RGB"]).astype(np.float32)
    return LinearImage(data, frame.metadata)


def _by_libraw(path: Path) -> np.ndarray:
    with rawpy.imread(str(path)) as raw:
        rgb = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # use the white level of the file instead of an estimate from the picture
            gamma=(2.4, 12.92),
            output_color=rawpy.ColorSpace.sRGB,  # type: ignore[attr-defined]
            output_bps=16,
            half_size=True,
        )
    return rgb / 65535.0


def _reduced(picture: np.ndarray) -> np.ndarray:
    """Reduce (h, w, 3) from half size to an eighth of the full size by block means."""
    h, w = picture.shape[0] // 4, picture.shape[1] // 4
    return picture[: 4 * h, : 4 * w].reshape(h, 4, w, 4, 3).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "name", ["raws/good/gopro_hero7.dng", "raws/good/gopro_fusion.dng", "bursts/wine/wine_000.dng"]
)
def test_render_when_compared_with_libraw_then_colours_agree(name, shared_data, record_property):
    path = shared_data / name
    ours = _reduced(render(half_size(read_frame(path)), look="plain").data / 65535.0)
    difference = deltaE_ciede2000(rgb2lab(ours), rgb2lab(_reduced(_by_libraw(path))))
    mean, high = float(difference.mean()), float(np.percentile(difference, 95))
    print(f"{name}: CIEDE2000 against LibRaw, 8x reduced: mean {mean:.2f}, 95% under {high:.2f}")  # noqa: T201
    record_property("ciede2000_mean", mean)
    assert mean < 1.0  # the documented limit is 3, but above 1 the colour model would be suspect
    assert high < 3.0
