"""The plot of a run from a complete or partial log."""

import json

import pytest
from PIL import Image

from burstfix.training.plot import plot_log

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("validated", [False, True])
def test_plot_when_the_log_has_entries_then_a_png_is_drawn(tmp_path, validated):
    records = [{"step": 0, "recipe": {}}, {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]
    if validated:
        records.append({"step": 2, "psnr": {"high": 20.0, "low": 25.0}})
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, records)))
    assert plot_log(log, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.format == "PNG" and picture.size == (960, 720)
