"""The end of every help text."""

EXIT_CODES = """
Exit codes:
  0    done
  1    unexpected error (please report it; -vv shows details)
  2    wrong usage
  3    an input cannot be read or is not supported
  4    the frames do not form one burst
  5    the output exists or cannot be written
  6    out of memory after every fallback
  7    model weights missing or damaged
  8    some bursts of a batch failed
  130  interrupted (Ctrl-C)
"""


def epilog(*examples: str) -> str:
    """The end of a help text: examples and the exit codes, which click must not rewrap."""
    # A paragraph that begins with the character \b stays as it is.
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in examples) + f"\n\b{EXIT_CODES}"
