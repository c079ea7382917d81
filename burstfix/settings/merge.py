"""`MergeSettings`: everything that one merge can be told, for `merge`, `batch` and Python alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
    """How a burst becomes a picture. The names are those of burstfix.toml and of the options.

    Which raws, which of them is the reference, and where the picture goes belong to one burst: they are
    arguments of the functions that need them, not settings.

    Example:
        >>> settings = MergeSettings(model="average", exposure=0.5)
        >>> settings.rendering()["exposure"]
        0.5

    Attributes:
        noise: (S, O) of variance = S*x + O for x from 0 (black) to 1 (white); "file" uses the file's own
            profile, "measure" measures the burst; None = from the file if consistent with the burst,
            otherwise measured.
        noise_profiles: TOML file with the noise of cameras whose raws lack a profile, or None.
        opcodes: "apply" or "skip" the corrections that DNGs ask for.
        skip_bad: Leave out frames that are unreadable or do not fit, instead of failing.
        keep_all: Keep frames that are blurred or do not overlap the reference.
        format: Name of an output format; None = by the name of the output, else TIFF.
        bit_depth: Bits per channel, 8 or 16; None = the default of the format.
        quality: 1 to 100, for lossy formats.
        scale: Factor on the size of the picture, above 0 to 1.
        max_size: Largest height and width of the picture in pixels; 0 = no limit.
        dng: Kind of a DNG: "linear" (demosaicked) or "mosaic".
        dng_compression: Of a DNG: "none", "ljpeg" (lossless JPEG) or "jxl" (lossless JPEG XL, DNG 1.7).
        look: Name of a look that ships ("natural", "plain", "vivid"), or a look file (docs/looks.md).
        wb: White balance: "camera", "auto" or three gains (R, G, B); None = as the look says.
        exposure: EV to add, -20 to 20, or "auto"; None = as the look says.
        grain: Share of the reference's luminance noise to add, 0 to 1; None = as the look says.
        color_space: "srgb", "display-p3", "rec2020" or "prophoto".
        model: "auto", a name of the catalogue, or a .safetensors file.
        device: "auto", or one of `kinds.DEVICE_TYPES`; "cuda:1" for the second one.
        tile: Side of a tile in sensor pixels; 0 = from the free memory.
        precision: "auto", "float32", "bfloat16" or "float16".
        strength: Factor on the noise level, 0 (keep the grain) to 2; 1 = as measured.
        ensemble: Number of turned and mirrored views that a network averages: 1, 2, 4 or 8.

    Raises:
        UsageError: A value makes no sense; the message names the setting.
    """

    noise: tuple[float, float] | Literal["file", "measure"] | None = setting(
        None,
        kinds.noise("file", "measure"),
        "Noise, variance = S*x + O for x from 0 (black) to 1 (white); file uses the file's profile, "
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
        "Corrections that DNGs ask for: lens shading, bad pixels, lens distortion.",
        group="reading",
    )
    skip_bad: bool = setting(
        False,
        kinds.flag(),
        "Leave out frames that are unreadable or do not fit, instead of stopping.",
        group="reading",
    )
    keep_all: bool = setting(
        False, kinds.flag(), "Keep frames that are blurred or do not overlap.", group="reading"
    )
    format: str | None = setting(
        None,
        kinds.one_of(*FORMAT_NAMES, optional=True),
        "Format of the picture.",
        group="picture",
        default_text=f"by the name, else {DEFAULT_FORMAT.name}",
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
        "Reduce the picture to this share of its height and width.",
        group="picture",
    )
    max_size: int = setting(
        0,
        kinds.whole(0, metavar="PIXELS"),
        "Reduce the picture to this height and width at most; 0 = no limit.",
        group="picture",
    )
    dng: Literal["linear", "mosaic"] = setting(
        "linear",
        kinds.one_of("linear", "mosaic"),
        "Kind of a DNG: demosaicked, or a Bayer mosaic for other developers' demosaicking.",
        group="picture",
    )
    dng_compression: DngCompression = setting(
        "ljpeg",
        kinds.one_of(*DNG_COMPRESSIONS),
        "Compression of a DNG, all lossless; jxl (DNG 1.7) is smaller, but few developers read it.",
        group="picture",
    )
    look: str = setting(
        "natural", kinds.look(), "How the picture is rendered (burstfix looks lists them).", group="rendering"
    )
    wb: str | tuple[float, float, float] | None = setting(
        None, kinds.white_balance(), "White balance.", group="rendering", default_text="as the look says"
    )
    exposure: float | str | None = setting(
        None,
        kinds.exposure("auto"),
        "Brighter (+) or darker (-), in stops; a number keeps a series of pictures steady.",
        group="rendering",
        default_text="as the look says",
    )
    grain: float | None = setting(
        None,
        kinds.number(0, 1, optional=True),
        "Share of one frame's luminance noise to add.",
        group="rendering",
        default_text="as the look says",
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
        "Model that merges: auto, a name (burstfix weights list), or a .safetensors file.",
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
        "Side of a tile in sensor pixels; 0 = from the free memory.",
        group="compute",
        short="-t",
    )
    precision: str = setting(
        "auto",
        kinds.one_of("auto", "float32", "bfloat16", "float16"),
        "Arithmetic; auto = bfloat16 where the device supports it, else float32.",
        group="compute",
    )
    strength: float = setting(
        1.0,
        kinds.number(0, 2),
        "Factor on the noise level: below 1 keeps grain, 1 = as measured.",
        group="compute",
    )
    ensemble: int = setting(
        1,
        kinds.one_of(1, 2, 4, 8),
        "Turned and mirrored views that a network averages: cleaner, but as many times slower.",
        group="compute",
    )

    def __post_init__(self) -> None:
        """Checks every value."""
        check_settings(self)

    def reading(self) -> dict[str, Any]:
        """The keyword arguments for `read_burst`."""
        names = ("noise", "noise_profiles", "skip_bad", "keep_all", "opcodes")
        return {name: getattr(self, name) for name in names}

    def merging(self) -> dict[str, Any]:
        """The keyword arguments for `merge_burst`, except `mosaic`, which depends on the output."""
        names = ("model", "device", "tile", "precision", "strength", "ensemble")
        return {name: getattr(self, name) for name in names}

    def rendering(self) -> dict[str, Any]:
        """The keyword arguments for `render`."""
        names = ("look", "exposure", "grain", "color_space")
        return {"white_balance": self.wb} | {name: getattr(self, name) for name in names}
