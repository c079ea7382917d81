"""Number of threads for work outside torch."""

import pytest

from burstfix.threads import thread_count


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("3", 3), ("64", 8)])
def test_thread_count_when_omp_num_threads_is_set_then_it_counts(value, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert thread_count() == expected


@pytest.mark.parametrize("value", ["", "0", "2,2", "-1"])
def test_thread_count_when_omp_num_threads_is_no_number_then_cores_count(value, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert thread_count() == 3
