"""The public names of `import burstfix`, and bursts from arrays."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import burstfix
from burstfix.errors import BurstError, InputError, UsageError
from burstfix.io import read_frame


def test_api_when_listed_then_dir_and_help_show_every_name() -> None:
    assert set(burstfix.__all__) <= set(dir(burstfix))
    text = pydoc.plain(pydoc.render_doc(burstfix))
    for name in burstfix.__all__:
        assert getattr(burstfix, name) is not None
        assert name in ("Progress", "__version__") or name in text
    assert 'read_burst("shots/")' in text


def test_import_when_burstfix_is_imported_then_torch_and_numpy_are_not() -> None:
    script = "import sys, burstfix; dir(burstfix); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["folder", "one path", "one string", "paths", "generator"])
def test_read_burst_when_given_a_folder_or_paths_then_reads_them(
    kind: str, small_burst: list[Path], tmp_path: Path
) -> None:
    given = {
        "folder": small_burst[0].parent,
        "one path": small_burst[0],
        "one string": str(small_burst[0]),
        "paths": small_burst,
        "generator": (str(path) for path in small_burst),
    }[kind]
    burst = burstfix.read_burst(given, keep_all=True)
    count = 1 if kind.startswith("one") else 3
    assert [frame.metadata.path for frame in burst.frames] == small_burst[:count]


def test_read_burst_when_the_path_does_not_exist_then_the_error_names_it() -> None:
    with pytest.raises(InputError, match=r"nowhere/shots: no such file or folder"):
        burstfix.read_burst("nowhere/shots")


@pytest.mark.parametrize("as_floats", [False, True])
def test_arrays_when_merged_then_the_picture_equals_that_of_the_files(
    as_floats: bool, small_burst: list[Path]
) -> None:
    noise = (6e-3, 4e-4)
    from_files = burstfix.read_burst(small_burst, noise=noise)
    frames = [read_frame(path) for path in small_burst]
    black, white = float(frames[0].metadata.levels.black.max()), frames[0].metadata.levels.white
    mosaics = [frame.mosaic for frame in frames]
    if as_floats:
        mosaics = [(mosaic - black) / (white - black) for mosaic in mosaics]
    burst = burstfix.burst_from_arrays(
        mosaics, "RGGB", noise, black=black, white=white, color=frames[0].metadata.color
    )
    assert burst.reference == from_files.reference
    one, other = (burstfix.merge_burst(b, model="average", device="cpu").data for b in (burst, from_files))
    np.testing.assert_allclose(one, other, atol=2e-3 if as_floats else 1e-6)


def test_arrays_when_the_noise_is_not_given_then_it_is_measured() -> None:
    scene = np.linspace(0.1, 0.6, 128)[None].repeat(128, 0)
    generator = np.random.default_rng(0)
    shots = [scene + generator.normal(0, 1, scene.shape) * np.sqrt(2e-3 * scene + 1e-4) for _ in range(4)]
    burst = burstfix.burst_from_arrays(shots, "GRBG")
    assert burst.noise.source == "burst"
    assert np.mean(burst.noise.shot_gain) * 0.3 + np.mean(burst.noise.read_variance) == pytest.approx(
        7e-4, rel=0.3
    )


@pytest.mark.parametrize(
    ("mosaics", "cfa", "options", "error", "words"),
    [
        ([], "RGGB", {}, BurstError, "at least one"),
        ([np.zeros((8, 8)), np.zeros((8, 9))], "RGGB", {}, BurstError, "frame_001"),
        ([np.zeros((8, 8, 3))], "RGGB", {}, InputError, r"\(H, W\)"),
        ([np.zeros((8, 8))], "linear", {}, InputError, r"\(H, W, 3\)"),
        ([np.zeros((8, 8))], "XTRANS", {}, InputError, "XTRANS"),
        ([np.full((8, 8), np.nan)], "RGGB", {}, InputError, "not finite"),
        ([np.zeros((8, 8), np.int32)], "RGGB", {}, InputError, "int32"),
        ([np.zeros((64, 64))], "RGGB", {"reference": 3}, UsageError, "no frame 4"),
        ([np.zeros((64, 64))], "RGGB", {"noise": (-1.0, 0.0)}, UsageError, "noise"),
    ],
)
def test_arrays_when_they_do_not_form_a_burst_then_the_error_states_the_reason(
    mosaics: list, cfa: str, options: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        burstfix.burst_from_arrays(mosaics, cfa, **options)
