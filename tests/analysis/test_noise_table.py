"""Noise tables: measured, interpolated, and used for files without a NoiseProfile."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burstfix.analysis.noise_table import NoiseTable, load_table, save_table
from burstfix.cli import main
from burstfix.errors import InputError, UsageError
from burstfix.io import write_cfa_dng
from burstfix.pipeline import merge_burst, read_burst
from burstfix.types import Levels, NoiseProfile
from tests.io.raw_files import make_metadata
from tests.scenes import add_noise, draw_scene, mosaic_of


def profile(gain: float, read: float) -> NoiseProfile:
    return NoiseProfile((gain,) * 4, (read,) * 4, "table")


TABLE = (
    NoiseTable()
    .with_entry("Acme One", 100, profile(1e-4, 1e-7))
    .with_entry("Acme One", 1600, profile(4e-3, 1e-5))
)


def write_burst(folder: Path, gain: float, read: float, count: int = 3, **changes) -> list[Path]:
    scene = mosaic_of(draw_scene(384, 512, seed=2))
    paths = []
    for k in range(count):
        mosaic = np.rint(1000 + 15000 * add_noise(scene, gain, read, seed=k).numpy()).clip(0, 16383)
        levels = Levels(np.full((2, 2), 1000, np.float32), 16000.0)
        metadata = make_metadata(384, 512, **{"levels": levels, "noise": None, "iso": 400.0, **changes})
        paths.append(write_cfa_dng(folder / f"n{k}.dng", mosaic.astype(np.uint16), metadata))
    return paths


@pytest.mark.parametrize(
    ("iso", "gain", "read"),
    [
        (100, 1e-4, 1e-7),
        (1600, 4e-3, 1e-5),
        (400, (1e-4 * 4e-3) ** 0.5, (1e-7 * 1e-5) ** 0.5),
        (50, 0.5e-4, 0.25e-7),
        (3200, 8e-3, 4e-5),
    ],
)
def test_find_when_the_iso_is_not_listed_then_noise_is_interpolated_or_extrapolated(
    iso: float, gain: float, read: float
):
    found = TABLE.find(make_metadata(iso=iso))
    assert found is not None
    assert (found.source, found.shot_gain) == ("table", pytest.approx((gain,) * 4))
    assert found.read_variance == pytest.approx((read,) * 4)


@pytest.mark.parametrize("changes", [{"iso": None}, {"iso": 20.0}, {"iso": 12800.0}, {"model": "Two"}])
def test_find_when_the_camera_or_iso_is_not_in_the_table_then_it_is_none(changes):
    assert TABLE.find(make_metadata(**changes)) is None


def test_load_table_when_a_table_was_saved_then_it_equals_the_saved_table(tmp_path: Path):
    save_table(TABLE, tmp_path / "t.toml")
    assert load_table(tmp_path / "t.toml").cameras == TABLE.cameras
    # Notepad writes a byte order mark.
    (tmp_path / "b.toml").write_text((tmp_path / "t.toml").read_text(), encoding="utf-8-sig")
    assert load_table(tmp_path / "b.toml").cameras == TABLE.cameras


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera = 1", "not a noise table"),
        ("nonsense", "not a noise table"),
        ('[[camera]]\nname = "a"\niso = 100', "entry 1 is invalid"),
        ('[[camera]]\nname = "a"\niso = -1\nshot_gain = [0,0,0,0]\nread_variance = [0,0,0,0]', "entry 1"),
        ('[[camera]]\nname = "a"\niso = 1\nshot_gain = [nan,0,0,0]\nread_variance = [0,0,0,0]', "entry 1"),
    ],
)
def test_load_table_when_damaged_then_the_error_describes_the_damage(tmp_path: Path, text: str, words: str):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        load_table(tmp_path / "t.toml")


def test_read_burst_when_several_noise_sources_exist_then_the_order_is_given_file_table_burst(
    tmp_path: Path,
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    silent = write_burst(tmp_path / "a", 1e-3, 1e-5)
    telling = write_burst(tmp_path / "b", 1e-3, 1e-5, noise=replace(profile(1.1e-3, 1.1e-5), source="file"))
    assert read_burst(silent, noise=(1e-2, 1e-4), noise_profiles=TABLE).noise.source == "given"
    assert read_burst(telling, noise_profiles=TABLE).noise.source == "file"
    assert read_burst(silent, noise_profiles=TABLE).noise.source == "table"
    assert read_burst(silent).noise.source == "burst"
    assert read_burst(silent[:1]).noise.source == "frame"


def test_noise_profile_command_when_run_then_the_table_has_the_noise_and_merge_uses_it(
    tmp_path: Path, capsys
):
    gain, read = 2e-3, 3e-5
    paths = write_burst(tmp_path, gain, read, 4)
    table = tmp_path / "profiles.toml"
    assert main(["noise-profile", *map(str, paths), "-o", str(table), "-q"]) == 0
    (entry,) = tomllib.loads(table.read_text())["camera"]
    assert (entry["name"], entry["iso"]) == ("Acme One", 400)
    for x in (0.1, 0.4):
        measured = entry["shot_gain"][1] * x + entry["read_variance"][1]
        assert measured == pytest.approx(gain * x + read, rel=0.25)
    assert main(["noise-profile", *map(str, paths), "-o", str(table), "-q"]) == 5
    capsys.readouterr()
    out = str(tmp_path / "o.tif")
    assert (
        main(
            ["merge", *map(str, paths), "--noise-profiles", str(table), "-m", "average", "-o", out, "--json"]
        )
        == 0
    )
    assert '"source": "table"' in capsys.readouterr().out


def test_merge_when_the_strength_is_lower_then_more_noise_remains(small_burst):
    burst = read_burst(small_burst, reference=1)

    def grain(strength: float) -> float:
        data = merge_burst(burst, model="average", strength=strength).data
        return float(np.abs(np.diff(data[1], axis=1)).mean())

    none, half, full = grain(0), grain(0.5), grain(1)
    alone = merge_burst(read_burst([small_burst[1]]), model="average").data
    assert none > 1.05 * half > 1.05**2 * full
    assert none == pytest.approx(float(np.abs(np.diff(alone[1], axis=1)).mean()), rel=0.05)
    with pytest.raises(UsageError, match="strength"):
        merge_burst(burst, model="average", strength=3)
