"""Fixtures for the tests of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch


@contextmanager
def _other_defaults() -> Generator[None, None, None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture
def other_defaults() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which new tensors are float64 and on another device, unless both are specified."""
    return _other_defaults
