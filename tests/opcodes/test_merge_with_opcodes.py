"""Opcodes in a complete merge: tiles, models, trimmed pictures, files on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.cli import main
from burstfix.engine.infer import merge_tiled
from burstfix.io import read_frame, write_cfa_dng
from burstfix.models.average import Average
from burstfix.models.kpn import Kpn, KpnConfig
from burstfix.opcodes import OpcodeLists
from burstfix.pipeline import merge_burst
from burstfix.types import Burst
from tests.engine.bursts import make_burst
from tests.opcodes import lists as make

HEIGHT, WIDTH = 150, 202


def with_opcodes(burst: Burst, **lists: bytes) -> Burst:
    opcodes = OpcodeLists(sensor_height=HEIGHT, sensor_width=WIDTH, **lists)
    frames = tuple(replace(f, metadata=replace(f.metadata, opcodes=opcodes)).planned() for f in burst.frames)
    return replace(burst, frames=frames)


def shaded_burst(cfa: str = "GRBG") -> Burst:
    gains = 1 + np.hypot(*np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)))[..., None]
    one = make.gain_map(make.area(0, 0, HEIGHT, WIDTH), gains)
    return with_opcodes(make_burst(HEIGHT, WIDTH, 3, cfa), second=make.opcode_list(one))


@pytest.mark.parametrize("kind", ["average", "kpn"])
def test_merge_when_tiled_under_a_gain_map_then_the_picture_is_the_same(kind: str):
    torch.manual_seed(0)
    model = (
        Average()
        if kind == "average"
        else Kpn(KpnConfig(channels=8, kernel=3, head_channels=8, head_blocks=1))
    )
    burst = shaded_burst()
    whole, tiled = (merge_tiled(burst, model, tile=side).data for side in (512, 64))
    assert np.abs(whole - tiled).max() < 2e-4
    plain = merge_tiled(replace(burst, frames=tuple(f.planned("skip") for f in burst.frames)), model).data
    ratio = whole.mean(0) / plain.mean(0)
    assert np.median(ratio[:12, :12]) == pytest.approx(2.2, abs=0.3)
    assert np.median(ratio[70:80, 96:106]) < 1.45


@pytest.mark.parametrize("mosaic", [False, True])
def test_merge_when_the_mosaic_is_trimmed_then_the_picture_is_a_slice_of_the_whole(mosaic: bool):
    burst = make_burst(HEIGHT, WIDTH, 2, "RGGB")
    shown = [replace(f, metadata=replace(f.metadata, default_crop=(2, 2, 9, 9))) for f in burst.frames]
    burst = replace(burst, frames=tuple(shown))
    trimmed = with_opcodes(burst, second=make.opcode_list(make.trim(3, 4, 103, 155)))
    whole = merge_burst(burst, model="average", mosaic=mosaic)
    part = merge_burst(trimmed, model="average", mosaic=mosaic)
    assert (part.metadata.height, part.metadata.width) == part.data.shape[1:] == (100, 151)
    np.testing.assert_array_equal(part.data, whole.data[:, 3:103, 4:155])
    assert part.metadata.cfa == ("GBRG" if mosaic else "RGGB")
    assert (whole.metadata.default_crop, part.metadata.default_crop) == ((2, 2, 9, 9), None)


def test_merge_command_when_a_list_is_damaged_then_it_exits_with_3_unless_opcodes_are_skipped(
    tmp_path: Path, capsys
):
    frame = make_burst(HEIGHT, WIDTH, 1).frames[0]
    lists = OpcodeLists(
        second=make.opcode_list(make.bad_value(0))[:-1], sensor_height=HEIGHT, sensor_width=WIDTH
    )
    path = write_cfa_dng(tmp_path / "a.dng", frame.mosaic, replace(frame.metadata, opcodes=lists))
    assert read_frame(path, opcodes="skip").metadata.opcodes is not None
    command = ["merge", str(path), "-m", "average", "-o", str(tmp_path / "a.tif"), "-q"]
    assert main(command) == 3
    assert "OpcodeList2 is malformed: FixBadPixelsConstant at byte 4" in capsys.readouterr().err
    assert main([*command, "--opcodes", "skip"]) == 0
