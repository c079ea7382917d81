"""Batch processing of folders: `find_bursts` and `run_batch`; see docs/batch.md."""
