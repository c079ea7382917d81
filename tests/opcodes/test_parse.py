"""Strict parsing of opcode lists: damage raises an error that names the opcode and never causes a crash."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.cfa import LINEAR
from burstfix.errors import InputError
from burstfix.opcodes import GainMap, OpcodeLists, WarpRectilinear, parse_list, without_polynomials
from burstfix.raw.mosaic_opcodes import MosaicCorrections
from burstfix.raw.picture_opcodes import apply_to_picture
from burstfix.types import Frame
from tests.io.raw_files import make_metadata
from tests.opcodes import lists as make

WHOLE = make.area(0, 0, 48, 64)
GAINS = np.linspace(1, 2, 12).reshape(3, 4, 1)


def every_kind() -> list[bytes]:
    """Return lists 1 to 3, each with all opcodes that are valid in it."""
    first = make.opcode_list(make.bad_value(0), make.bad_list([(3, 4)], [(5, 6, 7, 9)]))
    second = make.opcode_list(
        make.gain_map(make.area(0, 0, 48, 64, pitch=(2, 2)), GAINS),
        make.table(WHOLE, range(0, 65536, 255)),
        make.polynomial(WHOLE, [0.0, 0.9, 0.1]),
        make.line_values(10, WHOLE, [0.01] * 48),
        make.line_values(11, WHOLE, [0.0] * 64),
        make.line_values(12, WHOLE, [1.1] * 48),
        make.line_values(13, WHOLE, [1.0] * 64),
        make.trim(2, 4, 46, 60),
    )
    third = make.opcode_list(
        make.warp([[1, 0.01, 0, 0, 0, 0]] * 3),
        make.warp_2([[1] + [0.01] * 14 + [0, 0, 0, 1]] * 3, reciprocal=1),
        make.fisheye([[1, 0.1, 0, 0]]),
        make.vignette([0.1, 0, 0, 0, 0]),
        make.gain_map(make.area(0, 0, 48, 64, 0, 3), GAINS),
    )
    return [first, second, third]


def with_lists(*lists: bytes, **changes):
    first, second, third = (*lists, b"", b"", b"")[:3]
    opcodes = OpcodeLists(first, second, third, sensor_height=48, sensor_width=64)
    return make_metadata(opcodes=opcodes, **changes)


def test_parse_list_when_all_opcodes_are_present_then_it_returns_what_was_packed():
    second = parse_list(every_kind()[1], 2, "x.dng")
    assert [op.header.name for op in second] == [
        "GainMap", "MapTable", "MapPolynomial", "DeltaPerRow", "DeltaPerColumn", "ScalePerRow",
        "ScalePerColumn", "TrimBounds",
    ]  # fmt: skip
    gain = second[0]
    assert isinstance(gain, GainMap)
    np.testing.assert_allclose(gain.gains, GAINS)
    assert (gain.spacing, gain.area.row_pitch) == ((0.5, pytest.approx(1 / 3)), 2)
    third = parse_list(every_kind()[2], 3, "x.dng")
    assert isinstance(third[0], WarpRectilinear)
    assert third[0].coefficients.shape == (3, 6)


def test_without_polynomials_when_a_list_has_other_opcodes_too_then_only_these_remain():
    second = every_kind()[1]
    kept = [op.header.name for op in parse_list(second, 2, "x.dng") if op.header.name != "MapPolynomial"]
    assert [op.header.name for op in parse_list(without_polynomials(second), 2, "x.dng")] == kept
    assert without_polynomials(make.opcode_list(make.polynomial(WHOLE, [0.0, 1.0]))) == b""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0", "2 bytes are too few for a list"),
        (
            make.opcode_list(make.bad_value(0))[:-3],
            "FixBadPixelsConstant at byte 4: claims 8 bytes, but only 5 are left",
        ),
        (make.opcode_list(make.bad_value(0)) + b"x", "1 bytes follow its 1 opcodes"),
        (
            make.opcode_list(make.bad_value(0), make.opcode(6, b"\0" * 15)),
            "TrimBounds at byte 28: has 15 bytes",
        ),
        (make.opcode_list(make.opcode(6, b"\0" * 16)), "TrimBounds at byte 4: its bounds"),
        (
            make.opcode_list(make.trim(0, 0, 4, 4) + b"")[:4] + b"\0" * 8,
            "ends at byte 12 before opcode 1 of 1",
        ),
        (make.opcode_list(make.table(WHOLE, [])), "MapTable at byte 4: its table has 0 values"),
        (make.opcode_list(make.polynomial(WHOLE, [0.0] * 10)), "degree 9"),
        (make.opcode_list(make.polynomial(WHOLE, [0.0, np.nan])), "not finite"),
        (
            make.opcode_list(make.line_values(10, WHOLE, [0.0] * 47)),
            "DeltaPerRow at byte 4: has 47 values for 48",
        ),
        (make.opcode_list(make.gain_map(make.area(0, 0, 9, 9, pitch=(0, 1)), GAINS)), "pitch 0, 1"),
        (make.opcode_list(make.gain_map(WHOLE, -GAINS)), "negative gains"),
        (
            make.opcode_list(make.gain_map(WHOLE, GAINS, spacing=(0.5, 0.0))),
            "spacing of its points",
        ),
        (
            make.opcode_list(make.gain_map(make.area(9, 0, 9, 9), GAINS)),
            "rows 9 to 9, columns 0 to 9",
        ),
        (make.opcode_list(make.gain_map(WHOLE, GAINS[:0])), "0x4 points"),
        (make.opcode_list(make.line_values(13, WHOLE, [-1.0] * 64)), "negative factors"),
        (make.opcode_list(make.bad_list([], [(3, 4, 3, 9)])), "empty rectangle"),
        (make.opcode_list(make.opcode(4, b"\0\0\0\0" + b"\0\0\0\4")), "Bayer phase 4"),
        (make.opcode_list(make.opcode(4, b"\0" * 9)), "has 9 bytes of parameters, expected 8"),
        (make.opcode_list(make.warp([[1, 0, 0, 0, 0, 0]], (2, 0.5))), "outside the picture"),
        (make.opcode_list(make.warp([[1, 0, 0, 0, 0, 0]] * 5)), "is for 5 planes"),
        (make.opcode_list(make.vignette([0.1, 0, 0, 0, 0], (0.5, -0.1))), "outside the picture"),
        (make.opcode_list(make.warp_2([[1] + [0] * 18])), "range of valid radii"),
        (make.opcode_list(make.warp_2([[1] + [0] * 17 + [1.1]])), "range of valid radii"),
        (make.opcode_list(make.warp_2([[1] + [0] * 17 + [1]], reciprocal=2)), "reciprocal flag 2"),
        (make.opcode_list(make.warp_2([[1] + [0] * 18 + [1]])), "184 bytes of parameters, expected 176"),
        (b"\xff" * 8, "claims 4294967295 opcodes"),
        (make.opcode_list(make.bad_value(0)[:8] + b"\0\0\0\4" + make.bad_value(0)[12:]), "unknown flags 0x4"),
    ],
)
def test_parse_list_when_damaged_then_the_error_names_opcode_and_offset(data: bytes, words: str):
    with pytest.raises(InputError) as caught:
        parse_list(data, 2, "x.dng")
    assert str(caught.value).startswith("x.dng: OpcodeList2 is malformed: ")
    assert words in str(caught.value)
    assert "--opcodes skip" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "one", "words"),
    [
        (3, make.vignette([1e308] * 5), "FixVignetteRadial at byte 4: its gain inf is too large"),
        (3, make.vignette([2e4, 0, 0, 0, 0]), "its gain 20001 is too large"),
        (2, make.gain_map(WHOLE, 3e38 * GAINS / 2), "GainMap at byte 4: its gain 3e+38 is too large"),
        (2, make.polynomial(WHOLE, [0.0, 1e300]), "MapPolynomial at byte 4: its coefficient 1e+300"),
        (2, make.polynomial(WHOLE, [0.0, 1e5]), "its value 100000 is too large"),
        (2, make.line_values(12, WHOLE, [1e30] * 48), "ScalePerRow at byte 4: its value 1e+30"),
        (3, make.warp([[1e300, 0, 0, 0, 0, 0]]), "WarpRectilinear at byte 4: its coefficient 1e+300"),
        (3, make.warp_2([[0.0] * 17 + [0, 1]], reciprocal=1), "no finite reciprocal"),
        (3, make.warp_2([[1.0] + [0.0] * 16 + [0, 1], [1.0] + [0.0] * 16 + [0, 2]]), "range of valid radii"),
        (3, make.warp_2([[1.0] + [0.0] * 16 + [-1, 1], [1.0] + [0.0] * 16 + [0, 1]]), "range of valid radii"),
        (3, make.warp_2([[1.0, -1.25] + [0.0] * 15 + [0, 1]], reciprocal=1), "no finite reciprocal"),
    ],
)
def test_parse_list_when_a_value_is_out_of_range_then_the_error_names_the_opcode(
    number: int, one: bytes, words: str
):
    with pytest.raises(InputError) as caught:
        parse_list(make.opcode_list(one), number, "x.dng")
    assert words in str(caught.value)


def test_parse_list_when_the_reciprocal_is_finite_in_the_valid_range_then_it_is_accepted():
    # The polynomial 1 - 1.25 r is 0 at r = 0.8, outside the valid range.
    (opcode,) = parse_list(
        make.opcode_list(make.warp_2([[1.0, -1.25] + [0.0] * 15 + [0, 0.5]], reciprocal=1)), 3, "x.dng"
    )
    assert opcode.header.name == "WarpRectilinear2"


def swapped_count(*opcodes: bytes) -> bytes:
    """Return a list with a count in the wrong byte order, which some drones write."""
    return len(opcodes).to_bytes(4, "little") + b"".join(opcodes)


def test_plan_when_the_count_is_wrong_and_all_opcodes_are_optional_then_the_list_is_left_out():
    body = make.gain_map(make.area(0, 0, 48, 64), GAINS)[16:]
    lists = swapped_count(make.opcode(9, body, optional=True))
    plan = with_lists(b"", make.opcode_list(make.trim(0, 0, 48, 64)), lists).plan_opcodes()
    assert plan.picture == ()
    assert (plan.applied, plan.skipped) == (("TrimBounds (list 2)",), ("all (list 3)",))
    (warning,) = plan.warnings
    assert "OpcodeList3 is malformed: claims 16777216 opcodes, but contains 1" in warning


def test_plan_when_the_count_is_wrong_and_an_opcode_is_mandatory_then_it_is_an_error():
    lists = swapped_count(make.trim(0, 0, 48, 64))
    with pytest.raises(InputError, match="claims 16777216 opcodes, but contains 1 .*--opcodes skip"):
        with_lists(b"", lists).plan_opcodes()


@pytest.mark.parametrize(
    ("number", "one", "count"),
    [
        (3, make.warp_2([[1.0] + [0.0] * 16 + [0, 1]]), 9),
        (2, make.gain_map(make.area(0, 0, 48, 64), GAINS), 200),
        (1, make.bad_value(0), 200),
    ],
)
def test_plan_when_a_list_takes_too_long_for_the_size_of_the_picture_then_it_is_an_error(
    number: int, one: bytes, count: int
):
    lists = [b"", b"", b""]
    lists[number - 1] = make.opcode_list(*[one] * count)
    with pytest.raises(InputError, match=f"OpcodeList{number} would take .* at most 8 are allowed"):
        with_lists(*lists).plan_opcodes()


def test_plan_when_many_opcodes_cover_little_of_the_picture_then_they_are_accepted():
    one = make.gain_map(make.area(0, 0, 4, 4), GAINS)
    assert len(with_lists(b"", make.opcode_list(*[one] * 200)).plan_opcodes().mosaic) == 200


def test_plan_when_an_unknown_opcode_is_optional_then_it_is_skipped_and_reported():
    known, unknown = make.trim(0, 0, 48, 64), make.opcode(99, b"abc", optional=True)
    plan = with_lists(b"", make.opcode_list(known, unknown, unknown)).plan_opcodes()
    assert plan.applied == ("TrimBounds (list 2)",)
    assert plan.skipped == ("opcode 99 x2 (list 2)",)


@pytest.mark.parametrize(
    "one",
    [
        make.opcode(99, b"abc"),
        make.opcode(6, bytes(16), version=(2, 0, 0, 0)),  # from a future version, with unknown contents
        make.warp([[1, 0, 0, 0, 0, 0]]),  # a lens correction for a mosaic
    ],
)
def test_plan_when_a_mandatory_opcode_cannot_be_applied_then_it_raises_input_error(one: bytes):
    metadata = with_lists(b"", make.opcode_list(one))
    with pytest.raises(InputError, match="OpcodeList2 contains"):
        metadata.plan_opcodes()
    assert metadata.plan_opcodes("skip").mosaic == ()


def test_plan_when_list_1_follows_a_linearisation_table_then_opcodes_on_values_are_refused():
    lists = OpcodeLists(
        make.opcode_list(make.bad_value(0)), linearised=True, sensor_height=48, sensor_width=64
    )
    with pytest.raises(InputError, match="linearisation table"):
        make_metadata(opcodes=lists).plan_opcodes()


def test_plan_when_trims_exceed_the_picture_then_it_raises_input_error():
    outside = with_lists(b"", make.opcode_list(make.trim(0, 0, 48, 65)))
    with pytest.raises(
        InputError, match="TrimBounds to rows 0 to 48, columns 0 to 65 exceeds the picture of 48x64"
    ):
        outside.plan_opcodes()
    apart = with_lists(make.opcode_list(make.trim(0, 0, 20, 64)), make.opcode_list(make.trim(30, 0, 48, 64)))
    with pytest.raises(InputError, match="removes the whole picture"):
        apart.plan_opcodes()


@pytest.mark.parametrize(
    ("number", "one", "changes", "words"),
    [
        (1, make.bad_value(0), {"cfa": LINEAR}, "sensors with a colour mosaic"),
        (3, make.warp([[1, 0, 0, 0, 0, 0]] * 2), {}, "two planes"),
        (3, make.warp_2([[1] + [0] * 17 + [1]] * 2), {}, "two planes"),
    ],
)
def test_plan_when_an_opcode_does_not_match_the_picture_then_it_raises_input_error(
    number: int, one: bytes, changes: dict, words: str
):
    lists = [b"", b"", b""]
    lists[number - 1] = make.opcode_list(one)
    with pytest.raises(InputError, match=words):
        with_lists(*lists, **changes).plan_opcodes()


def test_plan_when_lists_are_mutated_then_they_are_rejected_or_applied_in_little_memory():
    rng = np.random.default_rng(5)
    originals = every_kind()
    mosaic = rng.integers(100, 60000, (48, 64)).astype(np.uint16)
    refused = 0
    tracemalloc.start()
    for k in range(200):
        data = bytearray(originals[k % 3])
        match k // 3 % 4:
            case 0:
                for at in rng.integers(0, len(data), rng.integers(1, 9)):
                    data[at] = rng.integers(256)
            case 1:
                del data[rng.integers(len(data)) :]
            case 2:
                at = int(rng.integers(len(data) // 4)) * 4
                data[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"][k % 3]
            case 3:
                at = int(rng.integers(len(data)))
                data[at:at] = rng.bytes(int(rng.integers(1, 40)))
        lists = [b"", b"", b""]
        lists[k % 3] = bytes(data)
        try:
            metadata = with_lists(*lists)
            plan = metadata.plan_opcodes()
            corrections = MosaicCorrections(Frame(mosaic, metadata), plan)
            corrections.normalise(torch.from_numpy(mosaic), 0, 0)
            corrections.slopes(0, 0, 48, 64, 1, "cpu")
            apply_to_picture(np.ones((3, 48, 64), np.float32), plan)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 50 < refused < 200
    assert peak < 50e6


def test_plan_when_the_raw_is_from_a_gopro_then_its_opcodes_are_applied(shared_data: Path):
    from burstfix.io import read_metadata

    hero = read_metadata(shared_data / "raws" / "good" / "gopro_hero7.dng").plan_opcodes()
    fusion = read_metadata(shared_data / "raws" / "good" / "gopro_fusion.dng").plan_opcodes()
    assert hero.applied == ("GainMap x4 (list 2)",)
    assert fusion.applied == ("WarpRectilinear (list 3)",)
