"""The end of the help texts: examples, and the exit codes."""

EXIT_CODES = """
Exit codes:
  0    success
  1    unexpected error (please report it; -vv shows details)
  2    wrong usage
  3    an input cannot be read or is not supported
  4    the frames do not form one burst
  5    the output exists or cannot be written
  6    out of memory after every fallback
  7    model weights missing or damaged
  8    some bursts of a batch failed, or raws could not be read
  129  ended by SIGHUP
  130  interrupted (Ctrl-C)
  141  broken pipe (SIGPIPE): stdout was closed
  143  ended by SIGTERM
"""


def epilog(*examples: str) -> str:
    """Return the examples for the end of a command's help."""
    # The character \b at the beginning of a paragraph tells click not to rewrap it.
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in examples)


def group_epilog(*examples: str) -> str:
    """Return examples and exit codes, for the end of `burstfix --help`."""
    return epilog(*examples) + f"\n\b{EXIT_CODES}"
