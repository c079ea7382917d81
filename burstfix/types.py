"""Frozen records that the packages of burstfix exchange.

Units: mosaics contain sensor values (DN); noise profiles and linear images are in normalised
units (0 = black level, 1 = white level). Sizes are height, width. This module does not need torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from burstfix.cfa import LINEAR, CfaLayout
from burstfix.opcodes import OpcodeLists, OpcodeMode, OpcodePlan, plan_opcodes

Progress = Callable[[str, int, int], None]
"""Called with a stage ("decode", "prepare", "align", "merge", "write"), completed steps, and total steps."""

NoiseSource = Literal["given", "file", "table", "burst", "frame"]

NoiseChoice = Literal["file", "measure"]
"""Source of the noise profile. None = the file if it is consistent with the burst."""


def camera_key(make: str, model: str) -> str:
    """Return the name of a camera in noise tables and DNG tags; "" if make and model are unknown."""
    return " ".join(f"{make} {model}".split())


def camera_name(make: str, model: str) -> str:
    """Return the name of a camera for display. The make is left out if the model begins with it.

    Example:
        >>> camera_name("Canon", "Canon EOS R5"), camera_name("Google", "Pixel 8"), camera_name("", "")
        ('Canon EOS R5', 'Google Pixel 8', 'unknown camera')
    """
    repeated = model.strip().lower().startswith(make.strip().lower())
    return camera_key("" if repeated else make, model) or "unknown camera"


@dataclass(frozen=True, slots=True)
class NoiseProfile:
    """Signal-dependent Gaussian noise: variance = shot_gain * x + read_variance.

    There is one value for each packed plane (R, Gr, Gb, B), for x in normalised units. shot_gain and
    read_variance are S and O of the DNG tag NoiseProfile (DNG specification 1.7, tag 51041).
    """

    shot_gain: tuple[float, float, float, float]
    read_variance: tuple[float, float, float, float]
    source: NoiseSource = "given"

    @classmethod
    def uniform(cls, shot_gain: float, read_variance: float, source: NoiseSource = "given") -> NoiseProfile:
        """Return a profile with the same noise in every plane."""
        s, o = shot_gain, read_variance
        return cls((s, s, s, s), (o, o, o, o), source)


@dataclass(frozen=True, slots=True, eq=False)
class NoiseMeasurement:
    """Noise measured on a burst or a frame.

    Attributes:
        profile: The profile that was fitted to the points.
        signal: float64 (count,), normalised signals of the points of all planes.
        variance: float64 (count,), variances measured at these signals. Scene detail can increase them.
    """

    profile: NoiseProfile
    signal: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Black and white levels in DN (DNG specification 1.7, chapter "Mapping raw values to linear").

    Attributes:
        black: float32 (rows, cols), black levels; the pattern repeats from the top left of the visible area.
        white: White level.
        black_rows: float32 (H,), added to the black level of each row, or None.
        black_cols: float32 (W,), added to the black level of each column, or None.
    """

    black: NDArray[np.float32]
    white: float
    black_rows: NDArray[np.float32] | None = None
    black_cols: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ColorProfile:
    """Calibration that converts camera RGB to device-independent colour (DNG specification 1.7, chapter 6).

    Attributes:
        color_matrix_1: float64 (3, 3), XYZ to camera RGB under illuminant_1.
        as_shot_neutral: float64 (3,), camera RGB of a neutral object, largest component 1; None if
            unknown.
        illuminant_1: EXIF LightSource code of calibration 1 (21 = D65, 17 = standard light A).
        color_matrix_2, illuminant_2: Second calibration, or None.
        forward_matrix_1, forward_matrix_2: float64 (3, 3), white-balanced camera RGB to XYZ D50.
        camera_calibration_1, camera_calibration_2: float64 (3, 3), from the reference camera to this camera.
        analog_balance: float64 (3,), analog gain of each channel.
        as_shot_white_xy: float64 (2,), chromaticity of the light, in files without as_shot_neutral.
        baseline_exposure: EV to add when rendering.
    """

    color_matrix_1: NDArray[np.float64]
    as_shot_neutral: NDArray[np.float64] | None
    illuminant_1: int = 21
    color_matrix_2: NDArray[np.float64] | None = None
    illuminant_2: int | None = None
    forward_matrix_1: NDArray[np.float64] | None = None
    forward_matrix_2: NDArray[np.float64] | None = None
    camera_calibration_1: NDArray[np.float64] | None = None
    camera_calibration_2: NDArray[np.float64] | None = None
    analog_balance: NDArray[np.float64] | None = None
    as_shot_white_xy: NDArray[np.float64] | None = None
    baseline_exposure: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ExifTags:
    """EXIF to copy to the output: a mapping from tag number to value for each directory.

    Values are str, int, bytes, `fractions.Fraction`, or a tuple of ints or Fractions.

    Attributes:
        image, exif, gps: The directories.
        xmp: XMP properties to copy, as a mapping from name ("dc:title") to XML element.
    """

    image: Mapping[int, Any] = field(default_factory=dict[int, Any])
    exif: Mapping[int, Any] = field(default_factory=dict[int, Any])
    gps: Mapping[int, Any] = field(default_factory=dict[int, Any])
    xmp: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, eq=False)
