"""Runs a model over a picture of any size: tiles, memory, devices."""

from burstfix.engine.infer import Progress, merge_tiled

__all__ = ["Progress", "merge_tiled"]
