"""Methods, scores and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burstfix.cli.terminal import Terminal
from burstfix.errors import UsageError
from burstfix.evaluation.methods import (
    Method,
    MethodName,
    around_reference,
    default_methods,
    load_methods,
    row_labels,
)
from burstfix.evaluation.pictures import save_side_by_side
from burstfix.evaluation.protocol import Limits, find_clips, noise_profile
from burstfix.evaluation.run import Score, evaluate, machine
from burstfix.evaluation.tables import (
    clip_means,
    difference,
    document,
    markdown,
    mean_of,
    psnr_estimate,
    rich_tables,
)
from burstfix.raw.demosaic import menon
from burstfix.records import Error
from burstfix.types import Burst, ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels
from tests.scenes import draw_scene, mosaic_of

MACHINE = {"device": "cpu", "processor": "Testor 1", "threads": 2, "torch": "2"}


def burst_of(count: int, cfa: str = "RGGB") -> Burst:
    mosaic = (mosaic_of(draw_scene(40, 48), cfa) * 1000).round().short().numpy().astype(np.uint16)
    levels = Levels(np.zeros((1, 1), np.float32), 1000.0)
    metadata = FrameMetadata(Path("x"), 40, 48, cfa, levels, ColorProfile(np.eye(3), None))
    frames = tuple(Frame(mosaic + k, metadata) for k in range(count))
    return Burst(
        frames,
        count // 2,
        noise_profile("low"),
        (GlobalMotion(),) * count,
        (1.0,) * count,
        np.empty((0, 2), np.int32),
    )


def score(method: str, clip: str, psnr: float, level: str = "high", source: str = "clips") -> Score:
    return Score(method, source, clip, "1", level, psnr, psnr / 100, 2.0, 0.5)


@pytest.mark.parametrize(
    ("count", "first", "reference"), [(1, 2, 0), (2, 1, 1), (3, 1, 1), (4, 0, 2), (5, 0, 2), (9, 0, 2)]
)
def test_around_reference_when_given_a_count_then_it_returns_the_nearest_frames(
    count: int, first: int, reference: int
) -> None:
    kept = around_reference(burst_of(5), count)
    assert int(kept.frames[0].mosaic[0, 0]) - int(burst_of(5).frames[0].mosaic[0, 0]) == first
    assert kept.reference == reference and len(kept.motions) == len(kept.frames) == min(count, 5)


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_menon_when_run_then_it_demosaicks_only_the_reference(cfa: str) -> None:
    (method,) = load_methods(["menon"])
    burst = burst_of(3, cfa)
    result = method.run(burst)
    assert result.shape == (3, 40, 48)
    scene = draw_scene(40, 48).numpy()
    assert np.abs(result - scene)[:, 4:-4, 4:-4].mean() < 0.02
    if cfa == "RGGB":
        x = torch.from_numpy(burst.frames[1].mosaic.astype(np.float32) / 1000)
        packed = torch.stack([x[0::2, 0::2], x[0::2, 1::2], x[1::2, 0::2], x[1::2, 1::2]])
        np.testing.assert_allclose(result, menon(packed[None])[0], atol=1e-6)


def test_load_methods_when_names_are_invalid_then_usage_error() -> None:
    with pytest.raises(UsageError, match="at least one frame"):
        load_methods(["average:0"])
    with pytest.raises(UsageError, match="no model named"):
        load_methods(["nonsense"])
    with pytest.raises(UsageError, match="given twice"):
        load_methods(["menon", "menon"])
    for name in ("menon+2", "kpn+3", ""):
        with pytest.raises(UsageError):
            load_methods([name])


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["kpn", "kpn:1", "runs/kpn/kpn.safetensors"], ["kpn", "kpn:1", "kpn/kpn"]),
        (["a/kpn.safetensors", "b/kpn.safetensors"], ["a/kpn", "b/kpn"]),
        (["a/x/n.safetensors", "b/x/n.safetensors+2:1"], ["n", "n+2:1"]),
        (["a/x/n.safetensors:1", "b/x/n.safetensors:1"], ["a/x/n:1", "b/x/n:1"]),
        (["menon", "menon.safetensors"], ["menon", "{folder}/menon"]),
        (["module:Net", "module:Net:1"], ["module:Net", "module:Net:1"]),
    ],
)
def test_row_labels_when_files_share_a_name_then_labels_include_folders(
    names: list[str], labels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = [label.format(folder=tmp_path.name) for label in labels]
    assert row_labels([MethodName.parse(name) for name in names]) == expected


def test_row_labels_when_a_file_is_given_twice_then_usage_error() -> None:
    twice = [MethodName.parse(name) for name in ("a/n.safetensors", "./a/n.safetensors")]
    with pytest.raises(UsageError, match="given twice"):
        row_labels(twice)


def test_default_methods_when_listed_then_baselines_come_first() -> None:
    names = default_methods()
    assert names[:2] == ["menon", "average"]
    assert all(name.removesuffix(":1") in names for name in names)


def test_evaluate_when_average_is_compared_with_menon_then_average_is_better(tmp_path: Path) -> None:
    scene = (draw_scene(64, 80, seed=2) ** (1 / 2.2) * 255).byte().permute(1, 2, 0).numpy()
    for k in range(6):
        Image.fromarray(scene[:, k : k + 64]).save(tmp_path / f"{k}.png")
    methods = load_methods(["menon", "average", "average:2"], device="cpu")
    seen = []
    scores = evaluate(
        methods,
        find_clips([tmp_path]),
        [],
        ["high"],
        Limits(),
        on_case=lambda _, shown: seen.append(shown),
    )
    assert len(scores) == 6 and len(seen) == 2 and list(seen[0]) == ["menon", "average", "average:2"]
    by_method = {m.label: mean_of([s for s in scores if s.method == m.label]).psnr for m in methods}
    assert by_method["average"] > by_method["average:2"] > by_method["menon"]
    assert by_method["average"] > by_method["menon"] + 2
    assert all(s.megapixels == 64 * 64 / 1e6 and s.seconds > 0 for s in scores)


def test_evaluate_when_methods_or_cases_are_missing_then_usage_error() -> None:
    with pytest.raises(UsageError, match="nothing to evaluate"):
        evaluate([Method("m", None, lambda burst: np.zeros(1))], [], [], ["high"], Limits())


def test_mean_of_when_clips_differ_in_length_then_each_clip_counts_once() -> None:
    scores = [score("a", "long", 30), score("a", "long", 32), score("a", "short", 40)]
    assert clip_means(scores)["long"].psnr == 31
    assert mean_of(scores).psnr == pytest.approx(35.5) and mean_of(scores).count == 3


def test_document_when_created_then_it_is_json_with_every_clip() -> None:
    scores = [
        score(m, c, p, lv) for m, p in (("a", 30), ("b", 31)) for c in ("x", "y") for lv in ("high", "low")
    ]
    found = json.loads(json.dumps(document(scores, MACHINE, Limits()), allow_nan=False))
    assert len(found["results"]) == 4 and found["machine"]["processor"] == "Testor 1"
    first = found["results"][0]
    assert (first["model"], first["noise_level"], first["psnr"], first["bursts"]) == ("a", "high", 30, 2)
    assert first["clips"]["y"]["psnr"] == 30 and first["seconds_per_megapixel"] == 4


def test_document_when_pictures_are_equal_then_json_has_no_infinity() -> None:
    found = document([score("a", "x", float("inf"))], MACHINE, Limits())
    assert found["results"][0]["psnr"] is None


def test_markdown_when_printed_then_it_has_the_rows_of_the_readme() -> None:
    scores = [score(m, "x", p, lv) for m, p in (("a", 30.123), ("b", 31)) for lv in ("high", "low")]
    text = markdown(scores, MACHINE)
    assert "| a | 30.12 | 0.3012 | 30.12 | 0.3012 | 4.00 |" in text.splitlines()
    assert "| b | +0.877 ±? | +0.877 | 100% | +0.877 ±? | +0.877 | 100% |" in text.splitlines()
    assert "Measured on Testor 1, 2 threads" in text


def test_difference_when_bursts_vary_more_than_methods_then_its_interval_is_small() -> None:
    clips = [f"c{k}" for k in range(20)]
    plain = [score("a", clip, 25 + k) for k, clip in enumerate(clips)]
    better = [score("b", clip, 25.1 + k + 0.01 * (-1) ** k) for k, clip in enumerate(clips)]
    found = difference(list(reversed(better)), plain)
    assert found.psnr.mean == pytest.approx(0.1) and found.better == 1.0 and found.count == 20
    assert found.psnr.high - found.psnr.low < 0.02
    means = psnr_estimate(plain)
    assert means.high - means.low > 3


def test_document_when_there_are_two_methods_then_differences_refer_to_the_baseline() -> None:
    scores = [score(m, c, p) for m, p in (("a", 30.0), ("b", 31.0)) for c in ("x", "y")]
    (row,) = document(scores, MACHINE, Limits())["differences"]
    assert (row["model"], row["baseline"], row["psnr"], row["share_better"]) == ("b", "a", 1.0, 1.0)
    (row,) = document(scores, MACHINE, Limits(), "b")["differences"]
    assert (row["model"], row["psnr"], row["share_better"]) == ("a", -1.0, 0.0)


def test_rich_tables_when_printed_then_they_have_means_and_clips() -> None:
    from rich.console import Console

    scores = [score("a", clip, psnr, source="photos") for clip, psnr in (("x", 30), ("y", 40))]
    console = Console(width=120)
    with console.capture() as printed:
        console.print(rich_tables(scores, MACHINE))
    text = printed.get()
    assert "35.00" in text and "40.00 / 0.400" in text and "simulated bursts" in text


def test_machine_when_called_then_it_names_processor_and_threads() -> None:
    found = machine("cpu")
    assert found["device"] == "cpu" and found["processor"] and int(found["threads"]) >= 1


def test_save_side_by_side_when_given_two_pictures_then_their_centres_are_side_by_side(
    tmp_path: Path,
) -> None:
    red, blue = torch.zeros(3, 40, 60), torch.zeros(3, 40, 60)
    red[0], blue[2] = 1.0, 2.0
    save_side_by_side({"red": red, "blue": blue}, tmp_path / "a.png", side=20)
    pixels = np.array(Image.open(tmp_path / "a.png"))
    assert pixels.shape == (36, 44, 3)
    assert pixels[30, 10].tolist() == [255, 0, 0] and pixels[30, 30].tolist() == [0, 0, 255]


HOSTILE = "clip\x1b[2J\u202e\n|"


def test_tables_when_names_contain_control_characters_then_they_are_escaped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = [score(method, clip, 30.0) for method in ("kpn", HOSTILE) for clip in ("a", HOSTILE)]
    texts = [markdown(scores, MACHINE, HOSTILE)]
    Terminal().result(Error, {}, lambda _: rich_tables(scores, MACHINE, HOSTILE))
    texts.append(capsys.readouterr().out)
    for text in texts:
        assert "clip\\x1b[2J\\u202e\\n" in text
        assert not any(character in text for character in "\x1b\u202e")
    rows = [line for line in texts[0].splitlines() if line.startswith("| clip")]
    assert rows and all(row.replace(r"\|", "").count("|") == 5 for row in rows)


def test_tables_when_lpips_was_measured_then_every_table_has_its_mean() -> None:
    scores = [replace(score("kpn", clip, 30.0), lpips=value) for clip, value in (("a", 0.1), ("b", 0.3))]
    assert mean_of(scores).lpips == pytest.approx(0.2)
    assert "| high: LPIPS |" in markdown(scores, MACHINE) and "0.2000" in markdown(scores, MACHINE)
    assert document(scores, MACHINE, Limits())["results"][0]["lpips"] == pytest.approx(0.2)
    assert "LPIPS" not in markdown([score("kpn", "a", 30.0)], MACHINE)
