"""The command line: one thin file a command; the one place that turns errors into exit codes."""

from burstfix.cli.app import main

__all__ = ["main"]
