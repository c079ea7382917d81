"""Files of unlimited size where a small text file is expected."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from burstfix.analysis.noise_table import load_table
from burstfix.checkpoints import load_model
from burstfix.color.look import load_look
from burstfix.errors import BurstfixError, InputError, UsageError, WeightsError
from burstfix.settings.files import read_settings_file
from burstfix.text_file import MAX_BYTES, read_text

endless = pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no /dev/zero here")


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A file of 100 GB without data."""
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000_000)
    return path


def test_read_text_when_the_file_is_at_the_limit_then_it_is_read_without_its_byte_order_mark(tmp_path: Path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * (MAX_BYTES - 3))
    assert read_text(path) == "x" * (MAX_BYTES - 3)


def test_read_text_when_the_file_is_one_byte_longer_then_os_error(tmp_path: Path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(OSError, match="larger than 1 MB"):
        read_text(path)


@pytest.mark.parametrize(
    ("read", "error"), [(read_settings_file, UsageError), (load_table, InputError), (load_look, UsageError)]
)
def test_read_file_when_it_is_huge_then_the_error_names_the_limit(
    huge: Path, read: Callable[[Path], object], error: type[BurstfixError]
):
    with pytest.raises(error, match=r"huge\.toml: .*larger than 1 MB"):
        read(huge)


@endless
def test_read_settings_file_when_it_is_a_link_to_an_endless_device_then_usage_error(tmp_path: Path):
    link = tmp_path / "burstfix.toml"
    link.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="larger than 1 MB"):
        read_settings_file(link)


def test_load_model_when_the_file_is_huge_then_weights_error(huge: Path):
    weights = huge.rename(huge.with_suffix(".safetensors"))
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_model(weights)


@endless
def test_load_model_when_the_file_is_a_device_then_weights_error(tmp_path: Path):
    link = tmp_path / "a.safetensors"
    link.symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match="is not a regular file"):
        load_model(link)
