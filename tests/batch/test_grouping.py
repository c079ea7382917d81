"""Grouping of frames by time, exposure, content, names and numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstfix.batch.grouping import SAME_SCENE, Grouping, group_frames
from burstfix.batch.raw_info import RawInfo, thumbnail_similarity

START = datetime(2024, 5, 31, 21)
BASE = RawInfo(Path("/c/IMG_0001.dng"), "Acme", "One", "7", "50mm", 60, 90, "RGGB", 800, 0.05, 2.0, START)


def frame(number: int, seconds: float | None, **other: object) -> RawInfo:
    path = Path(f"/c/IMG_{number:04d}.dng")
    time = None if seconds is None else START + timedelta(seconds=seconds)
    return replace(BASE, path=path, time=time, **other)  # type: ignore[arg-type]


def grouped(*frames: RawInfo, similarity: object = None, **options: object) -> Grouping:
    settings = {"gap": 2.0, "min_frames": 2, "max_frames": 0} | options
    return group_frames(frames, similarity=similarity, **settings)  # type: ignore[arg-type]


def shape(grouping: Grouping) -> list[tuple[str, list[int]]]:
    return [(g.kind, [int(f.path.stem[-4:]) for f in g.frames]) for g in grouping.groups]


def test_group_when_a_pause_is_longer_than_the_gap_then_there_are_two_bursts() -> None:
    frames = [frame(1, 0), frame(2, 0.5), frame(3, 2.6), frame(4, 3.0)]
    assert shape(grouped(*frames)) == [("burst", [1, 2]), ("burst", [3, 4])]
    assert shape(grouped(*frames, gap=3.0)) == [("burst", [1, 2, 3, 4])]


def test_group_when_exposures_are_long_then_the_pause_counts_from_their_end() -> None:
    frames = [frame(k, 4.0 * k, exposure_time=3.5) for k in range(1, 4)]
    assert shape(grouped(*frames)) == [("burst", [1, 2, 3])]


@pytest.mark.parametrize(
    "odd",
    [{"model": "Two"}, {"lens": "85mm"}, {"serial": "8"}, {"height": 30}, {"cfa": "BGGR"}, {"make": "X"}],
)
def test_group_when_two_cameras_shoot_at_once_then_each_has_its_own_burst(odd: dict[str, object]) -> None:
    frames = [frame(k, 0.1 * k, **(odd if k % 2 else {})) for k in range(1, 7)]
    assert shape(grouped(*frames)) == [("burst", [1, 3, 5]), ("burst", [2, 4, 6])]


def test_group_when_a_raw_has_a_converted_copy_then_they_are_in_different_groups() -> None:
    frames = [frame(1, 0), frame(2, 0.1)]
    frames += [replace(f, path=f.path.with_suffix(".ARW")) for f in frames]
    assert [len(g.frames) for g in grouped(*frames).groups] == [2, 2]


def test_group_when_exposure_changes_from_frame_to_frame_then_it_is_a_bracket() -> None:
    times = (0.05, 0.0125, 0.2)
    frames = [frame(k, 0.2 * k, exposure_time=times[k % 3]) for k in range(1, 7)]
    assert shape(grouped(*frames)) == [("bracket", [1, 2, 3, 4, 5, 6])]


def test_group_when_exposure_changes_once_then_there_are_two_bursts() -> None:
    frames = [frame(k, 0.2 * k, iso=800 if k < 4 else 1600) for k in range(1, 7)]
    assert shape(grouped(*frames)) == [("burst", [1, 2, 3]), ("burst", [4, 5, 6])]


def test_group_when_the_last_frame_differs_then_it_is_a_single_frame() -> None:
    frames = [frame(k, 0.2 * k, iso=800 if k < 4 else 1600) for k in range(1, 5)]
    assert shape(grouped(*frames)) == [("burst", [1, 2, 3]), ("single", [4])]


def test_group_when_exposure_differs_by_rounding_then_there_is_one_burst() -> None:
    frames = [frame(1, 0, exposure_time=1 / 30), frame(2, 0.1, exposure_time=1 / 31)]
    assert shape(grouped(*frames)) == [("burst", [1, 2])]


def test_group_when_the_scene_changes_then_there_are_two_bursts() -> None:
    frames = [frame(k, 0.2 * k) for k in range(1, 5)]

    def similarity(a: RawInfo, b: RawInfo) -> float:
        return 0.1 if b.path.stem.endswith("3") else 0.95

    assert shape(grouped(*frames, similarity=similarity)) == [("burst", [1, 2]), ("burst", [3, 4])]


def test_group_when_there_are_too_few_or_too_many_frames_then_it_is_short_or_split() -> None:
    frames = [frame(k, 0.2 * k) for k in range(1, 8)] + [frame(20, 60), frame(21, 60.2)]
    found = shape(grouped(*frames, min_frames=3, max_frames=4))
    assert found == [("burst", [1, 2, 3, 4]), ("burst", [5, 6, 7]), ("short", [20, 21])]


def test_group_when_times_are_missing_then_it_uses_names_and_warns() -> None:
    frames = [frame(k, None) for k in (1, 2, 3, 7, 8, 12)]
    grouping = grouped(*frames)
    assert shape(grouping) == [("burst", [1, 2, 3]), ("burst", [7, 8]), ("single", [12])]
    assert len(grouping.warnings) == 1 and "6 of 6 frames have no capture time" in grouping.warnings[0]


def test_group_when_the_clock_is_set_back_two_hours_then_it_uses_names_and_warns() -> None:
    frames = [frame(1, 7200), frame(2, 7200.2), frame(3, 0.4), frame(4, 0.6), frame(5, 30.0), frame(6, 30.2)]
    grouping = grouped(*frames)
    assert shape(grouping) == [("burst", [1, 2, 3, 4]), ("burst", [5, 6])]
    assert len(grouping.warnings) == 1 and "was set back by 2.0 h" in grouping.warnings[0]


def test_group_when_the_clock_is_set_forward_within_a_burst_then_there_is_one_burst_and_a_warning() -> None:
    times = (0, 0.2, 7200.4, 7200.6, 7260.0, 7260.2)
    frames = [frame(k, t) for k, t in enumerate(times, 1)]
    grouping = grouped(*frames, similarity=lambda a, b: 0.9)
    assert shape(grouping) == [("burst", [1, 2, 3, 4]), ("burst", [5, 6])]
    assert len(grouping.warnings) == 1 and "was set forward by 2.0 h" in grouping.warnings[0]


@pytest.mark.parametrize(
    ("times", "other", "alike"),
    [
        ((0, 0.2, 7200.4, 7200.6), {}, 0.1),  # another scene
        ((0, 0.2, 7000.0, 7000.2), {}, 0.9),  # not a multiple of 15 minutes
        ((0, 0.2, 7200.4, 7200.6), {"iso": 100}, 0.9),
        ((0, 0.2, 7200.4, 7200.6), {"path": Path("/c/IMG_0090.dng")}, 0.9),
        ((0, 3600.2, 7200.4, 7200.6), {}, 0.9),  # a camera that takes a picture every hour
    ],
)
def test_group_when_a_pause_is_not_a_change_of_the_clock_then_it_splits_without_a_warning(
    times: tuple[float, ...], other: dict[str, object], alike: float
) -> None:
    frames = [frame(k, t) for k, t in enumerate(times)]
    frames[2:] = [replace(frames[2], **other)]  # type: ignore[arg-type]
    grouping = grouped(*frames, similarity=lambda a, b: alike)
    assert all(frames[2] not in g.frames or frames[1] not in g.frames for g in grouping.groups)
    assert not grouping.warnings


def test_group_when_the_counter_wraps_around_then_it_uses_times_without_a_warning() -> None:
    frames = [frame(9998, 0), frame(9999, 0.2), frame(1, 0.4), frame(2, 0.6)]
    grouping = grouped(*frames)
    assert shape(grouping) == [("burst", [9998, 9999, 1, 2])] and not grouping.warnings


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0, 100)),
            st.sampled_from(["One", "Two"]),
            st.sampled_from([100.0, 800.0, None]),
            st.sampled_from([0.01, 0.05, None]),
        ),
        max_size=25,
    ),
    st.integers(2, 4),
    st.sampled_from([0, 5]),
)
def test_group_when_frames_are_random_then_every_frame_is_in_exactly_one_group(
    details: list[tuple[float | None, str, float | None, float | None]], least: int, most: int
) -> None:
    frames = [
        frame(k, seconds, model=model, iso=iso, exposure_time=exposure)
        for k, (seconds, model, iso, exposure) in enumerate(details)
    ]
    groups = grouped(*frames, min_frames=least, max_frames=most).groups
    assert sorted(f.path for g in groups for f in g.frames) == sorted(f.path for f in frames)
    for group in groups:
        assert len({f.model for f in group.frames}) == 1
        assert (group.kind == "single") == (len(group.frames) == 1)
        assert group.kind != "burst" or len(group.frames) <= (most or 99)


@pytest.mark.parametrize("cells", [-3, -2, -1, 0, 1, 2, 3])
def test_similarity_when_the_content_moves_by_up_to_three_cells_then_it_is_the_same_scene(cells: int) -> None:
    scene = np.random.default_rng(5).random((22, 30), np.float32)
    center = scene[3:-3, 3:-3]
    along = scene[3:-3, 3 + cells : 27 + cells]
    across = scene[3 + cells : 19 + cells, 3:-3]
    assert thumbnail_similarity(center, along) > 0.99 and thumbnail_similarity(center, across) > 0.99
    assert (
        thumbnail_similarity(center, np.random.default_rng(6).random(center.shape, np.float32)) < SAME_SCENE
    )


@pytest.mark.parametrize("times", [(None, None, None), (0, 3.1, 9.3)])
def test_group_when_only_unreadable_frames_are_missing_then_one_burst(
    times: tuple[float | None, ...],
) -> None:
    frames = [frame(number, t, exposure_time=3.0) for number, t in zip((1, 2, 4), times, strict=True)]
    assert shape(grouped(*frames, lost=frozenset({Path("/c/IMG_0003.dng")}))) == [("burst", [1, 2, 4])]
    for other in ("/c/IMG_0005.dng", "/d/IMG_0003.dng", "/c/IMG_0003.nef", "/c/three.dng"):
        assert shape(grouped(*frames, lost=frozenset({Path(other)}))) == [("burst", [1, 2]), ("single", [4])]


def test_group_when_a_pause_is_too_long_for_the_unreadable_frames_then_it_splits() -> None:
    frames = [frame(1, 0), frame(2, 0.2), frame(4, 4.6), frame(5, 4.8)]
    lost = frozenset({Path("/c/IMG_0003.dng")})
    assert shape(grouped(*frames, lost=lost)) == [("burst", [1, 2]), ("burst", [4, 5])]


PHONE_NAMES = [
    ("PXL_20240531_210000000.RAW-{:02d}.{}.dng", ("COVER", "ORIGINAL", "ORIGINAL")),
    ("PXL_20240531_210000000.RAW-{:02d}.{}.dng", ("ORIGINAL", "MP.COVER", "ORIGINAL")),
    ("{0:05d}IMG_{0:05d}_BURST20240531210000123{1}.dng", ("_COVER", "", "")),
    ("IMG_20240531_210000_BURST{:03d}{}.dng", ("", "_COVER", "")),
]


@pytest.mark.parametrize(("pattern", "marks"), PHONE_NAMES)
def test_group_when_a_phone_burst_has_no_times_then_it_is_one_burst_by_name(
    pattern: str, marks: tuple[str, ...]
) -> None:
    names = [pattern.format(number, mark) for number, mark in enumerate(marks, 1)]
    frames = [replace(frame(1, None), path=Path("/c") / name) for name in names]
    (group,) = grouped(*frames).groups
    assert group.kind == "burst" and [f.path.name for f in group.frames] == names
    other = [replace(f, path=Path(str(f.path).replace("20240531", "20240601"))) for f in frames]
    assert [len(g.frames) for g in grouped(*frames, *other).groups] == [3, 3]


def test_group_when_a_number_is_huge_then_the_frames_are_not_neighbours() -> None:
    huge = replace(frame(1, None), path=Path(f"/c/IMG_{10**20}.dng"))
    assert [g.kind for g in grouped(frame(1, None), huge).groups] == ["single", "single"]