class FrameMetadata:
    """All metadata of a raw.

    Attributes:
        path: The file.
        height: Rows of the visible area, sensor pixels.
        width: Columns of the visible area.
        cfa: Colours of the 2x2 pattern, row by row from the top left of the visible area; or MONOCHROME
            (one value per pixel, no colours), or LINEAR (three values at every pixel).
        levels: Black and white levels in DN.
        color: Colour calibration.
        orientation: EXIF orientation, 1 to 8.
        noise: Noise profile stated by the file, or None.
        make, model, lens: Names from EXIF, "" if absent.
        unique_model: UniqueCameraModel of a DNG, by which raw converters identify the camera; "" if absent.
        default_crop: Top, left, height and width of the part that raw converters show; None = everything.
        default_user_crop: Top, left, bottom and right of the part of the default crop that the photographer
            chose in the camera (digital zoom, aspect ratio), as fractions of it; None = everything.
        default_scale: Factors by which height and width are stretched to get square pixels; None = (1, 1).
        iso: ISO speed, or None.
        exposure_time: Exposure time in seconds, or None.
        aperture: F-number, or None.
        focal_length: Focal length in mm, or None.
        time: Capture time, or None. It has fractions of a second and a time zone if the file contains them.
        exif: Tags to copy to the output.
        opcodes: Opcode lists of a DNG, or None.
        raw_index: Index of this raw among those of the file.
        raw_count: Number of raws in the file, such as 4 with pixel shift.
    """

    path: Path
    height: int
    width: int
    cfa: str
    levels: Levels
    color: ColorProfile
    orientation: int = 1
    noise: NoiseProfile | None = None
    make: str = ""
    model: str = ""
    lens: str = ""
    unique_model: str = ""
    default_crop: tuple[int, int, int, int] | None = None
    default_user_crop: tuple[float, float, float, float] | None = None
    default_scale: tuple[float, float] | None = None
    iso: float | None = None
    exposure_time: float | None = None
    aperture: float | None = None
    focal_length: float | None = None
    time: datetime | None = None
    exif: ExifTags = field(default_factory=ExifTags)
    opcodes: OpcodeLists | None = None
    raw_index: int = 0
    raw_count: int = 1

    @property
    def name(self) -> str:
        """Name of the file, followed by the index of the raw if the file contains several."""
        return self.path.name if self.raw_count == 1 else f"{self.path.name}[{self.raw_index}]"

    @property
    def shown_area(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of the area to show: the user crop inside the default crop."""
        crop = self.default_crop
        if crop is None or not lies_within(crop, self.height, self.width):
            crop = (0, 0, self.height, self.width)
        if self.default_user_crop is None:
            return crop
        top, left, height, width = crop
        first_row, first_column, last_row, last_column = (
            round(share * size)
            for share, size in zip(self.default_user_crop, (height, width) * 2, strict=True)
        )
        part = (top + first_row, left + first_column, last_row - first_row, last_column - first_column)
        return part if lies_within(part, self.height, self.width) else crop

    def plan_opcodes(self, mode: OpcodeMode = "apply") -> OpcodePlan:
        """Plan the opcode lists of the frame; see `burstfix.opcodes.plan_opcodes`."""
        return plan_opcodes(
            self.opcodes,
            self.height,
            self.width,
            where=str(self.path),
            has_mosaic=self.cfa != LINEAR,
            mode=mode,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One raw: its mosaic, its metadata, and the plan for its opcodes.

    Attributes:
        mosaic: uint16 (height, width) in DN, after any linearisation table; (height, width, 3) if
            `metadata.cfa` is LINEAR.
        metadata: Metadata of the raw.
        plan: Plan for the opcodes. The default plan applies none; see `planned`.
    """

    mosaic: NDArray[np.uint16]
    metadata: FrameMetadata
    plan: OpcodePlan = OpcodePlan()

    @property
    def layout(self) -> CfaLayout:
        """Layout of the packed planes."""
        return CfaLayout.of(self.metadata.cfa)

    def planned(self, mode: OpcodeMode = "apply") -> Frame:
        """Return the frame with a plan for its opcode lists.

        Raises:
            InputError: See `burstfix.opcodes.plan_opcodes`.
        """
        return replace(self, plan=self.metadata.plan_opcodes(mode))


@dataclass(frozen=True, slots=True)
class GlobalMotion:
    """Motion of a whole frame relative to the reference: a rotation about the centre, then a shift.

    A point at (y, x) sensor pixels from the centre of the reference appears in the frame at rotate(angle) @
    (y, x) + (dy, dx) from its centre, where rotate(a) = [[cos a, sin a], [-sin a, cos a]].

    Attributes:
        dy, dx: Shift in sensor pixels.
        angle: Rotation in radians.
        confidence: Confidence, from 0 (the frames do not overlap or match) to 1.
    """

    dy: float = 0.0
    dx: float = 0.0
    angle: float = 0.0
    confidence: float = 1.0

    def apply(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Map points of the reference to the frame.

        Args:
            y: Rows relative to the centre of the reference: a number, an array or a tensor.
            x: Columns relative to the centre of the reference.

        Returns:
            Rows and columns relative to the centre of the frame.

        Example:
            >>> GlobalMotion(dy=2.0, dx=-1.0).apply(10.0, 20.0)
            (12.0, 19.0)
        """
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * y + sin * x + self.dy, cos * x - sin * y + self.dx

    def scaled(self, factor: float) -> GlobalMotion:
        """Return the same motion in pixels of 1 / `factor` times the size. 0.5 converts to packed pixels."""
        return replace(self, dy=self.dy * factor, dx=self.dx * factor)


@dataclass(frozen=True, slots=True)
class DroppedFrame:
    """A frame that was left out, and the reason.

    `index` is its position in time order among the frames that were read, counted from 0. It is None for a
    frame that could not be read or did not belong to the burst.
    """

    path: Path
    reason: str
    index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Frames of one scene in time order, analysed and ready to merge.

    Attributes:
        frames: Frames to merge.
        reference: Index into `frames` of the frame to which the others are aligned.
        noise: Noise profile of all frames, which have the same camera and exposure, before opcodes are
            applied.
        motions: Motion of each frame relative to the reference.
        sharpness: Sharpness of each frame, relative to the sharpest (0 to 1).
        hot_pixels: int32 (count, 2), rows and columns of defective pixels, which the merge repairs.
        dropped: Frames that were left out.
        warnings: Sentences for the user.
        measured_noise: Measured noise, from which `noise` was taken or with which it was compared; None if it
            was not measured.
    """

    frames: tuple[Frame, ...]
    reference: int
    noise: NoiseProfile
    motions: tuple[GlobalMotion, ...]
    sharpness: tuple[float, ...]
    hot_pixels: NDArray[np.int32]
    dropped: tuple[DroppedFrame, ...] = ()
    warnings: tuple[str, ...] = ()
    measured_noise: NoiseMeasurement | None = None


def lies_within(crop: tuple[int, int, int, int], height: int, width: int) -> bool:
    """Return True if a crop (top, left, height, width) is not empty and lies inside the picture."""
    top, left, rows, columns = crop
    return 0 <= top < top + rows <= height and 0 <= left < left + columns <= width


@dataclass(frozen=True, slots=True, eq=False)
class MergeMaps:
    """Maps of motion and of the number of frames used, with one value per cell of 16x16 sensor pixels.

    Attributes:
        motion: float32 (gy, gx), largest displacement in any frame relative to the camera motion, in sensor
            pixels.
        frames_used: float32 (gy, gx), effective number of merged frames, 1 to N; None if the model does not
            count them.
    """

    motion: NDArray[np.float32]
    frames_used: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LinearImage:
    """Scene-linear camera RGB: unclipped, not white-balanced, not yet oriented.

    Attributes:
        data: float32 (3, H, W); 0 = black, 1 = white level of the sensor. For a DNG it may be (1, H, W), a
            mosaic with the pattern of the metadata.
        metadata: Metadata of the reference frame.
        settings: Description of the merge (model, frames, noise source, version ...) for the tags of the
            output.
        maps: Motion and number of frames used, in the orientation of `data`; None if the image is not the
            result of a merge.
        noise: Remaining noise in `data`, in the order R, Gr, Gb, B; None if it was not measured.
    """

    data: NDArray[np.float32]
    metadata: FrameMetadata
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    maps: MergeMaps | None = None
    noise: NoiseProfile | None = None

    def shown(self, *, step: int = 1) -> NDArray[np.float32]:
        """Return the part of the data inside `FrameMetadata.shown_area`, or all data if the sizes differ.

        Args:
            step: The part begins at a multiple of `step`; 2 keeps the pattern of a mosaic.
        """
        if self.data.shape[1:] != (self.metadata.height, self.metadata.width):
            return self.data
        top, left, height, width = self.metadata.shown_area
        return self.data[:, top - top % step : top + height, left - left % step : left + width]


@dataclass(frozen=True, slots=True, eq=False)
class RenderedImage:
    """Display RGB, oriented upright.

    Attributes:
        data: uint16 (H, W, 3), encoded with the transfer curve of the colour space, full range.
        icc_profile: ICC profile of `data`.
        exif: EXIF tags to write.
        settings: As in `LinearImage`, plus the settings of rendering.
    """

    data: NDArray[np.uint16]
    icc_profile: bytes
    exif: ExifTags = field(default_factory=ExifTags)
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
