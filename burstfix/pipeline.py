"""The product on one page: raws in, a burst, a linear picture. Read this first.

burst = read_burst(paths)        # io.read_frames, then prepare.prepare_burst
linear = merge_burst(burst)      # a model from checkpoints, run in tiles by the engine
image = color.render(linear)     # display RGB
io.write_image(image, "out.tif")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from burstfix._version import __version__
from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.burst_noise import FALLBACK_NOISE
from burstfix.analysis.noise_table import NoiseTable, camera_key
from burstfix.analysis.remaining_noise import noise_left
from burstfix.checkpoints import load_model
from burstfix.color import render
from burstfix.color.orientation import as_stored
from burstfix.color.preview import preview_of
from burstfix.engine import merge_tiled
from burstfix.errors import InputError, UsageError
from burstfix.io import ReadFrames, read_frames, read_metadata, write_image
from burstfix.io.write.merged_dng import write_merged_dng
from burstfix.models.base import BurstModel
from burstfix.models.ensemble import SelfEnsemble, self_ensemble
from burstfix.opcodes import plan_opcodes, summary
from burstfix.raw.picture_opcodes import apply_to_picture
from burstfix.types import (
    CFA_PATTERNS,
    MONOCHROME,
    Burst,
    DroppedFrame,
    LinearImage,
    NoiseChoice,
    NoiseProfile,
    OpcodeLists,
    OpcodeMode,
    RenderedImage,
)

Progress = Callable[[str, int, int], None]


def read_burst(
    paths: Iterable[Path | str],
    *,
    reference: int | str | Path | None = None,
    noise: NoiseProfile | tuple[float, float] | NoiseChoice | None = None,
    skip_bad: bool = False,
    keep_all: bool = False,
    opcodes: OpcodeMode = "apply",
    noise_profiles: NoiseTable | None = None,
    progress: Progress | None = None,
) -> Burst:
    """Reads raws of one burst and decides what a merge needs to know.

    Args:
        paths: Raw files in any order; duplicates, `._*` files and files that are no raws are skipped.
        reference: The frame that the result shall look like: index in time order (0 is the first), or file.
            None takes the sharpest of the frames nearest the middle, or another if most frames do not overlap
            that one.
        noise: A profile, or (shot gain, read variance) for all planes. None takes the reference file's own,
            or what three frames and more show if that is clearly another, else the table's, else measures it
            on the burst. "file" believes the file; "measure" measures whatever file and table say.
        skip_bad: Leave out frames that cannot be read or do not fit, instead of raising.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        opcodes: Whether the corrections that DNGs ask for (opcode lists) are applied in the merge.
        noise_profiles: Noise of cameras whose files do not say it.
        progress: Called with (stage, done, total), stages "decode" and "prepare".

    Raises:
        InputError: A file cannot be read or its sensor is not supported.
        BurstError: The frames are not one burst.
        UsageError: There is no such reference, or the noise given is impossible.
    """
    read = read_frames(paths, skip_bad=skip_bad, progress=progress)
    read = _with_usable_opcodes(read, opcodes, skip_bad)
    if isinstance(noise, tuple):
        noise = NoiseProfile.uniform(*noise)
    burst = prepare_burst(
        read.frames,
        reference=reference,
        noise=noise,
        table=noise_profiles,
        keep_all=keep_all,
        dropped=read.dropped,
        warnings=read.warnings,
        progress=progress,
    )
    return replace(burst, opcodes=opcodes)


@dataclass(frozen=True, slots=True)
class MeasuredNoise:
    """What `measure_noise` found for one camera and ISO, on so many frames."""

    camera: str
    iso: float
    frames: int
    noise: NoiseProfile


def measure_noise(
    paths: Iterable[Path | str], *, progress: Progress | None = None
) -> tuple[MeasuredNoise, ...]:
    """Measures noise on bursts or flat frames, one for each camera and ISO, whatever the files say of it.

    Raises:
        InputError: A file cannot be read, does not say its ISO, or is not fit to be measured.
        BurstError: Frames of one camera and ISO do not belong together.
    """
    groups: dict[tuple[str, float], list[Path]] = {}
    for path in map(Path, paths):
        metadata = read_metadata(path)
        if metadata.iso is None:
            raise InputError(f"{path}: does not say its ISO, by which noise is looked up")
        groups.setdefault((camera_key(metadata), metadata.iso), []).append(path)
    found = []
    for (camera, iso), group in sorted(groups.items()):
        frames = [
            replace(frame, metadata=replace(frame.metadata, noise=None))
            for frame in read_frames(group, progress=progress).frames
        ]
        burst = prepare_burst(frames, progress=progress)
        if burst.noise is FALLBACK_NOISE:
            raise InputError(f"{group[0]}: its noise cannot be measured; give flat, well exposed frames")
        found.append(MeasuredNoise(camera, iso, len(burst.frames), burst.noise))
    return tuple(found)


def _with_usable_opcodes(read: ReadFrames, mode: OpcodeMode, skip_bad: bool) -> ReadFrames:
    """The frames whose opcode lists can be followed: all of them, unless `skip_bad`; raises InputError."""
    frames, dropped, warnings = [], list(read.dropped), list(read.warnings)
    for frame in read.frames:
        try:
            plan_opcodes(frame.metadata, mode)
            frames.append(frame)
        except InputError as error:
            if not skip_bad:
                raise
            path = frame.metadata.path
            dropped.append(DroppedFrame(path, str(error).removeprefix(f"{path}: ")))
            warnings.append(f"{path}: left out, {dropped[-1].reason}")
    if not frames:
        raise InputError(f"no frame is left; {warnings[0]}")
    return ReadFrames(tuple(frames), tuple(dropped), tuple(warnings))


def merge_burst(
    burst: Burst,
    *,
    model: str | BurstModel = "auto",
    device: str = "auto",
    tile: int = 0,
    precision: str = "auto",
    strength: float = 1.0,
    ensemble: int = 1,
    mosaic: bool = False,
    progress: Progress | None = None,
) -> LinearImage:
    """Merges a burst into one clean linear picture of its reference.

    Args:
        burst: From `read_burst`.
        model: "auto" (the best that ships for the device), a name of the catalogue, a .safetensors file, or
            a model.
        device: "auto", "cpu", "cuda" or "cuda:N".
        tile: Side of the tiles in sensor pixels; 0 chooses by free memory. Changes nothing but rounding.
        precision: "auto" (bfloat16 where the device computes in it, else float32), "float32", "bfloat16" or
            "float16".
        strength: How strong the noise is taken to be, 0 (keep the grain) to 2; 1 = as measured.
        ensemble: 1, 2, 4 or 8 views, turned and mirrored, whose mean a network gives: cleaner, but that takes
            as many times as long.
        mosaic: Stop before demosaicking, for a DNG that others develop; opcode list 3 stays to be done.
        progress: Called with (stage, done, total), stages "align" and "merge".

    Returns:
        `data` float32 (3, H, W) camera RGB: 0 = black, 1 = white, unclipped, not white-balanced; with
        `mosaic` (1, H, W), of frames that have one.

    Raises:
        UsageError: Unknown model, device or precision, or the model cannot merge such frames.
        WeightsError: Weights are missing or damaged.
        OutOfMemoryError: Memory ran out after every fallback.
    """
    metadata = burst.frames[burst.reference].metadata
    has_mosaic = metadata.cfa in CFA_PATTERNS
    network = load_model(model_for(burst, model), device) if isinstance(model, str) else model
    network = self_ensemble(network, ensemble)
    if not has_mosaic and not network.info.any_planes:
        raise UsageError(
            f"model {network.info.name} merges Bayer mosaics, these frames are {metadata.cfa}; "
            "use --model average"
        )
    data = merge_tiled(
        burst,
        network,
        device=device,
        tile=tile,
        precision=precision,
        strength=strength,
        mosaic=mosaic or not has_mosaic,
        progress=progress,
    )
    plan = plan_opcodes(metadata, burst.opcodes)
    left = None if burst.opcodes == "apply" else metadata.opcodes
    cfa = metadata.cfa
    if mosaic and has_mosaic:
        top, left_column, bottom, right = plan.crop
        data = data[:, top:bottom, left_column:right]
        cfa = _pattern_from(cfa, top, left_column)
        # Lens corrections want colours at every pixel: whoever demosaics does them.
        if metadata.opcodes is not None and metadata.opcodes.third:
            left = replace(left or OpcodeLists(), third=metadata.opcodes.third)
    else:
        data = apply_to_picture(data, plan)
    if cfa == MONOCHROME:
        data = np.repeat(data, 3, axis=0)
    if data.shape[1:] != (metadata.height, metadata.width):
        metadata = replace(metadata, default_crop=None)  # counted from a corner that has been trimmed off
    metadata = replace(metadata, height=data.shape[1], width=data.shape[2], cfa=cfa, opcodes=left)
    return LinearImage(data, metadata, _settings(burst, network, strength))


def model_for(burst: Burst, model: str) -> str:
    """The model to load for a burst: "auto" is no network where there is no Bayer mosaic."""
    has_mosaic = burst.frames[burst.reference].metadata.cfa in CFA_PATTERNS
    return "average" if model == "auto" and not has_mosaic else model


def _pattern_from(cfa: str, top: int, left: int) -> str:
    """The Bayer pattern as it begins at another pixel."""
    return "".join(cfa[2 * ((y + top) % 2) + (x + left) % 2] for y in (0, 1) for x in (0, 1))


def _settings(burst: Burst, model: BurstModel, strength: float) -> dict[str, Any]:
    """What a picture's tags say about its making."""
    return {
        "burstfix": __version__,
        "model": model.info.name,
        "reference": burst.frames[burst.reference].metadata.path.name,
        "frames": [frame.metadata.path.name for frame in burst.frames],
        "left_out": [frame.path.name for frame in burst.dropped],
        "noise": {
            "source": burst.noise.source,
            "shot_gain": list(burst.noise.shot_gain),
            "read_variance": list(burst.noise.read_variance),
        },
        "strength": strength,
        "ensemble": len(model.views) if isinstance(model, SelfEnsemble) else 1,
        "hot_pixels": len(burst.hot_pixels),
        "opcodes": summary(burst.frames[burst.reference].metadata, burst.opcodes),
    }


