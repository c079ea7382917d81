"""Build the API reference: `python docs/api.py out/api` (what `make docs` runs)."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import burstfix

MODULES = ("burstfix", "burstfix.errors", "burstfix.models.base")
"""Modules with the public API, its errors, and the base class of models."""


def main() -> int:
    """Write the reference as HTML; exit code 1 without a target folder."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python docs/api.py FOLDER\n")
        return 1
    for name in burstfix.__all__:  # names are imported on first use; pdoc reads the module's dictionary
        setattr(burstfix, name, getattr(burstfix, name))
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*MODULES, output_directory=Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
