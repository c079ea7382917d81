"""`MergeSettings`: all settings of a merge, shared by `merge`, `batch` and the Python interface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from burstfix.io.write.formats import (
    BIT_DEPTHS,
    DEFAULT_FORMAT,
    DEFAULT_QUALITY,
    DNG_COMPRESSIONS,
    FORMAT_NAMES,
    DngCompression,
    depths_help,
    quality_help,
)
from burstfix.settings import kinds
from burstfix.settings.setting import check_settings, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSettings:
    """All settings of a merge. Settings files and command-line options use the same names.

    The raws, the reference and the output path differ from burst to burst. They are arguments of the
    functions that need them, not settings.

    Example:
        >>> settings = MergeSettings(model="average", exposure=0.5)
        >>> settings.rendering()["exposure"]
        0.5

    Attributes:
        noise: (S, O) of variance = S*x + O for x from 0 (black) to 1 (white); "file" = the profile in the
            file; "measure" = measured on the burst; None = from the file if consistent with the burst,
            otherwise measured.
        noise_profiles: TOML file with noise profiles of cameras, for raws without a profile; or None.
        opcodes: "apply" or "skip" the corrections stored in a DNG as opcodes.
        skip_bad: Leave out frames that cannot be read or do not belong to the burst, instead of raising an
            error.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        format: Name of an output format; None = from the suffix of the output; TIFF if it has none.
        bit_depth: Bits per channel, 8 or 16; None = the default of the format.
        quality: Quality of lossy formats, 1 to 100.
        scale: Scale factor for height and width, above 0 and at most 1.
        max_size: Largest height and width of the picture in pixels; 0 = no limit.
        dng: Kind of DNG to write: "linear" (demosaicked) or "mosaic".
        dng_compression: Compression of a DNG: "none", "ljpeg" (lossless JPEG) or "jxl" (lossless JPEG XL,
            DNG 1.7).
        look: Name of a built-in look ("natural", "plain", "vivid"), or a look file (docs/looks.md).
        wb: White balance: "camera", "auto" or three gains (R, G, B); None = the value in the look.
        exposure: Exposure correction in EV, -20 to 20, or "auto"; None = the value in the look.
        grain: Share of the reference's luminance noise to add, 0 to 1; None = the value in the look.
        color_space: Colour space of the picture: "srgb", "display-p3", "rec2020" or "prophoto".
        model: "auto", the name of a model, or a .safetensors file.
        device: "auto", or one of `kinds.DEVICE_TYPES`; "cuda:1" for the second CUDA device.
        tile: Side of a tile in sensor pixels; 0 = chosen from the free memory.
        precision: Arithmetic: "auto", "float32", "bfloat16" or "float16".
        strength: Multiplier of the noise level, 0 (keep the grain) to 2; 1 = as measured.
        ensemble: Number of rotated and mirrored views that a network averages: 1, 2, 4 or 8.

    Raises:
        UsageError: A value is invalid; the message names the setting.
    """

    noise: tuple[float, float] | Literal["file", "measure"] | None = setting(
        None,
        kinds.noise("file", "measure"),
        "Noise: variance = S*x + O for x from 0 (black) to 1 (white). file uses the profile in the file; "
        "measure ignores it.",
        group="reading",
        default_text="from the file if consistent with the burst, otherwise measured",
    )
    noise_profiles: str | None = setting(
        None,
        kinds.text(metavar="FILE", optional=True),
        "Noise table for files that lack a noise profile (see burstfix noise-profile).",
        group="reading",
        default_text="noise_profiles.toml in the user's config folder, if it exists",
    )
    opcodes: Literal["apply", "skip"] = setting(
        "apply",
        kinds.one_of("apply", "skip"),
        "Apply or skip the corrections stored in a DNG: lens shading, bad pixels, lens distortion.",
        group="reading",
    )
    skip_bad: bool = setting(
        False,
        kinds.flag(),
        "Leave out frames that cannot be read or do not belong to the burst, instead of stopping.",
        group="reading",
    )
    keep_all: bool = setting(
        False, kinds.flag(), "Keep frames that are blurred or do not overlap the reference.", group="reading"
    )
    format: str | None = setting(
        None,
        kinds.one_of(*FORMAT_NAMES, optional=True),
        "Format of the picture.",
        group="picture",
        default_text=f"from the suffix of the output; {DEFAULT_FORMAT.name} if it has none",
    )
    bit_depth: int | None = setting(
        None, kinds.one_of(*BIT_DEPTHS, optional=True), "Bits per channel.", group="picture",
        default_text=depths_help(),
    )  # fmt: skip
    quality: int = setting(
        DEFAULT_QUALITY, kinds.whole(1, 100), f"Quality of {quality_help()}.", group="picture"
    )
    scale: float = setting(
        1.0,
        kinds.number(0.01, 1, metavar="0.01..1"),
        "Scale factor for height and width.",
        group="picture",
    )
    max_size: int = setting(
        0,
        kinds.whole(0, metavar="PIXELS"),
        "Reduce the picture so that neither height nor width exceeds this size; 0 = no limit.",
        group="picture",
    )
    dng: Literal["linear", "mosaic"] = setting(
        "linear",
        kinds.one_of("linear", "mosaic"),
        "Kind of DNG to write: linear (demosaicked), or mosaic (a Bayer mosaic that another raw converter "
        "demosaics).",
        group="picture",
    )
    dng_compression: DngCompression = setting(
        "ljpeg",
        kinds.one_of(*DNG_COMPRESSIONS),
        "Compression of a DNG, always lossless; jxl (DNG 1.7) is smaller, but few raw converters can "
        "read it.",
        group="picture",
    )
    look: str = setting(
        "natural", kinds.look(), "Style of the rendering (burstfix looks lists them).", group="rendering"
    )
    wb: str | tuple[float, float, float] | None = setting(
        None, kinds.white_balance(), "White balance.", group="rendering", default_text="the value in the look"
    )
    exposure: float | str | None = setting(
        None,
        kinds.exposure("auto"),
        "Exposure correction in stops; positive values brighten. auto is chosen per picture; use a number to "
        "treat a series alike.",
        group="rendering",
        default_text="the value in the look",
    )
    grain: float | None = setting(
        None,
        kinds.number(0, 1, optional=True),
        "Share of one frame's luminance noise to add to the picture.",
        group="rendering",
        default_text="the value in the look",
    )
    color_space: str = setting(
        "srgb",
        kinds.one_of("srgb", "display-p3", "rec2020", "prophoto"),
        "Colour space of the picture.",
        group="rendering",
    )
    model: str = setting(
        "auto",
        kinds.text(metavar="NAME|FILE"),
        "Model to use: auto, a name (burstfix weights list), or a .safetensors file.",
        group="compute",
        short="-m",
    )
    device: str = setting(
        "auto",
        kinds.device(),
        "Device to run on; auto = the first GPU that computes correctly, otherwise the CPU.",
        group="compute",
    )
    tile: int = setting(
        0,
        kinds.whole(0, metavar="PIXELS"),
        "Side of a tile in sensor pixels; 0 = chosen from the free memory.",
        group="compute",
        short="-t",
    )
    precision: str = setting(
        "auto",
        kinds.one_of("auto", "float32", "bfloat16", "float16"),
        "Arithmetic; auto = bfloat16 if the device supports it, otherwise float32.",
        group="compute",
    )
    strength: float = setting(
        1.0,
        kinds.number(0, 2),
        "Multiplier of the noise level; values below 1 keep grain.",
        group="compute",
    )
    ensemble: int = setting(
        1,
        kinds.one_of(1, 2, 4, 8),
        "Number of rotated and mirrored views that a network averages; more views reduce noise, but take "
        "more time.",
        group="compute",
    )

    def __post_init__(self) -> None:
        """Check all values."""
        check_settings(self)

    def for_preview(self) -> Self:
        """Return the settings for a preview, in which "auto" is the fastest model: small frames are clean."""
        return replace(self, model="average") if self.model == "auto" else self

    def reading(self) -> dict[str, Any]:
        """Return the keyword arguments for `read_burst`."""
        names = ("noise", "noise_profiles", "skip_bad", "keep_all", "opcodes")
        return {name: getattr(self, name) for name in names}

    def merging(self) -> dict[str, Any]:
        """Return the keyword arguments for `merge_burst`, except `mosaic`, which depends on the output."""
        names = ("model", "device", "tile", "precision", "strength", "ensemble")
        return {name: getattr(self, name) for name in names}

    def rendering(self) -> dict[str, Any]:
        """Return the keyword arguments for `render`."""
        names = ("look", "exposure", "grain", "color_space")
        return {"white_balance": self.wb} | {name: getattr(self, name) for name in names}
