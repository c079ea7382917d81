"""The command line: one thin file for each command. `app.py` turns errors into exit codes."""

from burstfix.cli.app import main

__all__ = ["main"]
