"""Colour filter arrays: patterns, and the layout of packed planes."""

from __future__ import annotations

from dataclasses import dataclass

from burstfix.errors import UnsupportedSensorError

CFA_PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")

# Used in place of a pattern for frames without a colour filter array.
MONOCHROME, LINEAR = "monochrome", "linear"


@dataclass(frozen=True, slots=True)
class CfaLayout:
    """Distribution of the pixels of a sensor over packed planes.

    Packing brings a frame to RGGB phase and cuts it into squares of 2x2 pixels. Each plane holds one value of
    every square, so it has half the height and width of the frame:

        Bayer mosaic        planes                monochrome     planes      linear (RGB)    planes
        R G R G             0: R    1: G (red)    a b a b        0: a  1: b  every pixel     0..3:  R
        G B G B             2: G (blue)  3: B     c d c d        2: c  3: d  holds R, G, B   4..7:  G
                                                                                             8..11: B

    Attributes:
        pattern: One of `CFA_PATTERNS`, `MONOCHROME` or `LINEAR`, as in `FrameMetadata.cfa`.
        colors: Colour of each plane: 0 red (or grey), 1 green, 2 blue.
        noise_planes: For each plane, the index of its entry in `NoiseProfile`.
        matching_planes: The four planes that a Bayer sensor would record, used to compare frames.
        channels: Values recorded at each pixel: 1, or 3 for a linear frame.
        pitch: Distance between neighbouring pixels of one colour: 2 in a Bayer mosaic, otherwise 1.
        red: Row and column (0 or 1) of the first red pixel; (0, 0) if there is no mosaic.
    """

    pattern: str
    colors: tuple[int, ...]
    noise_planes: tuple[int, ...]
    matching_planes: tuple[int, ...] = (0, 1, 2, 3)
    channels: int = 1
    pitch: int = 1
    red: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, pattern: str) -> CfaLayout:
        """Return the layout of a pattern.

        Raises:
            UnsupportedSensorError: The pattern is not one of `CFA_PATTERNS`, `MONOCHROME` or `LINEAR`.
        """
        if pattern == LINEAR:
            return cls(
                pattern, (0,) * 4 + (1,) * 4 + (2,) * 4, (0,) * 4 + (1,) * 4 + (3,) * 4, (0, 5, 6, 11), 3
            )
        if pattern == MONOCHROME:
            return cls(pattern, (0, 0, 0, 0), (0, 1, 2, 3))
        if pattern not in CFA_PATTERNS:
            known = ", ".join(CFA_PATTERNS)
            raise UnsupportedSensorError(
                f"colour filter pattern {pattern!r} is not supported; expected one of {known}"
            )
        row, column = divmod(pattern.index("R"), 2)
        return cls(pattern, (0, 1, 1, 2), (0, 1, 2, 3), pitch=2, red=(row, column))

    @property
    def planes(self) -> int:
        """Number of packed planes."""
        return len(self.colors)

    @property
    def is_bayer(self) -> bool:
        """True if each pixel records one of several colours, so that the frame needs demosaicing."""
        return self.pattern in CFA_PATTERNS
