"""Fixtures and rules for all tests: shared data, one thread each, no network, no GPU by accident."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Two workers on two cores: libraries that start a thread for each core would fight over them."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Signals that are ignored (nohup, a job in the background) stay ignored in the commands that tests start.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for shared data is marked so; a test for a GPU is skipped where there is none."""
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
    """The folder `shared/data` beside the checkout, or $BURSTFIX_SHARED; the test is skipped without it."""
    folder = Path(os.environ.get("BURSTFIX_SHARED") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the shared data is not here: {folder} (set BURSTFIX_SHARED)")
    return folder


@pytest.fixture(scope="session")
def example_burst() -> list[Path]:
    """The raws that ship in examples/burst."""
    return sorted((ROOT / "examples" / "burst").glob("*.dng"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """burstfix works without a network: a test that opens a connection to elsewhere fails."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"a test tried to reach the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the config folder of whoever runs the tests do not count (Linux)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(scope="session")
def small_burst(example_burst: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three frames of the example burst, cut to 176x240: quick to merge."""
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
