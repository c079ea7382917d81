"""Opcodes applied to tensors, compared with slow, direct implementations of the specification."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.engine.infer import merge_tiled
from burstfix.errors import InputError
from burstfix.models.average import Average
from burstfix.opcodes import OpcodeLists
from burstfix.opcodes.plan import OpcodePlan
from burstfix.raw.bad_pixels import find_bad_pixels
from burstfix.raw.mosaic_opcodes import MosaicCorrections
from burstfix.raw.picture_opcodes import apply_to_picture
from burstfix.types import Burst, Frame, GlobalMotion, Levels, NoiseProfile
from tests.io.raw_files import make_metadata
from tests.opcodes import lists as make
from tests.opcodes.slow_gain import slow_gain

H, W = 12, 16


def frame_with(lists: OpcodeLists, mosaic: np.ndarray, **changes) -> Frame:
    metadata = make_metadata(*mosaic.shape, levels=Levels(np.zeros((1, 1), np.float32), 65535.0), **changes)
    return Frame(mosaic, replace(metadata, opcodes=lists))


def corrected(frame: Frame) -> np.ndarray:
    corrections = MosaicCorrections(frame, frame.metadata.plan_opcodes())
    mosaic = frame.mosaic.copy()
    mosaic[corrections.bad_pixels[:, 0], corrections.bad_pixels[:, 1]] = corrections.repaired
    return corrections.normalise(torch.from_numpy(mosaic), 0, 0).numpy()


def second(*opcodes: bytes) -> OpcodeLists:
    return OpcodeLists(second=make.opcode_list(*opcodes), sensor_height=H, sensor_width=W)


def some_mosaic(seed: int = 0, height: int = H, width: int = W) -> np.ndarray:
    return np.random.default_rng(seed).integers(500, 30000, (height, width)).astype(np.uint16)


areas = st.tuples(
    st.integers(0, H - 1), st.integers(0, W - 1), st.integers(1, 40), st.integers(1, 40),
    st.integers(1, 3), st.integers(1, 3),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(areas, st.integers(1, 4), st.integers(1, 4), st.tuples(*[st.floats(-0.2, 0.5)] * 2), st.data())
def test_gain_map_when_applied_to_any_area_then_it_follows_the_specification(place, rows, cols, origin, data):
    top, left, height, width, row_pitch, col_pitch = place
    bottom, right = top + height, left + width
    gains = data.draw(
        st.lists(st.floats(0.5, 2, width=32), min_size=rows * cols, max_size=rows * cols).map(
            lambda g: np.array(g).reshape(rows, cols, 1)
        )
    )
    spacing = (0.3, 0.4)
    where = make.area(top, left, bottom, right, pitch=(row_pitch, col_pitch))
    mosaic = some_mosaic()
    got = corrected(frame_with(second(make.gain_map(where, gains, origin, spacing)), mosaic))
    steps = (spacing[0] if rows > 1 else 1.0, spacing[1] if cols > 1 else 1.0)
    want = mosaic / 65535
    for y in range(top, min(bottom, H), row_pitch):
        for x in range(left, min(right, W), col_pitch):
            want[y, x] *= slow_gain(gains, origin, steps, y, x, H, W)
    np.testing.assert_allclose(got, want, rtol=2e-5)


@settings(max_examples=40, deadline=None)
@given(areas, st.integers(0, 2**31))
def test_lines_and_curves_when_applied_to_any_area_then_they_follow_the_specification(place, seed):
    top, left, height, width, row_pitch, col_pitch = place
    bottom, right = top + height, left + width
    rng = np.random.default_rng(seed)
    where = make.area(top, left, bottom, right, pitch=(row_pitch, col_pitch))
    per_row, per_col = (
        rng.uniform(0.5, 1.5, -(-height // row_pitch)),
        rng.uniform(0, 0.1, -(-width // col_pitch)),
    )
    codes = np.sort(rng.integers(0, 65536, 40000))
    coefficients = [0.01, 0.8, 0.1, -0.05]
    lists = second(
        make.line_values(12, where, per_row),
        make.line_values(11, where, per_col),
        make.table(where, codes.tolist()),
        make.polynomial(where, coefficients),
    )
    mosaic = some_mosaic(seed % 100)
    want = mosaic / 65535
    for i, y in enumerate(range(top, bottom, row_pitch)):
        for j, x in enumerate(range(left, right, col_pitch)):
            if y < H and x < W:
                value = np.float32(want[y, x]) * np.float32(per_row[i]) + np.float32(per_col[j])
                value = (
                    codes[min(int(np.rint(np.float32(value) * np.float32(65535))), len(codes) - 1)] / 65535
                )
                want[y, x] = sum(c * value**k for k, c in enumerate(coefficients))
    # Rounding may select the next entry of the table, which is a few codes away.
    np.testing.assert_allclose(corrected(frame_with(lists, mosaic)), want, atol=3e-4)


def test_map_table_when_applied_then_the_nearest_code_is_used():
    codes = np.random.default_rng(4).integers(0, 65536, 40000)
    mosaic = np.random.default_rng(5).integers(0, 16000, (H, W)).astype(np.uint16)
    metadata = make_metadata(
        H,
        W,
        levels=Levels(np.zeros((1, 1), np.float32), 16383.0),
        opcodes=second(make.table(make.area(0, 0, H, W), codes.tolist())),
    )
    nearest = np.minimum(np.rint(mosaic / 16383 * 65535).astype(int), 39999)
    np.testing.assert_allclose(corrected(Frame(mosaic, metadata)), codes[nearest] / 65535, atol=1e-6)


@pytest.mark.parametrize("curve", ["table", "polynomial"])
def test_curves_when_values_are_below_black_then_they_continue_with_the_slope_at_black(curve):
    whole = make.area(0, 0, H, W)
    codes = np.arange(65536) / 65535
    opcode = {
        "table": make.table(whole, np.rint((0.2 * codes + 0.8 * codes**2) * 65535).astype(int).tolist()),
        "polynomial": make.polynomial(whole, [0.0, 0.2, 0.8]),
    }[curve]
    levels = Levels(np.full((1, 1), 1000, np.float32), 61000.0)
    mosaic = np.full((H, W), 700, np.uint16)
    metadata = make_metadata(H, W, levels=levels, opcodes=second(opcode))
    below = (700 - 1000) / 60000
    np.testing.assert_allclose(corrected(Frame(mosaic, metadata)), 0.2 * below, rtol=0.03)


def test_slopes_when_curves_are_applied_then_noise_is_scaled_by_their_mean_slope():
    whole = make.area(0, 0, H, W)
    lists = second(
        make.table(whole, np.linspace(0, 32767.5, 65536).astype(int).tolist()),
        make.polynomial(make.area(0, 0, H, W, pitch=(2, 1)), [0.3, 1.5, -0.2]),
    )
    frame = frame_with(lists, some_mosaic())
    slopes = MosaicCorrections(frame, frame.metadata.plan_opcodes()).slopes(0, 0, H, W, 1, "cpu")[0].numpy()
    np.testing.assert_allclose(slopes[::2], 0.5 * 1.3, rtol=1e-4)
    np.testing.assert_allclose(slopes[1::2], 0.5, rtol=1e-4)


@pytest.mark.parametrize(("planes", "expected"), [(1, (1.2, 1.2, 1.2)), (2, (1.2, 1.5, 1.5))])
def test_gain_map_when_it_has_fewer_planes_than_the_picture_then_the_last_one_is_repeated(
    planes: int, expected
):
    gains = np.array([1.2, 1.5])[None, None, :planes]
    one = make.gain_map(make.area(0, 0, 40, 60, 0, 3), gains)
    got = apply_to_picture(np.ones((3, 40, 60), np.float32), plan_of(one))
    np.testing.assert_allclose(got, np.broadcast_to(np.array(expected)[:, None, None], got.shape), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 400_000), (400_000, 1)])
def test_gain_map_when_it_has_very_many_points_then_little_memory_is_used(shape: tuple[int, int]):
    # Here, weights for all points and all pixels of a row would take 10 GB.
    height, width = (8, 4000) if shape[0] == 1 else (4000, 8)
    gains = np.linspace(1, 3, 400_000).reshape(*shape, 1)
    mosaic = np.full((height, width), 1000, np.uint16)
    lists = OpcodeLists(second=make.opcode_list(make.gain_map(make.area(0, 0, height, width), gains)))
    frame = frame_with(lists, mosaic)
    tracemalloc.start()
    got = corrected(frame) * 65535 / 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = got[0] if shape[0] == 1 else got[:, 0]
    np.testing.assert_allclose(line, 1 + 2 * (np.arange(4000) + 0.5) / 4000, rtol=1e-4)
    assert peak < 60e6


@pytest.mark.parametrize("number", [2, 3])
def test_opcodes_when_their_product_is_too_large_then_an_error_names_file_and_opcode(number: int):
    one = make.gain_map(make.area(0, 0, H, W, 0, 3), np.full((1, 1, 1), 9e3))
    lists = [b"", b"", b""]
    lists[number - 1] = make.opcode_list(one, one)
    frame = frame_with(OpcodeLists(*lists), np.full((H, W), 65535, np.uint16))
    with pytest.raises(InputError, match="unwritten: GainMap gives values"):
        if number == 2:
            corrected(frame)
        else:
            picture = np.ones((3, H, W), np.float32)
            apply_to_picture(picture, frame.metadata.plan_opcodes(), str(frame.metadata.path))


@pytest.mark.parametrize("cfa", ["RGGB", "GRBG", "BGGR"])
def test_normalise_when_a_part_is_corrected_then_it_is_a_slice_of_the_whole(cfa: str):
    gains = np.random.default_rng(3).uniform(1, 2, (3, 5, 1))
    lists = second(
        make.gain_map(make.area(1, 0, 11, 16, pitch=(2, 1)), gains),
        make.line_values(10, make.area(0, 0, 12, 16), np.linspace(0, 0.1, 12)),
        make.trim(1, 1, 11, 15),
        make.line_values(13, make.area(0, 3, 10, 14, pitch=(1, 3)), [1.1, 1.2, 1.3, 1.4]),
    )
    frame = frame_with(lists, some_mosaic(), cfa=cfa)
    corrections = MosaicCorrections(frame, frame.metadata.plan_opcodes())
    whole = corrections.normalise(torch.from_numpy(frame.mosaic), 0, 0)
    part = corrections.normalise(torch.from_numpy(frame.mosaic[3:10, 5:13].copy()), 3, 5)
    torch.testing.assert_close(part, whole[3:10, 5:13])


def test_bad_pixels_when_listed_then_they_are_interpolated_from_good_neighbours_of_their_colour():
    ys, xs = np.mgrid[0:H, 0:W]
    smooth = (1000 + 400 * ys + 90 * xs + 5000 * (ys % 2) + 900 * (xs % 2)).astype(np.uint16)
    mosaic = smooth.copy()
    mosaic[6, 7], mosaic[3, 4], mosaic[2:10, 10] = 0, 65535, 60000
    lists = OpcodeLists(
        make.opcode_list(make.bad_value(0), make.bad_list([(4, 6)], [(3, 12, 11, 13)])),
        sensor_height=H + 3,
        sensor_width=W + 4,
        top=1,
        left=2,
    )
    got = corrected(frame_with(lists, mosaic)) * 65535
    np.testing.assert_allclose(got, smooth, atol=1)


def test_find_bad_pixels_when_a_value_is_in_list_2_then_it_is_relative_to_black_and_white():
    mosaic = np.full((H, W), 500, np.uint16)
    mosaic[3, 4], mosaic[5, 6] = 100, 300
    levels = Levels(np.full((1, 1), 100, np.float32), 1100.0)
    opcodes = OpcodeLists(
        None, make.opcode_list(make.bad_value(round(0.2 * 65535))), sensor_height=H, sensor_width=W
    )
    frame = Frame(mosaic, make_metadata(H, W, levels=levels, opcodes=opcodes)).planned()
    # 0.2 of the range from 100 to 1100.
    assert find_bad_pixels(frame, frame.plan).tolist() == [[5, 6]]


def test_bad_pixels_when_the_whole_picture_is_listed_then_they_raise_input_error():
    lists = OpcodeLists(make.opcode_list(make.bad_list([], [(0, 0, H, W)])), sensor_height=H, sensor_width=W)
    with pytest.raises(InputError, match="100% of its pixels bad"):
        corrected(frame_with(lists, some_mosaic()))


def test_normalise_when_gains_are_below_one_then_clipped_samples_stay_white():
    mosaic = some_mosaic()
    mosaic[4, 4] = 65535
    got = corrected(frame_with(second(make.gain_map(make.area(0, 0, H, W), np.full((1, 1, 1), 0.8))), mosaic))
    assert got[4, 4] == 1
    assert got[4, 6] == pytest.approx(mosaic[4, 6] / 65535 * 0.8, rel=1e-5)


def test_merge_when_a_gain_map_corrects_a_flat_field_then_the_model_gets_the_right_noise():
    side, light, gain, read = 512, 0.4, 2e-3, 4e-5
    ys, xs = (np.mgrid[0:side, 0:side] + 0.5) / side
    shading = 1 / (1 + 3 * ((ys - 0.5) ** 2 + (xs - 0.5) ** 2))
    grid = np.linspace(0, 1, 17)
    gains = (1 + 3 * ((grid[:, None] - 0.5) ** 2 + (grid - 0.5) ** 2))[..., None]
    lists = OpcodeLists(second=make.opcode_list(make.gain_map(make.area(0, 0, side, side), gains)))
    signal = light * shading
    rng = np.random.default_rng(1)
    noisy = signal + rng.normal(size=signal.shape) * np.sqrt(gain * signal + read)
    levels = Levels(np.full((1, 1), 1000, np.float32), 61000.0)
    mosaic = np.clip(np.rint(1000 + 60000 * noisy), 0, 65535).astype(np.uint16)
    frame = Frame(mosaic, replace(make_metadata(side, side, levels=levels), opcodes=lists)).planned()
    seen = {}

    class Spy(Average):
        def merge_tile_with_usage(self, tile):
            seen.setdefault("tiles", []).append(tile)
            return super().merge_tile_with_usage(tile)

    noise = NoiseProfile((gain,) * 4, (read,) * 4)
    burst = Burst((frame,), 0, noise, (GlobalMotion(),), (1.0,), np.empty((0, 2), np.int32))
    merge_tiled(burst, Spy(), tile=0)
    ratios = []
    for tile in seen["tiles"]:
        pixels = tile.aligned()[0]
        inside = slice(24, -24)
        assumed = pixels.clamp(min=0) * 0 + light * tile.shot_gain[0, 0] + tile.read_variance[0, 0]
        residual = (pixels - light) ** 2 / assumed
        ratios.append(residual[:, inside, inside])
        corner, centre = assumed[:, 40, 40].mean(), assumed.amin()
        assert corner > 1.5 * centre
    ratio = float(torch.cat([r.flatten() for r in ratios]).mean())
    print(f"variance of the residual, relative to the noise given to the model: {ratio:.3f}")  # noqa: T201
    assert ratio == pytest.approx(1, abs=0.05)
    rings = [float(r[:, :40, :40].mean()) for r in ratios]
    assert rings == pytest.approx([1] * len(rings), abs=0.05)


def plan_of(*opcodes: bytes, height: int = 40, width: int = 60) -> OpcodePlan:
    lists = OpcodeLists(third=make.opcode_list(*opcodes))
    return make_metadata(height, width, opcodes=lists).plan_opcodes()


def test_vignette_when_applied_then_the_gain_is_the_polynomial_of_the_distance():
    k, center = [0.3, -0.1, 0.05, 0.02, -0.01], (0.4, 0.6)
    flat = np.ones((3, 40, 60), np.float32)
    got = apply_to_picture(flat.copy(), plan_of(make.vignette(k, center)))
    cx, cy = 0.4 * 59, 0.6 * 39
    m = max(math.hypot(x - cx, y - cy) for x in (0, 59) for y in (0, 39))
    for y, x in [(0, 0), (0, 59), (39, 59), (23, 24), (10, 40)]:
        r2 = ((x - cx) ** 2 + (y - cy) ** 2) / m**2
        assert got[1, y, x] == pytest.approx(1 + sum(c * r2 ** (i + 1) for i, c in enumerate(k)), rel=1e-5)


def test_list_3_when_a_gain_map_follows_a_trim_then_it_refers_to_the_trimmed_picture():
    gains = np.array([[1.0, 3.0]])[..., None]
    flat = np.ones((3, 40, 60), np.float32)
    got = apply_to_picture(
        flat, plan_of(make.trim(4, 10, 36, 50), make.gain_map(make.area(0, 0, 32, 40, 1, 2), gains))
    )
    assert got.shape == (3, 32, 40)
    np.testing.assert_array_equal(got[0], 1)
    assert got[1, 0, 0] == pytest.approx(1 + 2 * 0.5 / 40, rel=1e-5)
    assert got[2, 9, 39] == pytest.approx(1 + 2 * 39.5 / 40, rel=1e-5)


def test_lists_when_mutated_then_they_are_applied_or_raise_input_error():
    rng = np.random.default_rng(9)
    original = make.opcode_list(
        make.gain_map(make.area(0, 0, H, W, pitch=(2, 2)), np.ones((2, 3, 1))),
        make.bad_list([(1, 1), (3, 5)], [(2, 2, 4, 4)]),
        make.trim(0, 0, H, W),
        make.polynomial(make.area(0, 0, H, W), [0, 1.0]),
    )
    done = 0
    for _ in range(150):
        data = bytearray(original)
        for at in rng.integers(0, len(data), 2):
            data[at] = rng.integers(256)
        try:
            values = corrected(frame_with(OpcodeLists(second=bytes(data)), some_mosaic()))
        except InputError:
            continue
        assert values.shape == (H, W)
        done += 1
    assert done > 20
