"""Gathering of cells, compared with indexing: offsets, edges, regions and windows."""

import torch

from burstfix.align.gather import BurstTile, gather_cells, source_region


def test_gather_cells_when_offsets_differ_then_each_cell_is_read_at_its_offset():
    source = torch.arange(2 * 3 * 40 * 48, dtype=torch.float32).reshape(2, 3, 40, 48)
    offsets = torch.randint(-4, 5, (2, 2, 5, 6), generator=torch.Generator().manual_seed(1))
    out = gather_cells(source, offsets, 8)
    assert out.shape == source.shape
    for b, cy, cx in ((0, 1, 2), (1, 3, 4), (1, 2, 1)):
        y, x = 8 * cy + int(offsets[b, 0, cy, cx]), 8 * cx + int(offsets[b, 1, cy, cx])
        expected = source[b, :, y : y + 8, x : x + 8]
        torch.testing.assert_close(out[b, :, 8 * cy : 8 * cy + 8, 8 * cx : 8 * cx + 8], expected)


def test_gather_cells_when_reading_beyond_the_picture_then_it_is_reflected():
    source = torch.rand(1, 16, 16)
    out = gather_cells(source, torch.full((2, 1, 1), -100), 8, margin=4)
    torch.testing.assert_close(out, source[:, :1, :1].expand(1, 16, 16))


def test_gather_cells_when_frames_are_batched_then_results_equal_those_of_single_frames():
    source, offsets = torch.rand(2, 3, 4, 24, 32), torch.randint(-5, 6, (2, 3, 2, 3, 4))
    out = gather_cells(source, offsets, 8, margin=2)
    assert out.shape == (2, 3, 4, 36, 48)
    torch.testing.assert_close(out[1, 2], gather_cells(source[1, 2], offsets[1, 2], 8, margin=2))


def tile_of(picture: torch.Tensor, field: torch.Tensor, top: int, left: int, crop: bool) -> BurstTile:
    source, origin = picture, (0, 0)
    if crop:
        region = source_region(field, 8, 4, top, left, (picture.shape[-2], picture.shape[-1]))
        source = picture[:, region.top : region.bottom, region.left : region.right]
        origin = (region.top, region.left)
    ones = torch.ones(1, 1, 4, 1, 1)
    return BurstTile((source,), (origin,), (field,), 8, top, left, 0, ones, ones)


def test_burst_tile_when_sources_contain_only_its_region_then_it_equals_the_tile_of_whole_sources():
    picture = torch.rand(4, 64, 80)
    for top, left in ((16, 24), (0, 0), (-8, 56), (40, -8)):  # inside, and across each border
        field = torch.randint(-9, 10, (2, 3, 4), generator=torch.Generator().manual_seed(top + 50))
        whole, cut = (tile_of(picture, field, top, left, crop) for crop in (False, True))
        assert whole.aligned().shape == (1, 4, 24, 32)
        torch.testing.assert_close(whole.aligned(), cut.aligned())
        for phase in ((0, 0), (0, 1), (1, 0), (1, 1)):
            torch.testing.assert_close(list(whole.each_window(*phase)), list(cut.each_window(*phase)))


def test_burst_tile_when_nothing_moved_then_windows_contain_their_cells():
    picture = torch.rand(4, 64, 64)
    tile = tile_of(picture, torch.zeros(2, 4, 4, dtype=torch.long), 16, 16, False)
    windows = torch.stack(list(tile.each_window(1, 0)))
    assert windows.shape == (1, 4, 2 * 16, 2 * 16)
    torch.testing.assert_close(windows[0, :, :16, 16:], picture[:, 16 + 4 : 16 + 20, 16 + 12 : 16 + 28])


def test_burst_tile_when_a_frame_does_not_cover_a_pixel_then_the_reference_is_used():
    reference, frame = torch.rand(4, 32, 32), torch.rand(4, 32, 32)
    still = torch.zeros(2, 4, 4, dtype=torch.long)
    moved = still.clone()
    moved[0] = -10  # the rows of the frame begin at row 10
    tile = BurstTile(
        (reference, frame),
        ((0, 0), (0, 0)),
        (still, moved),
        8,
        0,
        0,
        0,
        torch.zeros(1, 1, 4, 1, 1),
        torch.zeros(1, 1, 4, 1, 1),
    )
    aligned = tile.aligned()
    assert torch.equal(aligned[1, :, :10], reference[:, :10])
    assert torch.equal(aligned[1, :, 10:], frame[:, :22])
