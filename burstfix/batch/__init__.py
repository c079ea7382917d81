"""Folders of bursts, unattended."""
