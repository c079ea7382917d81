"""Every setting of a batch reaches the function that uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from burstfix.batch import job as jobs
from burstfix.batch.run import run_batch
from burstfix.batch.settings import BatchSettings
from tests.batch.cards import burst

TABLE = """[[camera]]
name = "Acme One"
iso = 3200
shot_gain = [2e-3, 2e-3, 2e-3, 2e-3]
read_variance = [2e-5, 2e-5, 2e-5, 2e-5]
"""


def test_batch_when_no_setting_has_its_default_then_reading_merging_and_finishing_get_all_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def spy(name: str) -> None:
        real = getattr(jobs, name)

        def spied(*values: Any, **options: Any) -> Any:
            given.update(options)
            if name == "finish_picture":
                given["finish"] = values[2]
            return real(*values, **options)

        monkeypatch.setattr(jobs, name, spied)

    for name in ("read_burst", "merge_burst", "finish_picture"):
        spy(name)
    burst(tmp_path / "card", 1, 2, 0.0)
    table = tmp_path / "table.toml"
    table.write_text(TABLE)
    reading = {"noise": (3e-3, 4e-5), "skip_bad": True, "keep_all": True, "opcodes": "skip"}
    merging = {"device": "cpu", "tile": 64, "precision": "bfloat16", "strength": 0.5}
    looks = {"wb": "auto", "exposure": 0.5, "look": "vivid", "grain": 0.1, "color_space": "display-p3"}
    looks |= {"bit_depth": 8, "quality": 70}
    settings = BatchSettings(**reading, **merging, **looks, model="average", noise_profiles=str(table))
    assert len(run_batch([tmp_path / "card"], tmp_path / "out", settings).done) == 1
    assert {name: given[name] for name in (reading | merging)} == reading | merging
    assert given["model"].info.name == "average" and given["noise_profiles"] is not None
    assert given["finish"] == settings
