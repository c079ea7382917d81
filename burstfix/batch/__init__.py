"""A folder into bursts, journal, workers: `find_bursts` and `run_batch`; see docs/batch.md."""
