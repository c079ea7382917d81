"""Metrics, protocols and tables."""
