"""Fixtures and rules for all tests: shared data, one thread per process, no network, no GPU."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Limit libraries to one thread, because threads of parallel test workers would compete for cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Commands started by tests would inherit ignored signals (nohup, background jobs).
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use shared data; skip GPU tests if there is no GPU."""
    has_gpu: bool | None = None
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared)
        if item.get_closest_marker("gpu"):
            if has_gpu is None:
                import torch

                has_gpu = torch.cuda.is_available()
            if not has_gpu:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder `shared/data` beside the checkout, or $BURSTFIX_SHARED; skip the test without it."""
    folder = Path(os.environ.get("BURSTFIX_SHARED") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the shared data is not here: {folder} (set BURSTFIX_SHARED)")
    return folder


@pytest.fixture(scope="session")
def example_burst() -> list[Path]:
    """Return the raws in examples/burst."""
    return sorted((ROOT / "examples" / "burst").glob("*.dng"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a test fail if it opens a connection to another machine, because burstfix needs no network."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"a test tried to reach the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings in the config folder of the user who runs the tests (Linux)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(scope="session")
def small_burst(example_burst: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three frames of the example burst, cropped to 176x240 to be fast to merge."""
    from dataclasses import replace

    from burstfix.io import read_frame, write_cfa_dng

    folder = tmp_path_factory.mktemp("small")
    paths = []
    for path in example_burst[1:4]:
        frame = read_frame(path)
        mosaic = frame.mosaic[40:216, 60:300].copy()
        metadata = replace(frame.metadata, height=176, width=240)
        paths.append(write_cfa_dng(folder / path.name, mosaic, metadata))
    return paths
