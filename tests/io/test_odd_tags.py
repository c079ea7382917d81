"""Tags with any TIFF type and unusual counts: reading succeeds or raises `InputError`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from burstfix.errors import InputError
from burstfix.io.read import dng
from burstfix.io.read.decoder_protocol import Reply, encode
from burstfix.io.read.dng import Area
from burstfix.io.read.metadata import LibRawFacts, build_metadata
from burstfix.io.read.tags import _DIRECTORY_TAGS, read_tags
from tests.io.raw_files import BYTE, CFA_TAGS, LEVEL_TAGS, LONG, MATRIX, SHORT, SRATIONAL, Tag, tiff_file

HEIGHT, WIDTH = 6, 8
TAGS = (
    *(Tag(256, SHORT, [WIDTH]), Tag(257, SHORT, [HEIGHT]), Tag(258, SHORT, [16]), Tag(259, SHORT, [1])),
    *(Tag(262, LONG, [32803]), Tag(277, SHORT, [1]), Tag(50706, BYTE, [1, 4, 0, 0])),
    *(Tag(50721, SRATIONAL, MATRIX.ravel().tolist()), *CFA_TAGS, *LEVEL_TAGS),
)
FACTS = LibRawFacts(Area(0, 0, HEIGHT, WIDTH), HEIGHT, WIDTH)
# Value of every byte; as floats, bytes of 255 are NaN.
VALUES = {"zeros": 0, "ones": 1, "large": 250, "nan": 255}


def read(path: Path) -> bytes:
    """Read the metadata of a DNG like the decoder process, without its pixels."""
    tags = read_tags(path)
    if tags.is_dng:
        dng.check_sensor(tags)
    return encode(Reply(metadata=build_metadata(tags, FACTS).value))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize(
    "count", [2, 1025, *(pytest.param(count, marks=pytest.mark.slow) for count in (0, 1, 3, 4, 1024, 65536))]
)
def test_read_when_tags_have_any_type_and_count_then_it_succeeds_or_raises_input_error(
    tmp_path: Path, count: int, value: int
):
    path = tmp_path / "a.dng"
    unexpected = []
    read_well = 0
    for number in sorted(_DIRECTORY_TAGS - {330, 34665, 34853}):
        for kind in (1, 2, 3, 4, 5, 9, 10, 12) if count <= 4 else (3, 5, 12):
            size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 9: 4, 10: 8, 12: 8}[kind]
            data = np.full(count * size, value, np.uint8).tobytes()
            others = [tag for tag in TAGS if tag.number != number]
            path.write_bytes(tiff_file([[*others, Tag(number, kind, data)]]) + bytes(2 * HEIGHT * WIDTH))
            try:
                read_well += bool(read(path))
            except InputError as error:
                assert str(path) in str(error)
            except Exception as error:  # the test lists all failures
                unexpected.append(f"tag {number}, type {kind}: {type(error).__name__}: {error}")
    assert unexpected == []
    assert read_well > 50
