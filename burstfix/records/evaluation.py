"""Documents of `evaluate` and `compare`."""

from __future__ import annotations

from burstfix.records.base import Document, Record


class Machine(Record):
    """The machine on which times were measured; `threads` is the number of processor threads."""

    device: str
    processor: str
    threads: int
    torch: str


class ClipResult(Record):
    """Means over the bursts of a clip or photograph; `psnr` (dB) is null for a picture without error."""

    psnr: float | None
    ssim: float
    bursts: int


class Result(Record):
    """Result of a model on one kind of data at one noise level.

    `psnr` (in dB, with its 95% confidence interval), `ssim` and `lpips` (null if it was not measured) are
    means over clips. Values that are not finite are null. `seconds_per_megapixel` is a median over the
    bursts.
    """

    data: str
    model: str
    noise_level: str
    psnr: float | None
    psnr_interval: tuple[float | None, float | None]
    ssim: float
    lpips: float | None
    bursts: int
    seconds_per_megapixel: float
    clips: dict[str, ClipResult]


class Difference(Record):
    """Difference in PSNR (dB) between a model and the baseline on the same bursts.

    `share_better` is the share of the bursts with a positive difference. Values that are not finite are null.
    """

    data: str
    model: str
    noise_level: str
    baseline: str
    psnr: float | None
    psnr_interval: tuple[float | None, float | None]
    standard_error: float | None
    median: float | None
    share_better: float
    bursts: int


class Evaluate(Document, tag_field="schema", tag="burstfix.evaluate"):
    """`burstfix evaluate`: a result for each kind of data, model and noise level; see docs/quality.md."""

    machine: Machine
    frames: int
    windows: int
    per_photo: int
    crop: int
    results: list[Result]
    differences: list[Difference]


class Interval(Record):
    """A mean with its 95% confidence interval. Values that are not finite are null."""

    mean: float | None
    low: float | None
    high: float | None
    standard_error: float | None


class HeldOutResult(Record):
    """Result of a model on one part of a burst.

    `error` is the mean squared error, estimated with frames that were left out, in units of the noise
    variance of a frame. `noise` is the noise of these frames in the same unit. `difference` is the error
    minus the error of `baseline`; both fields are null for the baseline itself.
    """

    burst: str
    model: str
    part: str
    error: Interval
    noise: Interval
    baseline: str | None = None
    difference: Interval | None = None


class HeldOut(Document, tag_field="schema", tag="burstfix.held-out"):
    """`burstfix evaluate --bursts`: a result for each burst, model and part; see docs/cli.md."""

    machine: Machine
    results: list[HeldOutResult]


class Similarity(Record):
    """Similarity of a picture to another; `psnr` is null if the pictures are equal."""

    path: str
    psnr: float | None
    ssim: float


class Compare(Document, tag_field="schema", tag="burstfix.compare"):
    """`burstfix compare`: each picture compared with `truth`."""

    truth: str
    pictures: list[Similarity]
