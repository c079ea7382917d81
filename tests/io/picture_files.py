"""A picture with all tags, and functions that read pictures with other programs."""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile

from burstfix import __version__
from burstfix.color import icc_profile
from burstfix.io.write.formats import FORMATS
from burstfix.types import ExifTags, RenderedImage

SETTINGS = {
    "model": "average",
    "frames": ["a.dng", "größer <1> & so.dng"],
    "noise": {"source": "burst", "shot_gain": [0.01, 0.02, 0.02, 0.03]},
    "render": {"look": "plain", "color_space": "srgb"},
}

EXIF = ExifTags(
    image={
        270: "my caption <3",
        271: "Maker",
        272: "Model One",
        274: 6,
        305: "firmware 1.2",
        306: "2024:05:06 07:08:10",
        315: "Zoë Photographer",
        33432: "(c) Zoë",
    },
    exif={
        33434: Fraction(1, 15),
        33437: Fraction(9, 5),
        34850: 2,
        34855: 6400,
        36867: "2024:05:06 07:08:09",
        36868: "2024:05:06 07:08:09",
        36881: "+02:00",
        36882: "+02:00",
        37386: Fraction(17, 4),
        37521: "123",
        37522: "123",
        42034: (Fraction(4), Fraction(4), Fraction(9, 5), Fraction(9, 5)),
        42035: "Lens Maker",
        42036: "Lens 4.25mm f/1.8",
    },
    gps={
        0: b"\2\3\0\0",
        1: "S",
        2: (Fraction(33), Fraction(52), Fraction(1083, 100)),
        3: "E",
        4: (Fraction(151), Fraction(12), Fraction(3456, 100)),
        5: b"\0",
        6: Fraction(585, 10),
        7: (Fraction(5), Fraction(8), Fraction(9)),
        29: "2024:05:06",
    },
)

# The tags of the reference frame as printed by exiftool -n, in every format.
EXPECTED = {
    "ImageDescription": "my caption <3",
    "Make": "Maker",
    "Model": "Model One",
    "LensMake": "Lens Maker",
    "LensModel": "Lens 4.25mm f/1.8",
    "LensInfo": "4 4 1.8 1.8",
    "ExposureProgram": 2,
    "ExposureTime": pytest.approx(1 / 15),
    "FNumber": 1.8,
    "FocalLength": 4.25,
    "ISO": 6400,
    "ModifyDate": "2024:05:06 07:08:10",
    "DateTimeOriginal": "2024:05:06 07:08:09",
    "SubSecTimeOriginal": 123,
    "OffsetTimeOriginal": "+02:00",
    "CreateDate": "2024:05:06 07:08:09",
    "SubSecTimeDigitized": 123,
    "OffsetTimeDigitized": "+02:00",
    "Artist": "Zoë Photographer",
    "Copyright": "(c) Zoë",
    "GPSLatitudeRef": "S",
    "GPSLatitude": pytest.approx(33 + 52 / 60 + 10.83 / 3600),
    "GPSLongitudeRef": "E",
    "GPSLongitude": pytest.approx(151 + 12 / 60 + 34.56 / 3600),
    "GPSAltitude": 58.5,
    "GPSTimeStamp": "05:08:09",
    "GPSDateStamp": "2024:05:06",
    "Orientation": 1,
    "Software": f"burstfix {__version__}",
    "ColorSpace": 1,
}

NAMES = [f"out{row.suffix}" for row in FORMATS if not row.is_raw]

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)"
)


def make_picture(height: int = 40, width: int = 56, **changes: object) -> RenderedImage:
    rng = np.random.default_rng(7)
    data = rng.integers(0, 65536, (height, width, 3), dtype=np.uint16)
    fields: dict[str, object] = {
        "data": data,
        "icc_profile": icc_profile("srgb"),
        "exif": EXIF,
        "settings": SETTINGS,
    }
    return RenderedImage(**{**fields, **changes})  # type: ignore[arg-type]


def exiftool(path: Path, *options: str) -> dict[str, object]:
    done = subprocess.run(
        ["exiftool", "-j", *options, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)[0]


def read_picture(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        return tifffile.imread(path)
    import imagecodecs

    return imagecodecs.imread(path)
