"""Imports without garbage collection."""

import gc

import pytest

from burstfix.cli.libraries import fast_imports


def test_fast_imports_when_an_import_fails_then_garbage_collection_is_enabled_again():
    try:
        with pytest.raises(ImportError), fast_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
