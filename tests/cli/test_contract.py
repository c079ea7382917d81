"""The JSON output of every command and event matches its schema in docs/schema."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from burstfix.batch import job as jobs
from burstfix.cli import main
from burstfix.errors import InputError
from burstfix.records import DOCUMENTS, Error, complete, schema_name
from burstfix.types import Burst
from tests.batch.cards import burst
from tests.cli.documents import SCHEMAS, validated

ROOT = Path(__file__).resolve().parents[2]
FAST = ["-m", "average", "--device", "cpu"]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    burst(tmp_path / "card", 1, 3, 0.0)
    return Path("card")  # relative, to test that paths in the documents are absolute


def test_schemas_when_generated_again_then_equal_the_published_ones() -> None:
    spec = importlib.util.spec_from_file_location("schema", ROOT / "docs" / "schema.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    published = {path: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")}
    assert published == module.files(), "run `make schema` and commit docs/schema"


def test_schemas_when_listed_then_names_are_unique() -> None:
    assert len({schema_name(kind) for kind in DOCUMENTS}) == len(DOCUMENTS)


def test_documents_when_listed_then_a_test_checks_each_of_them() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    events = {f"batch.{event}" for event in ("plan", "started", "done", "failed", "skipped", "tally")}
    names = {schema_name(kind).removeprefix("burstfix.") for kind in DOCUMENTS} - events
    assert [name for name in names if f'"{name}")' not in texts] == []


def test_complete_when_a_field_is_unknown_or_missing_then_raises() -> None:
    assert complete(Error, {"error": "x", "exit_code": 3})["schema"] == "burstfix.error"
    with pytest.raises(ValueError, match="extra"):
        complete(Error, {"error": "x", "exit_code": 3, "extra": 1})
    with pytest.raises(ValueError, match="exit_code"):
        complete(Error, {"error": "x"})


@pytest.mark.parametrize(
    ("command", "schema"),
    [
        ("merge card -o a.png {fast}", "merge"),
        ("merge card -o a.dng {fast} --reference 2 --noise 1e-3,1e-5", "merge"),
        ("inspect card", "inspect"),
        ("inspect card card/bad.dng --skip-bad", "inspect"),
        ("group card", "group"),
        ("batch card -o out --dry-run {fast}", "group"),
        ("batch card -o out --preview {fast}", "batch.preview"),
        ("config show card --preset night", "config"),
        ("noise-profile {small} -o table.toml", "noise-profile"),
        ("compare a.png b.png", "compare"),
        ("compare a.png b.png --truth a.png", "compare"),
        ("weights list", "weights"),
        ("looks", "looks"),
        ("simulate photo.png -o burst --frames 2 --shift 4", "simulate"),
        ("inspect nothing.dng", "error"),
        ("merge --no-such-option", "error"),
    ],
)
def test_command_when_it_prints_json_then_it_fits_the_published_schema(
    command: str,
    schema: str,
    card: Path,
    small_burst: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    presets = tmp_path / "burstfix" / "presets"
    presets.mkdir(parents=True)
    (presets / "night.toml").write_text("gap = 1.0\n")
    (card / "bad.dng").write_bytes(b"no raw") if "bad.dng" in command else None
    if "a.png" in command and not command.startswith("merge"):
        for name in "ab":
            assert main(["merge", "card", "-q", "-o", f"{name}.png", *FAST]) == 0
    photo = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
    iio.imwrite("photo.png", photo)
    small = " ".join(map(str, small_burst))
    main([*command.format(fast=" ".join(FAST), small=small).split(), "--json"])
    validated(capsys.readouterr().out, schema)


def test_weights_average_when_it_prints_json_then_it_fits_the_published_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = str(ROOT / "weights" / "kpn.safetensors")
    output = str(tmp_path / "mean.safetensors")
    assert main(["weights", "average", shipped, shipped, "-o", output, "--json"]) == 0
    document = validated(capsys.readouterr().out, "weights.written")
    assert document["files"] == [shipped, shipped] and document["parameters"] > 1000


def test_batch_when_it_prints_json_then_every_event_fits_its_schema(
    card: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    burst(card / "odd", 7, 2, 100.0)
    read_burst = jobs.read_burst

    def read(paths: Sequence[Path], **options: Any) -> Burst:
        if paths[0].parent.name == "odd":
            raise InputError("is odd")
        return read_burst(paths, **options)

    monkeypatch.setattr(jobs, "read_burst", read)
    seen: dict[str, dict[str, Any]] = {}
    for _run in range(2):  # the second run skips the bursts of the first
        assert main(["batch", "card", "-o", "out", "--report", "--json", *FAST]) == 8
        for line in capsys.readouterr().out.splitlines():
            document = validated(line)
            assert document["schema"] == f"burstfix.batch.{document['event']}"
            seen[document["event"]] = document
    assert set(seen) == {"plan", "started", "done", "failed", "skipped", "tally"}
    assert Path(seen["done"]["output"]).exists() and Path(seen["done"]["reference"]["path"]).exists()
