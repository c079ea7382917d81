"""The pipeline from raws to a picture on one page. Read this first.

burst = read_burst(paths)        # decode, check, analyse: io.read, analysis
linear = merge_burst(burst)      # a model, run in tiles: engine
finish_picture(linear, "a.tif")  # render and write: color, io.write
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from burstfix.analysis.burst import prepare_burst
from burstfix.analysis.clipping import with_real_white
from burstfix.analysis.noise_table import NoiseTable, load_table
from burstfix.analysis.provenance import merge_settings
from burstfix.analysis.remaining_noise import noise_left
from burstfix.color import render
from burstfix.color.preview import preview_as_stored, preview_of
from burstfix.color.resize import smaller
from burstfix.engine.infer import merge_tiled
from burstfix.engine.network import model_for, network_for, view_count
from burstfix.engine.select import select_device
from burstfix.io import read_frames, write_image
from burstfix.io.read.frames import ReadFrames
from burstfix.io.read.paths import expand
from burstfix.io.write.formats import DngCompression, format_of
from burstfix.io.write.merged_dng import write_merged_dng
from burstfix.io.write.raw_guard import refuse_raw
from burstfix.models.base import BurstModel
from burstfix.opcodes import OpcodeMode
from burstfix.raw.green_balance import balance_greens
from burstfix.raw.merged_picture import linear_image
from burstfix.raw.reduce import reduce_frame, reduce_noise
from burstfix.settings import MergeSettings
from burstfix.types import Burst, LinearImage, NoiseChoice, NoiseProfile, Progress, RenderedImage

__all__ = [
    "Finished",
    "finish_picture",
    "merge_burst",
    "model_for",
    "read_burst",
    "write_dng",
]


def read_burst(
    paths: Path | str | Iterable[Path | str] | ReadFrames,
    *,
    reference: int | str | Path | None = None,
    noise: NoiseProfile | tuple[float, float] | NoiseChoice | None = None,
    skip_bad: bool = False,
    keep_all: bool = False,
    opcodes: OpcodeMode = "apply",
    noise_profiles: NoiseTable | Path | str | None = None,
    preview: bool = False,
    progress: Progress | None = None,
) -> Burst:
    """Read the raws of one burst, and analyse motion, noise and sharpness.

    Args:
        paths: A folder (subfolders are not searched), a raw file, or several raw files in any order.
            Duplicates, `._*` files and files that are not raws are skipped. Or the result of `read_frames`;
            then `skip_bad` and `opcodes` have no effect.
        reference: Frame to which the others are aligned; the result has its framing. It is given as an index
            in time order (0 is the first) or as a file. If None, the sharpest frame near the middle is
            chosen, or another one if most frames do not overlap that frame.
        noise: A profile, or (shot gain, read variance) for all planes; "file" for the profile in the file of
            the reference; "measure" for a measurement on the burst. If None, the first available profile is
            used: that of the file, unless a burst of three or more frames contradicts it; that of the table;
            the measured one.
        skip_bad: Leave out frames that cannot be read or do not belong to the burst, instead of raising.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        opcodes: "apply" or "skip" the corrections stored in a DNG (opcode lists) in the merge.
        noise_profiles: Noise profiles of cameras, for files without one: a table, or its TOML file.
        preview: Reduce height and width to a quarter directly after decoding, and do not apply opcodes. The
            merge then takes about a sixteenth of the time.
        progress: Called with (stage, done, total); the stages are "decode" and "prepare".

    Raises:
        InputError: A file cannot be read, or its sensor is not supported.
        BurstError: The frames are not one burst.
        UsageError: The reference is not a frame of the burst, or the given noise is invalid.
    """
    if isinstance(noise_profiles, (str, Path)):
        noise_profiles = load_table(Path(noise_profiles))
    if isinstance(paths, ReadFrames):
        read = paths
    else:
        files = expand([paths] if isinstance(paths, (str, Path)) else list(paths))
        mode = "skip" if preview else opcodes
        read = read_frames(files, skip_bad=skip_bad, opcodes=mode, progress=progress)
    clipped = with_real_white(read.frames)
    profile = NoiseProfile.uniform(*noise) if isinstance(noise, tuple) else noise
    frames = clipped.frames
    if preview:
        frames = tuple(reduce_frame(frame) for frame in frames)
        profile = reduce_noise(profile) if isinstance(profile, NoiseProfile) else profile
    return prepare_burst(
        frames,
        reference=reference,
        noise=profile,
        table=None if preview else noise_profiles,  # tables contain the noise of frames of full size
        keep_all=keep_all,
        dropped=read.dropped,
        warnings=(*read.warnings, *clipped.warnings),
        progress=progress,
    )


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
    measure_noise: bool = False,
    progress: Progress | None = None,
) -> LinearImage:
    """Merge a burst into one clean linear picture of its reference.

    Args:
        burst: From `read_burst`.
        model: "auto" (the best built-in model for the device), the name of a model, a .safetensors file, or
            a model.
        device: "auto" (the first GPU that computes correctly, otherwise the CPU), "cpu", "cuda", "mps" or
            "xpu".
        tile: Side of the tiles in sensor pixels; 0 = chosen from the free memory. It changes the result only
            by rounding errors.
        precision: "auto" (bfloat16 if the device supports it, otherwise float32), "float32", "bfloat16"
            or "float16".
        strength: Multiplier of the noise level, 0 (keep the grain) to 2; 1 = as measured.
        ensemble: Number of rotated and mirrored views that a network averages: 1, 2, 4 or 8. More views give
            less noise, but the time grows with their number.
        mosaic: Stop before demosaicking, for a DNG that a raw converter will demosaick. The raw converter
            then also applies opcode list 3. This has no effect on frames without a Bayer mosaic.
        measure_noise: Measure the remaining noise for the NoiseProfile of a DNG. For 12 megapixels, the merge
            then takes a few percent longer.
        progress: Called with (stage, done, total); the stages are "align" and "merge".

    Returns:
        A picture with `data` float32 (3, H, W), camera RGB: 0 = black, 1 = white, unclipped, not
        white-balanced. With `mosaic`, `data` is (1, H, W).

    Raises:
        UsageError: The model, device or precision is unknown, or the model cannot merge this kind of frame.
        WeightsError: Weights are missing or damaged.
        OutOfMemoryError: Memory ran out after every fallback.
    """
    chosen = select_device(device)
    network = network_for(burst, model, chosen.type, ensemble)
    merged = merge_tiled(
        burst,
        network,
        device=chosen,
        tile=tile,
        precision=precision,
        strength=strength,
        mosaic=mosaic,
        measure_noise=measure_noise,
        progress=progress,
    )
    linear = linear_image(merged.data, burst.frames[burst.reference])
    settings = merge_settings(burst, network.info.name, view_count(network), strength)
    return replace(linear, settings=settings, maps=merged.maps, noise=merged.noise)


def write_dng(
    linear: LinearImage,
    path: Path | str,
    *,
    preview: RenderedImage | None = None,
    compression: DngCompression = "ljpeg",
    overwrite: bool = False,
) -> Path:
    """Write a merged burst as a DNG: a mosaic if `linear.data` has one channel, otherwise a linear DNG.

    The NoiseProfile is `linear.noise` if it was measured. Otherwise it is an estimate from flat parts of the
    picture, which is too low for networks. Differences between the two greens of a mosaic are removed; see
    `raw.green_balance`.

    Args:
        linear: From `merge_burst`.
        path: Output file, usually with the suffix ".dng".
        preview: Preview from `preview_of`; by default it is rendered here.
        compression: "none", "ljpeg" (lossless JPEG), or "jxl" (lossless JPEG XL, DNG 1.7).
        overwrite: Replace an existing file.

    Returns:
        The path of the file.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    refuse_raw(Path(path))
    stored = preview_as_stored(preview or preview_of(linear), linear.metadata.orientation)
    noise = linear.noise or noise_left(linear)
    return write_merged_dng(
        path,
        balance_greens(linear, noise).data,
        linear.metadata,
        stored,
        noise=noise,
        compression=compression,
        overwrite=overwrite,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A picture that has been written.

    Attributes:
        image: The rendered picture, or the preview of a DNG.
        height, width: Size of the picture in the file.
    """

    image: RenderedImage
    height: int
    width: int


def finish_picture(
    linear: LinearImage, path: Path | str, settings: MergeSettings, *, overwrite: bool = False
) -> Finished:
    """Render a merged burst and write it. The suffix of the file determines the format.

    A raw format (DNG) stores the linear image for a raw converter, neither rotated upright nor cropped.

    Args:
        linear: From `merge_burst`.
        path: Output file.
        settings: Settings. A picture uses rendering, size, bit depth and quality; a DNG uses the compression.
        overwrite: Replace an existing file.

    Raises:
        OutputError: The file exists or cannot be written.
        UsageError: The format does not support these settings.
    """
    row = format_of(path)
    if row is not None and row.is_raw:
        preview = preview_of(linear)
        write_dng(linear, path, preview=preview, compression=settings.dng_compression, overwrite=overwrite)
        return Finished(preview, *linear.data.shape[1:])
    image = smaller(render(linear, **settings.rendering()), scale=settings.scale, max_size=settings.max_size)
    write_image(image, path, bit_depth=settings.bit_depth, quality=settings.quality, overwrite=overwrite)
    return Finished(image, *image.data.shape[:2])
