"""Compiled inner loops for x86 processors with AVX2. Everything works without them, but more slowly.

setup.py compiles the C files if it finds a compiler. `lanes` returns the length of the vectors of the version
in use, or 0 if there is none; callers then use torch.
"""

from burstfix.native.library import lanes

__all__ = ["lanes"]
