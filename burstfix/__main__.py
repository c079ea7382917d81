"""`python -m burstfix` is the command `burstfix`."""

import sys

from burstfix.cli import main

if __name__ == "__main__":
    sys.exit(main())
