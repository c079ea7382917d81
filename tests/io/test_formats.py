"""The table of output formats, and its use in names, options and writers."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from burstfix.batch.layout import check_layout
from burstfix.cli.batch import command as batch
from burstfix.cli.merge import command as merge
from burstfix.cli.target import plan
from burstfix.errors import UsageError
from burstfix.io.write import formats, jpeg_xl, merged_dng, pixels
from burstfix.io.write.formats import FORMATS, OutputFormat, format_named, format_of
from burstfix.settings.merge import MergeSettings


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_format_when_in_the_table_then_names_options_and_layouts_include_it(row: OutputFormat, tmp_path):
    assert format_named(row.name) is row
    for suffix in row.suffixes:
        assert format_of(f"x{suffix.upper()}") is row
        target = plan(str(tmp_path / f"a{suffix}"), MergeSettings())
        assert (target.format, target.bit_depth) == (row.name, row.bit_depths[0])
    assert check_layout("{first}", row.name) == "{first}" + row.suffix
    for command in (merge, batch):
        option = next(p for p in command.params if p.name == "format")
        assert option.type.convert(row.name, option, None) == row.name
    assert row.is_raw or callable(row.load_encoder())


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_plan_when_the_format_lacks_a_setting_then_it_raises_usage_error(row: OutputFormat, tmp_path):
    out = str(tmp_path / f"a{row.suffix}")
    for depth in {8, 16} - set(row.bit_depths):
        with pytest.raises(UsageError, match=f"{row.title} is written with .* not {depth}"):
            plan(out, MergeSettings(bit_depth=depth), typed={"bit_depth"})
    if row.has_quality:
        plan(out, MergeSettings(quality=50), typed={"quality"})
    else:
        with pytest.raises(UsageError, match="quality applies only to JPEG"):
            plan(out, MergeSettings(quality=50), typed={"quality"})


def test_format_named_when_the_format_is_unknown_then_the_error_lists_the_known_ones():
    with pytest.raises(UsageError, match="webp.*tiff, png, jpeg, jxl, avif, dng"):
        format_named("webp")
    assert format_of("a.webp") is None


@pytest.mark.parametrize("module", [formats, jpeg_xl, merged_dng, pixels])
def test_writers_when_their_examples_are_run_then_they_pass(module: ModuleType):
    tried = doctest.testmod(module)
    assert tried.attempted and not tried.failed
