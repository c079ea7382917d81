"""`burstfix simulate`: simulate a raw burst with ground truth from a photograph or a clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from burstfix import records
from burstfix.cfa import CFA_PATTERNS
from burstfix.cli import options, values
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.errors import UsageError
from burstfix.names import printable
from burstfix.settings import kinds

EXAMPLES = (
    "burstfix simulate photo.jpg -o burst/",
    "burstfix simulate photo.jpg -o burst/ --frames 9 --shift 60 --rotation 1 --seed 7",
    "burstfix simulate photo.jpg -o burst/ --noise-level low --cfa GBRG --bits 14 --hot-pixels 50",
    "burstfix simulate clip/ -o burst/ --first 12 --iso 3200      # a folder of frames",
)

# These options have no effect on a clip, which has its own motion.
_PHOTO_ONLY = ("shift", "rotation", "zoom", "perspective", "moving_object", "blur")


class Size(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # not generic in click 8.1
    """A size given as WIDTHxHEIGHT; its value is (height, width)."""

    name = "WIDTHxHEIGHT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse a size."""
        match = re.fullmatch(r"(\d+)x(\d+)", value)
        if not match:
            self.fail(f"{value!r}: expected WIDTHxHEIGHT, such as 800x600", param, ctx)
        return int(match[2]), int(match[1])


# Options of the recording.
_recording = options.stack(
    click.option("--frames", type=click.IntRange(1, 64), default=5, show_default=True, metavar="N",
                 help="Number of frames to record."),
    click.option("--reference", type=click.IntRange(min=1), default=None, metavar="N",
                 help="Reference frame; its ground truth is stored.  [default: the middle one]"),
    click.option("--first", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
                 help="First frame of a clip to use."),
    click.option("--size", type=Size(), metavar="WIDTHxHEIGHT", default=None,
                 help="Maximum size of the frames; they are cropped from the centre.  "
                      "[default: largest possible]"),
)  # fmt: skip

# Options of the camera.
_camera = options.stack(
    click.option("--camera", type=click.Choice(["random", "protocol"]), default="random", show_default=True,
                 help="Colour response of the camera: random (depends on the seed), or that of the REDS4 "
                      "protocol."),
    click.option("--tone-curve/--no-tone-curve", default=True, show_default=True,
                 help="Undo the contrast curve that the source is assumed to have."),
    click.option("--cfa", type=click.Choice(CFA_PATTERNS, case_sensitive=False), default="RGGB",
                 show_default=True, help="Bayer pattern."),
    click.option("--bits", type=click.Choice(["10", "12", "14"]), default="12", show_default=True,
                 help="Bits per sample of the raws."),
    click.option("--black-level", type=click.IntRange(min=0), default=None, metavar="DN",
                 help="Black level.  [default: 1/16 of full scale]"),
    click.option("--hot-pixels", type=click.IntRange(0, 100_000), default=0, show_default=True, metavar="N",
                 help="Number of hot pixels."),
)  # fmt: skip

# Options of the noise; at most one of them may be given.
_noise = options.stack(
    click.option("--noise", type=values.Value(kinds.noise()), metavar="S,O", default=None,
                 help="Noise: variance = S*x + O for x from 0 (black) to 1 (white)."),
    click.option("--noise-level", type=click.Choice(["high", "low"]), default=None,
                 help="Noise level of the REDS4 protocol.  [default: high]"),
    click.option("--iso", type=click.IntRange(25, 65535), default=None, metavar="N",
                 help="Noise of a small sensor at this ISO speed; 6400 equals --noise-level high."),
)  # fmt: skip

# Options of the motion.
_motion = options.stack(
    click.option("--shift", type=click.FloatRange(0, 1000), default=24.0, show_default=True, metavar="PIXELS",
                 help="Upper limit of the camera's shift; the largest shift reaches at least half of it."),
    click.option("--rotation", type=click.FloatRange(0, 10), default=0.3, show_default=True,
                 metavar="DEGREES", help="Standard deviation of a frame's rotation."),
    click.option("--zoom", type=click.FloatRange(0, 0.2), default=0.002, show_default=True, metavar="SHARE",
                 help="Standard deviation of a frame's change of scale."),
    click.option("--perspective", type=click.FloatRange(0, 0.1), default=0.001, show_default=True,
                 metavar="SHARE",
                 help="Standard deviation of the change of scale across 1000 pixels."),
    click.option("--object/--no-object", "moving_object", default=True, show_default=True,
                 help="Add an object that moves independently of the camera."),
    click.option("--blur", type=click.FloatRange(0, 1), default=0.0, show_default=True, metavar="SHARE",
                 help="Motion blur: shutter time as a share of the time between frames."),
)  # fmt: skip