def write_dng(
    linear: LinearImage, path: Path | str, *, preview: RenderedImage | None = None, overwrite: bool = False
) -> Path:
    """Writes a merged burst as a DNG: linear, or a Bayer mosaic where `linear.data` has one channel.

    Args:
        linear: From `merge_burst`.
        path: Where to; ".dng" by custom.
        preview: From `preview_of`, by default made here.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path written.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    data, metadata = linear.data, linear.metadata
    preview = preview or preview_of(linear)
    # The file's Orientation holds for the preview as well.
    stored = np.ascontiguousarray(as_stored(preview.data, metadata.orientation))
    preview = replace(preview, data=stored)
    if metadata.cfa == MONOCHROME:
        data = data[:1]
    return write_merged_dng(path, data, metadata, preview, noise=noise_left(linear), overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class Finish:
    """How a merged burst becomes a picture.

    Attributes:
        white_balance, exposure, tone, color_space: As `color.render` takes them.
        bit_depth: 8 or 16; None: 16, for JPEG 8.
        quality: Of a JPEG, 1 to 100.
    """

    white_balance: Any = "camera"
    exposure: Any = 0.0
    tone: Any = "none"
    color_space: str = "srgb"
    bit_depth: int | None = None
    quality: int = 95


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A picture that has been written.

    Attributes:
        image: As rendered; of a DNG, its preview.
        height, width: Of the picture in the file.
    """

    image: RenderedImage
    height: int
    width: int


def finish_picture(
    linear: LinearImage, path: Path | str, finish: Finish, *, overwrite: bool = False
) -> Finished:
    """Renders a merged burst and writes it; the format follows from the name.

    A DNG (".dng") stays linear: how it is rendered is left to who develops it.

    Raises:
        OutputError: The file exists or cannot be written.
        UsageError: Settings that the format does not have.
    """
    if Path(path).suffix.lower() == ".dng":
        preview = preview_of(linear)
        write_dng(linear, path, preview=preview, overwrite=overwrite)
        return Finished(preview, *linear.data.shape[1:])  # neither turned upright nor cropped
    image = render(
        linear,
        white_balance=finish.white_balance,
        exposure=finish.exposure,
        tone=finish.tone,
        color_space=finish.color_space,
    )
    write_image(image, path, bit_depth=finish.bit_depth, quality=finish.quality, overwrite=overwrite)
    return Finished(image, *image.data.shape[:2])
