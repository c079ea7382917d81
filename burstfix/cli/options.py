"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from burstfix.cli import values
from burstfix.cli.terminal import Terminal
from burstfix.io.write.formats import (
    BIT_DEPTHS,
    DEFAULT_FORMAT,
    DEFAULT_QUALITY,
    FORMAT_NAMES,
    depths_help,
    quality_help,
)

if TYPE_CHECKING:
    from burstfix.analysis.noise_table import NoiseTable
    from burstfix.pipeline import Progress
    from burstfix.types import Burst, NoiseChoice, NoiseProfile, OpcodeMode

F = TypeVar("F", bound=Callable[..., Any])

pass_terminal = click.make_pass_decorator(Terminal, ensure=True)


def stack(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Applies decorators so that --help lists them in the order given."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        setattr(ctx.ensure_object(Terminal), name, value)

    return store


# What the terminal shows. The values go to the Terminal, not to the command's function.
speech = stack(
    click.option("--json", is_flag=True, expose_value=False, is_eager=True, callback=_set("json"),
                 help="Print the result as JSON on stdout."),
    click.option("-v", "--verbose", count=True, expose_value=False, is_eager=True,
                 callback=_set("verbosity"), help="Say more; -vv everything, with tracebacks."),
    click.option("-q", "--quiet", is_flag=True, expose_value=False, is_eager=True, callback=_set("quiet"),
                 help="Only results that were asked for, and errors."),
)  # fmt: skip

# How raws are read.
reading = stack(
    click.option("--noise", type=values.Noise("file", "measure"), default=None,
                 metavar="S,O|file|measure",
                 help="Noise, variance = S*x + O for x from 0 (black) to 1 (white); file believes the file, "
                      "measure never.  [default: the file's if the burst bears it out, else measured]"),
    click.option("--noise-profiles", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                 help="Table for files that do not say their noise (burstfix noise-profile makes one).  "
                      "[default: noise_profiles.toml in the user's config folder, if there]"),
    click.option("--opcodes", type=click.Choice(["apply", "skip"]), default="apply", show_default=True,
                 help="Corrections that DNGs ask for: lens shading, bad pixels, lens distortion."),
    click.option("--skip-bad", is_flag=True, help="Leave out unreadable and odd frames instead of stopping."),
    click.option("--keep-all", is_flag=True, help="Keep frames that are blurred or do not overlap."),
)  # fmt: skip


@dataclass(frozen=True)
class BurstChoice:
    """Which files make up the burst, and how they are read: what `burst` gathers for a command."""

    paths: tuple[str, ...]
    reference: int | Path | None
    noise: NoiseProfile | NoiseChoice | None
    noise_profiles: Path | None
    opcodes: OpcodeMode
    skip_bad: bool
    keep_all: bool

    def read(self, files: Sequence[Path], progress: Progress) -> Burst:
        """Reads the files that `paths` stand for; imports torch."""
        from burstfix.pipeline import read_burst

        # People count frames from 1, the library from 0.
        reference = self.reference - 1 if isinstance(self.reference, int) else self.reference
        return read_burst(
            files,
            reference=reference,
            noise=self.noise,
            skip_bad=self.skip_bad,
            keep_all=self.keep_all,
            opcodes=self.opcodes,
            noise_profiles=noise_table(self.noise_profiles),
            progress=progress,
        )


_burst_options = stack(
    click.argument("paths", nargs=-1, required=True, metavar="PATHS..."),
    click.option("--reference", type=values.Reference(), default=None,
                 help="Frame that the result looks like: its number in `burstfix inspect`, or its file.  "
                      "[default: the sharpest near the middle]"),
    reading,
)  # fmt: skip


def burst(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of `BurstChoice`, gathered as its argument `chosen`."""
    names = [field.name for field in fields(BurstChoice)]

    @functools.wraps(function)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        chosen = BurstChoice(**{name: kwargs.pop(name) for name in names})
        return function(*args, chosen=chosen, **kwargs)

    return _burst_options(gathered)


device = click.option("--device", type=values.Device(), metavar="auto|cpu|cuda[:N]", default="auto",
                      show_default=True, help="Where it runs.")  # fmt: skip

tile = click.option("-t", "--tile", type=click.IntRange(min=0), default=0, show_default=True,
                    metavar="PIXELS",
                    help="Size of a tile in sensor pixels; 0 = automatic, from the free memory.")  # fmt: skip

precision = click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                         default="auto", show_default=True,
                         help="Arithmetic; auto = bfloat16 where the device computes in it, else float32."
                         )  # fmt: skip

# What merges them.
compute = stack(
    click.option("-m", "--model", default="auto", show_default=True, metavar="NAME|FILE",
                 help="What merges: auto, a model's name, or a .safetensors file."),
    device,
    tile,
    precision,
    click.option("--strength", type=click.FloatRange(0, 2), default=1.0, show_default=True, metavar="0..2",
                 help="How strong the noise is taken to be: less keeps grain, 1 = as measured."),
    click.option("--ensemble", type=click.Choice(["1", "2", "4", "8"]), default="1", show_default=True,
                 callback=lambda _context, _option, value: int(value),
                 help="Views, turned and mirrored, whose mean a network gives: cleaner, and slower."),
)  # fmt: skip

# What is made of the merged burst.
rendering = stack(
    click.option("--wb", "white_balance", type=values.WhiteBalance(), metavar="camera|auto|R,G,B",
                 default="camera", show_default=True, help="White balance."),
    click.option("--exposure", type=values.Exposure(), default=0.0, metavar="EV|auto", show_default=True,
                 help="Brighter (+) or darker (-) by so many stops."),
    click.option("--tone", type=click.Choice(["none", "filmic"]), default="none", show_default=True,
                 help="Tone curve; none = plain."),
    click.option("--color-space", type=click.Choice(["srgb", "display-p3", "rec2020", "prophoto"]),
                 default="srgb", show_default=True, help="Colour space of the picture."),
)  # fmt: skip

# The file that holds it.
picture = stack(
    click.option("--format", type=click.Choice(FORMAT_NAMES), default=None,
                 help=f"Format of the picture.  [default: by the name, else {DEFAULT_FORMAT.name}]"),
    click.option("--bit-depth", type=click.Choice([str(depth) for depth in BIT_DEPTHS]), default=None,
                 help=f"Bits per channel.  [default: {depths_help()}]"),
    click.option("--quality", type=click.IntRange(1, 100), default=None, metavar="1..100",
                 help=f"Quality of {quality_help()}.  [default: {DEFAULT_QUALITY}]"),
    click.option("--dng", type=click.Choice(["linear", "mosaic"]), default=None,
                 help="Kind of a .dng: demosaiced, or a Bayer mosaic for other developers' demosaicking.  "
                      "[default: linear]"),
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
)  # fmt: skip


def user_folder() -> Path:
    """Where a user's settings are kept: ~/.config/burstfix, or what the system has for it."""
    return Path(click.get_app_dir("burstfix"))


def own_noise_profiles() -> Path | None:
    """The user's own noise table, if there is one."""
    from burstfix.analysis.noise_table import FILE_NAME

    path = user_folder() / FILE_NAME
    return path if path.is_file() else None


def noise_table(path: Path | None) -> NoiseTable | None:
    """The table of --noise-profiles, else the user's own if there is one."""
    from burstfix.analysis.noise_table import load_table

    path = path or own_noise_profiles()
    return load_table(path) if path else None
