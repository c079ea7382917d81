"""Compiled inner loops for x86 processors with AVX2. Everything works without them, but more slowly.

setup.py compiles the C files if it finds a compiler. `lanes` says which version runs, 0 = none: then callers
use torch.
"""

from burstfix.native.library import lanes

__all__ = ["lanes"]
