"""The product on one page: raws in, a burst, a linear picture. Read this first.

burst = read_burst(paths)        # io.read_frames, then prepare.prepare_burst
linear = merge_burst(burst)      # a model from checkpoints, run in tiles by the engine
image = color.render(linear)     # display RGB
io.write_image(image, "out.tif")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from burstfix import __version__
from burstfix.checkpoints import load_model
from burstfix.engine import merge_tiled
from burstfix.errors import InputError
from burstfix.io import ReadFrames, read_frames
from burstfix.models.base import BurstModel
from burstfix.opcodes import plan_opcodes, summary
from burstfix.prepare import prepare_burst
from burstfix.raw.picture_opcodes import apply_to_picture
from burstfix.types import Burst, DroppedFrame, LinearImage, NoiseProfile, OpcodeMode

Progress = Callable[[str, int, int], None]


def read_burst(
    paths: Iterable[Path | str],
    *,
    reference: int | str | Path | None = None,
    noise: NoiseProfile | tuple[float, float] | None = None,
    skip_bad: bool = False,
    keep_all: bool = False,
    opcodes: OpcodeMode = "apply",
    progress: Progress | None = None,
) -> Burst:
    """Reads raws of one burst and decides what a merge needs to know.

    Args:
        paths: Raw files in any order; duplicates, `._*` files and files that are no raws are skipped.
        reference: The frame that the result shall look like: index in time order (0 is the first), or file.
            None takes the sharpest of the frames nearest the middle.
        noise: A profile, or (shot gain, read variance) for all planes. None takes the reference file's own,
            else measures it on the burst.
        skip_bad: Leave out frames that cannot be read or do not fit, instead of raising.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        opcodes: Whether the corrections that DNGs ask for (opcode lists) are applied in the merge.
        progress: Called with (stage, done, total), here with the stage "decode".

    Raises:
        InputError: A file cannot be read or its sensor is not supported.
        BurstError: The frames are not one burst.
        UsageError: There is no such reference.
    """
    read = read_frames(paths, skip_bad=skip_bad, progress=progress)
    read = _with_usable_opcodes(read, opcodes, skip_bad)
    if isinstance(noise, tuple):
        shot_gain, read_variance = noise
        noise = NoiseProfile(
            (shot_gain, shot_gain, shot_gain, shot_gain),
            (read_variance, read_variance, read_variance, read_variance),
            "given",
        )
    burst = prepare_burst(
        read.frames,
        reference=reference,
        noise=noise,
        keep_all=keep_all,
        dropped=read.dropped,
        warnings=read.warnings,
    )
    return replace(burst, opcodes=opcodes)


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
    progress: Progress | None = None,
) -> LinearImage:
    """Merges a burst into one clean linear picture of its reference.

    Args:
        burst: From `read_burst`.
        model: "auto" (the best that ships for the device), a name of the catalogue, a .safetensors file, or
            a model.
        device: "auto", "cpu", "cuda" or "cuda:N".
        tile: Side of the tiles in sensor pixels; 0 chooses by free memory. The result does not depend on it.
        precision: "auto" (bfloat16 on CUDA, float32 on CPUs), "float32", "bfloat16" or "float16".
        strength: How strong the noise is taken to be, 0 (keep the grain) to 2; 1 = as measured.
        progress: Called with (stage, done, total), stages "align" and "merge".

    Returns:
        `data` float32 (3, H, W) camera RGB: 0 = black, 1 = white, unclipped, not white-balanced.

    Raises:
        UsageError: Unknown model, device or precision.
        WeightsError: Weights are missing or damaged.
        OutOfMemoryError: Memory ran out after every fallback.
    """
    network = load_model(model, device) if isinstance(model, str) else model
    data = merge_tiled(
        burst,
        network,
        device=device,
        tile=tile,
        precision=precision,
        strength=strength,
        progress=progress,
    )
    metadata = burst.frames[burst.reference].metadata
    plan = plan_opcodes(metadata, burst.opcodes)
    data = apply_to_picture(data, plan)
    metadata = replace(metadata, height=data.shape[1], width=data.shape[2])
    if burst.opcodes == "apply":
        metadata = replace(metadata, opcodes=None)
    return LinearImage(data, metadata, _settings(burst, network, strength))


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
        "hot_pixels": len(burst.hot_pixels),
        "opcodes": summary(burst.frames[burst.reference].metadata, burst.opcodes),
    }
