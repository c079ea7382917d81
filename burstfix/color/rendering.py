"""Rendering of a linear image for a display, in strips of rows so that memory use stays low."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burstfix.color.chromatic import Matrix
from burstfix.color.detail import REACH, DetailNoise, Grain, brightness_of, grain_of, measure_noise, sharpen
from burstfix.color.dng import camera_to_rgb
from burstfix.color.exif import exif_of
from burstfix.color.fusion import LocalGain, local_gain
from burstfix.color.gamut import GamutCompressor, gamut_compressor
from burstfix.color.highlights import clipping_levels, reconstruct, white_level
from burstfix.color.icc import icc_profile
from burstfix.color.look import DEFAULT_LOOK, Exposure, Look, load_look
from burstfix.color.orientation import as_stored
from burstfix.color.overview import overview_of
from burstfix.color.spaces import ColorSpace, color_space
from burstfix.color.stretch import stretched
from burstfix.color.tone import ToneCurve, automatic_exposure, automatic_lift
from burstfix.color.white_balance import WhiteBalance, neutral_for
from burstfix.threads import thread_count
from burstfix.types import LinearImage, NoiseProfile, RenderedImage

_STRIP_PIXELS = 1 << 17  # small enough for the processor cache; also limits memory
_OVERVIEW_SIDE = 1024
_SMALL_SIDE = 256  # sufficient to estimate white balance and exposure
_NOISE_STRIPS = 12
_NOISE_ROWS = 12
_WHITE_PERCENTILE = 99.7  # brighter pixels are specular highlights, which may clip
_HEADROOM = 0.6  # headroom above the brightest part, as a share of the range above display white
_FREE_SHARE = 0.3  # share of the range between a pixel and white that local contrast may use
_SAMPLING = 4  # step between the rows and columns that are examined for clipping
_DARKEST = np.float32(2.0**-14)


def render(
    linear: LinearImage,
    *,
    look: str | Path | Look = DEFAULT_LOOK,
    exposure: Exposure | None = None,
    white_balance: WhiteBalance | None = None,
    sharpening: float | None = None,
    grain: float | None = None,
    color_space: str = "srgb",
) -> RenderedImage:
    """Render camera RGB for a display.

    In the look `plain`, display white is the level at which the first channel clips after white balance.
    Clipped channels are reconstructed from the others (`highlights.reconstruct`), so that lower exposure, or
    a look with highlight roll-off, shows detail above white. Areas with all channels clipped become neutral.
    The picture is rotated upright, its Orientation tag is set to 1, and it is cropped to the default crop of
    the camera (`FrameMetadata.default_crop`).

    Args:
        linear: The picture; its data is not changed.
        look: Name of a shipped look, a TOML file, or a `Look`.
        exposure: EV to add to the file's BaselineExposure, or "auto"; None for the value in the look. With a
            number, the brightness of an area is independent of the rest of the picture.
        white_balance: "camera" (from the file), "auto" (estimated), or multipliers for R, G, B; None for the
            value in the look.
        sharpening, grain: See `Look`; None for the value in the look.
        color_space: Name of the colour space: "srgb", "display-p3", "rec2020" or "prophoto".

    Returns:
        The picture with ICC profile, EXIF and settings (those of `linear`, and "render").

    Raises:
        UsageError: A setting is unknown or out of range.
        InputError: The raw's colour calibration is not usable.
    """
    space = _space(color_space)
    chosen = {"exposure": exposure, "white_balance": white_balance, "sharpening": sharpening, "grain": grain}
    look = replace(load_look(look), **{name: value for name, value in chosen.items() if value is not None})
    data = stretched(linear.shown(), linear.metadata.default_scale)
    renderer = _prepare(linear, data, look, space)
    orientation = linear.metadata.orientation
    _, height, width = data.shape
    turned = orientation in (5, 6, 7, 8)
    out = np.empty((width, height, 3) if turned else (height, width, 3), np.uint16)
    target = as_stored(out, orientation)
    rows = max(4 * REACH if look.sharpening else 1, _STRIP_PIXELS // width)

    def render_strip(top: int) -> None:
        bottom = min(top + rows, height)
        target[top:bottom] = renderer.strip(data, top, bottom).transpose(1, 2, 0)

    with ThreadPoolExecutor(thread_count()) as threads:
        for _ in threads.map(render_strip, range(0, height, rows)):
            pass  # an exception in a thread is raised here

    settings: dict[str, Any] = {
        **linear.settings,
        "render": {
            "look": look.name,
            "white_balance": look.white_balance
            if isinstance(look.white_balance, str)
            else list(look.white_balance),
            "white_balance_multipliers": [round(float(m), 5) for m in 1 / renderer.neutral],
            "exposure": look.exposure,
            "exposure_ev": round(renderer.exposure_ev, 3),
            "sharpening": look.sharpening,
            "grain": look.grain,
            "color_space": space.name,
        },
    }
    return RenderedImage(out, icc_profile(space.name), exif_of(linear.metadata), settings)


def exposure_of(linear: LinearImage, look: str | Path | Look = DEFAULT_LOOK) -> float:
    """Return the EV that exposure "auto" chooses for a picture in a look, to use it for other pictures."""
    look = replace(load_look(look), exposure="auto")
    data = stretched(linear.shown(), linear.metadata.default_scale)
    return _prepare(linear, data, look, _space("srgb")).exposure_ev


@dataclass(frozen=True, slots=True, eq=False)
class _Renderer:
    """Renderer for strips of one picture, with all parameters.

    Attributes:
        look, space, neutral, exposure_ev: Settings, requested or estimated.
        matrix: (3, 3) from white-balanced camera RGB to linear display RGB, including exposure.
        luminance: (3,) weights of linear display RGB in luminance.
        clipping: (3,) camera RGB at which channels clip; None for the white level of the file.
        curve: Tone curve; None to clip.
        local: Local gain, or None.
        gamut: Gamut compressor; None to clip.
        grain: Grain to add, or None.
        noise: Noise for sharpening, or None.
    """

    look: Look
    space: ColorSpace
    neutral: Matrix
    exposure_ev: float
    matrix: Matrix
    luminance: Matrix
    clipping: NDArray[np.float32] | None = None
    curve: ToneCurve | None = None
    local: LocalGain | None = None
    gamut: GamutCompressor | None = None
    grain: Grain | None = None
    noise: DetailNoise | None = None

    def strip(self, data: NDArray[np.float32], top: int, bottom: int) -> NDArray[np.uint16]:
        """Render rows `top` to `bottom` of (3, H, W) camera RGB to display values (3, bottom - top, W)."""
        margin = REACH if self.noise is not None else 0
        above, below = min(margin, top), min(margin, data.shape[1] - bottom)
        encoded = self.encoded(data, top - above, bottom + below)
        if self.noise is not None:
            encoded = sharpen(encoded, self.look.sharpening, self.noise)
        encoded = encoded[:, above : above + bottom - top]
        encoded *= 65535.0
        encoded += 0.5
        return np.clip(encoded, 0.0, 65535.0, out=encoded).astype(np.uint16)

    def encoded(self, data: NDArray[np.float32], top: int, bottom: int) -> NDArray[np.float32]:
        """Render rows `top` to `bottom` to encoded values, 0 to 1, without sharpening."""
        camera = data[:, top:bottom]
        shape = camera.shape
        balanced = reconstruct(camera, self.neutral, self.clipping)
        rgb = self.matrix.astype(np.float32) @ balanced.reshape(3, -1)
        if self.grain is not None:
            self.grain.add(rgb.reshape(shape), balanced, top)
        if self.curve is not None:
            np.nan_to_num(rgb, copy=False, nan=0.0)
            brightness = _brightness(rgb, self.luminance)
            rgb *= self._gain(brightness.reshape(shape[1:]), self.curve, top).reshape(-1)
        if self.gamut is not None:
            rgb = self.gamut.compress(rgb, self.look.saturation)
        else:
            np.fmax(rgb, 0.0, out=rgb)  # NaN becomes black
            np.minimum(rgb, 1.0, out=rgb)
        return self.space.curve.encode(rgb).reshape(shape)

    def _gain(self, brightness: NDArray[np.float32], curve: ToneCurve, top: int) -> NDArray[np.float32]:
        """Return the (h, W) factor from linear brightness to display brightness."""
        np.maximum(brightness, _DARKEST, out=brightness)
        shown = curve(brightness)
        if self.local is not None:
            local = np.exp2(self.local.log2_gain(top, np.log2(brightness)))
            local *= brightness
            # Local contrast must not clip texture to white, so it may use only part of the range above the
            # curve.
            shown *= np.float32(_FREE_SHARE)
            shown += np.float32(1 - _FREE_SHARE)
            np.minimum(shown, local, out=shown)
        shown /= brightness
        return shown


def _prepare(linear: LinearImage, data: NDArray[np.float32], look: Look, space: ColorSpace) -> _Renderer:
    """Determine white balance, exposure and all other parameters that depend on the whole picture.

    `data` is the part of `linear` that is shown.
    """
    profile = linear.metadata.color
    overview = overview_of(data, _OVERVIEW_SIDE)
    small = overview_of(overview.data, _SMALL_SIDE).data
    neutral = neutral_for(look.white_balance, profile, small)
    luminance = space.to_xyz()[1]
    matrix = camera_to_rgb(profile, neutral, space)
    baseline = profile.baseline_exposure if math.isfinite(profile.baseline_exposure) else 0.0
    rolls_off = look.highlights == "roll-off"
    clipping = clipping_levels(data[:, ::_SAMPLING, ::_SAMPLING]) if rolls_off else None
    if look.exposure == "auto":
        seen = reconstruct(small, neutral, clipping)
        if rolls_off:
            exposure_ev = automatic_lift(luminance @ matrix @ seen.reshape(3, -1) * 2.0**baseline)
        else:
            exposure_ev = automatic_exposure(luminance @ matrix @ np.minimum(seen, 1.0).reshape(3, -1))
            baseline = 0.0  # the estimate already contains it
    else:
        exposure_ev = float(look.exposure)
    gain = 2.0 ** (exposure_ev + baseline)
    found = _Renderer(look, space, neutral, exposure_ev, matrix * gain, luminance, clipping)
    if rolls_off:
        rgb = found.matrix.astype(np.float32) @ reconstruct(overview.data, neutral, clipping).reshape(3, -1)
        brightness = np.maximum(_brightness(np.nan_to_num(rgb, copy=False), luminance), _DARKEST)
        white = gain * white_level(neutral)
        if look.exposure == "auto":
            brightest = float(np.percentile(brightness, _WHITE_PERCENTILE))
            white = min(white, brightest + _HEADROOM * max(brightest - 1.0, 0.0))
        curve = ToneCurve.reaching(white, look.contrast)
        local = local_gain(
            brightness.reshape(overview.data.shape[1:]),
            curve,
            look.local_contrast,
            overview.block,
            data.shape[2],
        )
        found = replace(found, curve=curve, local=local)
    if look.gamut == "compress":
        found = replace(found, gamut=gamut_compressor(space.name))
    if look.grain and "noise" in linear.settings:
        noise = linear.settings["noise"]
        profile_of_frame = NoiseProfile(tuple(noise["shot_gain"]), tuple(noise["read_variance"]))
        found = replace(
            found, grain=grain_of(profile_of_frame, look.grain, neutral, luminance @ found.matrix)
        )
    if look.sharpening:
        found = replace(found, noise=measure_noise(_samples(found, data)))
    return found


def _samples(renderer: _Renderer, data: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Render the encoded brightness of a few strips of rows that are spread over the picture."""
    height = data.shape[1]
    rows = min(_NOISE_ROWS, height)
    tops = np.unique(np.linspace(0, height - rows, _NOISE_STRIPS).astype(int))
    return [brightness_of(renderer.encoded(data, int(top), int(top) + rows)) for top in tops]


def _brightness(rgb: NDArray[np.float32], luminance: Matrix) -> NDArray[np.float32]:
    """Convert (3, n) linear RGB to (n,) brightness: half luminance, half the largest component.

    With luminance alone, saturated lamps would lie far outside the gamut; with the largest component alone,
    they would be dark.
    """
    mean = luminance.astype(np.float32) @ rgb
    mean += rgb.max(axis=0)
    mean *= np.float32(0.5)
    return mean


def _space(name: str) -> ColorSpace:
    """Call `color_space`, because the argument of `render` hides that name."""
    return color_space(name)
