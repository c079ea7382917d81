"""Moved to `burstfix.atomic`; this name goes once its callers have followed."""

from burstfix.atomic import atomic_path

__all__ = ["atomic_path"]
