"""The plots of gain against motion and of sampling times (benchmarks/motion.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import motion
from burstfix.checkpoints import save_weights
from burstfix.models.deformable_kernels import Deformable3d, Deformable3dConfig
from tests.scenes import draw_scene

SMALL = Deformable3dConfig(channels=8, head_channels=8, head_blocks=0, refine_channels=0, max_offset=4.0)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "scene.png"
    scene = (draw_scene(200, 220, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(scene).save(path)
    return path


@pytest.fixture(scope="module")
def model() -> Deformable3d:
    torch.manual_seed(0)
    return Deformable3d(SMALL).eval()


@pytest.mark.parametrize("shift", [0.0, 12.0])
def test_moved_case_when_a_shift_is_given_then_the_farthest_frame_has_it(photo: Path, shift: float) -> None:
    case = motion.moved_case(photo, shift, "low", 64)
    distances = [np.hypot(m.dy, m.dx) for m in case.burst.motions]
    assert max(distances) == pytest.approx(shift, abs=0.7)
    assert case.truth.shape == (3, 64, 64)


def test_time_shares_when_times_lie_between_frames_then_the_nearest_frame_counts() -> None:
    times = torch.tensor([-2.0, -0.6, -0.4, 0.0, 0.2, 1.4, 2.0, 2.0])
    assert motion.time_shares(times, -2, 2) == pytest.approx([1 / 8, 1 / 8, 3 / 8, 1 / 8, 2 / 8])


def test_sampling_times_when_offsets_are_zero_then_they_are_those_at_rest(
    photo: Path, model: Deformable3d
) -> None:
    burst = motion.moved_case(photo, 2.0, "low", 64).burst
    with torch.no_grad():
        torch.nn.init.zeros_(model.deform.kernel.offset_out.weight)
    times = motion.sampling_times(model, burst)
    # Three layers of samples, at half the distance to the first and to the last of five frames.
    assert times.unique().tolist() == [-1.0, 0.0, 1.0]
    assert "places" not in vars(model.deform.kernel)
    assert motion.time_shares(times, -2, 2) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0])


def test_commands_when_run_then_tables_and_plots_are_written(
    photo: Path, model: Deformable3d, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    weights = tmp_path / "deformable-3d.safetensors"
    save_weights(weights, model, {})
    common = [str(photo), "-m", str(weights), "--crop", "64", "--level", "low"]
    gain = [
        "gain",
        *common,
        "-m",
        "average",
        "--motion",
        "0",
        "--motion",
        "4",
        "-o",
        str(tmp_path / "gain.png"),
    ]
    times = ["times", *common, "-o", str(tmp_path / "times.png")]
    for arguments, word in ((gain, "average, 4 px: +"), (times, "deformable-3d: -2: ")):
        result = CliRunner().invoke(motion.main, arguments, catch_exceptions=False)
        assert result.exit_code == 0 and word in result.output
    assert all(Image.open(tmp_path / name).width > 500 for name in ("gain.png", "times.png"))


def test_times_when_the_model_has_no_deformable_kernels_then_usage_error(photo: Path) -> None:
    result = CliRunner().invoke(motion.main, ["times", str(photo), "-m", "average"])
    assert result.exit_code == 2 and "choose deformable-3d" in result.output
