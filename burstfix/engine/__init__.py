"""Tiled inference: geometry, memory, devices."""
