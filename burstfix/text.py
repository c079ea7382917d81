"""Text from files, made safe to show: file names and EXIF can hold anything."""

from __future__ import annotations

import unicodedata

_SEPARATORS = "\u2028\u2029"  # break a line, although they are no control characters
_BIDI = (
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # reorder what is around them
)


def printable(text: str) -> str:
    r"""Return the text with control, bidirectional and line-breaking characters as backslash escapes.

    The result is one line that cannot move the cursor, change colours or reorder the text around it. Other
    characters stay as they are, letters of right-to-left scripts included. Surrogates (bytes of a file name
    that are not UTF-8) become escapes too, so that the result can be encoded.

    >>> print(printable("IMG\x1b[31m_1\n.dng"))
    IMG\x1b[31m_1\n.dng
    """
    return "".join(_escape(c) if _is_unsafe(c) else c for c in text)


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI or character in _SEPARATORS


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