@click.command("simulate", epilog=epilog(*EXAMPLES))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FOLDER",
              help="Folder to create, with DNGs, ground_truth.tif and simulation.json.")  # fmt: skip
@_recording
@_camera
@_noise
@_motion
@click.option("--seed", type=click.IntRange(0, 2**48), default=0, show_default=True, metavar="N",
              help="The same seed gives the same files.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an earlier simulated burst.")
@options.verbosity
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    output: Path,
    frames: int,
    reference: int | None,
    first: int,
    size: tuple[int, int] | None,
    camera: str,
    tone_curve: bool,
    cfa: str,
    bits: str,
    black_level: int | None,
    noise: tuple[float, float] | None,
    noise_level: str | None,
    iso: int | None,
    shift: float,
    rotation: float,
    zoom: float,
    perspective: float,
    moving_object: bool,
    blur: float,
    hot_pixels: int,
    seed: int,
    overwrite: bool,
) -> None:
    """Simulate a raw burst with ground truth from a photograph or a clip.

    SOURCE is a photograph or a clip (a folder of frames, or a video). For a photograph, a shaking camera is
    simulated. For a clip, consecutive frames are recorded without added motion. The output folder also
    contains the linear ground truth of the reference, and a JSON file with the true motion and all settings.
    """  # fmt: skip
    terminal = ctx.ensure_object(Terminal)
    if sum(x is not None for x in (noise, noise_level, iso)) > 1:
        raise UsageError("--noise, --noise-level and --iso cannot be used together; give one of them")

    from burstfix.sim.files import check_folder, noise_at, write_recording
    from burstfix.sim.motion import MotionSettings
    from burstfix.sim.recording import NOISE_LEVELS, RecordingSettings, record_clip, record_photo
    from burstfix.sim.sources import PICTURE_SUFFIXES, read_clip, read_picture

    if noise is not None:
        shot_gain, read_variance = noise
    elif iso is not None:
        shot_gain, read_variance = noise_at(iso)
    else:
        shot_gain, read_std = NOISE_LEVELS[noise_level or "high"]
        read_variance = read_std**2
    # Jitter is proportional to the shift, so that --shift 0 gives no motion.
    motion = MotionSettings(shift, min(1.0, shift / 10), rotation, zoom, perspective, least=0.5)
    settings = RecordingSettings(
        frames=frames,
        reference=None if reference is None else reference - 1,
        size=size,
        cfa=cfa,
        bits=int(bits),
        black_level=black_level,
        shot_gain=shot_gain,
        read_variance=read_variance,
        motion=motion,
        moving_object=moving_object,
        blur=blur,
        hot_pixels=hot_pixels,
        camera=camera,
        tone_curve=tone_curve,
        seed=seed,
    )
    settings.check()
    output = Path(output.absolute())
    check_folder(output, overwrite)
    is_photo = not source.is_dir() and source.suffix.lower() in PICTURE_SUFFIXES
    if is_photo:
        if ctx.get_parameter_source("first") is ParameterSource.COMMANDLINE:
            raise UsageError(f"--first applies to clips, but {source} is a photograph; leave it out")
        recording = record_photo(read_picture(source), settings)
    else:
        for name in _PHOTO_ONLY:
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                option = "object" if name == "moving_object" else name
                raise UsageError(f"--{option} applies to photographs, but {source} is a clip; leave it out")
        recording = record_clip(read_clip(source, first - 1, frames), settings)
    written = write_recording(recording, output, source=source.name, overwrite=overwrite)
    height, width = recording.mosaics.shape[1:]
    document = {
        "output": str(output),
        "frames": [{"path": str(path)} for path in written],
        "reference": {"number": settings.reference_index + 1, "path": str(written[settings.reference_index])},
        "height": height,
        "width": width,
        "noise": {"source": "given", "shot_gain": [shot_gain] * 4, "read_variance": [read_variance] * 4},
        "seed": seed,
    }
    text = (
        f"{output}: {frames} frames of {width}x{height}, {cfa}, {bits} bit, "
        f"noise S={shot_gain:.3g} O={read_variance:.3g}; with the ground truth of frame "
        f"{settings.reference_index + 1} (merge with --reference {settings.reference_index + 1})"
    )
    terminal.result(records.Simulate, document, lambda _: printable(text), closing=True)
