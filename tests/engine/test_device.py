from __future__ import annotations

import pytest
import torch

from burstfix.engine.device import BACKENDS, CpuDevice, find_device, pick_precision
from burstfix.errors import OutOfMemoryError, UsageError, is_out_of_memory
from burstfix.settings.kinds import DEVICE_TYPES
from burstfix.settings.kinds import device as device_kind


def test_backends_when_listed_then_they_equal_the_values_of_the_option():
    assert tuple(BACKENDS) == DEVICE_TYPES
    assert [device_kind().check(name) for name in DEVICE_TYPES] == list(DEVICE_TYPES)


def test_find_device_when_it_is_the_cpu_then_it_has_memory_and_a_name():
    device = find_device("cpu")
    assert isinstance(device, CpuDevice) and device.torch_device == torch.device("cpu")
    assert 0 < device.free_memory() <= device.total_memory()
    assert device.name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "device 'gpu' is unknown"),
        ("meta", "device 'meta' is unknown"),
        ("auto", "device 'auto' is unknown"),
        ("cuda:99", "usable CUDA devices"),
        ("xpu:99", "usable XPU devices"),
        ("mps:1", "usable MPS devices"),
    ],
)
def test_find_device_when_the_device_does_not_exist_then_it_raises_usage_error(name, words):
    with pytest.raises(UsageError, match=words):
        find_device(name)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
        (None, torch.float32),
    ],
)
def test_pick_precision_when_auto_on_the_cpu_then_it_depends_on_the_instructions_of_the_cpu(
    monkeypatch, capabilities, expected
):
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert pick_precision("auto", CpuDevice()) == expected
    assert pick_precision("float16", CpuDevice()) == torch.float16


def test_pick_precision_when_the_name_is_unknown_then_it_raises_usage_error():
    with pytest.raises(UsageError, match="precision 'int8' is unknown"):
        pick_precision("int8", CpuDevice())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("no"),
        OSError(12, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
        RuntimeError("could not create a primitive"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_is_out_of_memory_when_memory_ran_out_then_it_is_true(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes"),
        OSError(2, "No such file"),
        ValueError("out of memory"),
        ImportError("no module"),
    ],
)
def test_is_out_of_memory_when_something_else_failed_then_it_is_false(error):
    assert not is_out_of_memory(error)
