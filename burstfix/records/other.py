"""Documents of the other commands: settings, noise, training, evaluation, weights, doctor, errors."""

from __future__ import annotations

from typing import Any, Literal

from burstfix.records.base import Document, FilePath, Noise, Record, Reference


class SettingValue(Record):
    """A setting and its origin; `source` is a file, "command line" or "default"."""

    value: Any
    source: str


class LookedFor(Record):
    """A file that may hold settings."""

    role: Literal["noise table", "user", "folder", "preset", "config"]
    path: str
    exists: bool


class Presets(Record):
    """The user's presets."""

    folder: str
    names: list[str]


class Config(Document, tag_field="schema", tag="burstfix.config"):
    """`burstfix config show`."""

    settings: dict[str, SettingValue]
    files: list[LookedFor]
    presets: Presets
    not_in_folders: list[str]


class MeasuredNoise(Record):
    """Noise of one camera at one ISO."""

    camera: str
    iso: float
    frame_count: int
    noise: Noise


class NoiseProfile(Document, tag_field="schema", tag="burstfix.noise-profile"):
    """`burstfix noise-profile`."""

    output: str
    entries: list[MeasuredNoise]
    warnings: list[str]


class Simulate(Document, tag_field="schema", tag="burstfix.simulate"):
    """`burstfix simulate`."""

    output: str
    frames: list[FilePath]
    reference: Reference
    height: int
    width: int
    noise: Noise
    seed: int


class Train(Document, tag_field="schema", tag="burstfix.train"):
    """`burstfix train`. `psnr` in dB by noise level; a run has `steps` or `minutes`."""

    output: str
    weights: str
    step: int
    steps: int | None
    minutes: float | None
    psnr: dict[str, float]


class Evaluate(Document, tag_field="schema", tag="burstfix.evaluate"):
    """`burstfix evaluate`: a result for each kind of data, model and noise level; see docs/quality.md."""

    machine: dict[str, Any]
    frames: int
    windows: int
    per_photo: int
    crop: int
    results: list[dict[str, Any]]
    differences: list[dict[str, Any]]


class HeldOut(Document, tag_field="schema", tag="burstfix.held-out"):
    """`burstfix evaluate --bursts`: a result for each burst, model and part; see docs/cli.md."""

    machine: dict[str, Any]
    results: list[dict[str, Any]]


class Similarity(Record):
    """How similar a picture is to another; `psnr` is null if they are equal."""

    path: str
    psnr: float | None
    ssim: float


class Compare(Document, tag_field="schema", tag="burstfix.compare"):
    """`burstfix compare`: each picture against `truth`."""

    truth: str
    pictures: list[Similarity]


class Model(Record):
    """A model of the catalogue; `default_on` lists the devices on which `auto` chooses it."""

    name: str
    weights: str | None
    usable: bool
    default_on: list[str]
    description: str


class Weights(Document, tag_field="schema", tag="burstfix.weights"):
    """`burstfix weights list`."""

    models: list[Model]


class WrittenWeights(Document, tag_field="schema", tag="burstfix.weights.written"):
    """`burstfix weights import` and `burstfix weights average`."""

    output: str
    model: str
    files: list[str]
    parameters: int


class Looks(Document, tag_field="schema", tag="burstfix.looks"):
    """`burstfix looks`: the values of each look that ships."""

    default: str
    looks: list[dict[str, Any]]


class Doctor(Document, tag_field="schema", tag="burstfix.doctor"):
    """`burstfix doctor`."""

    versions: dict[str, str]
    cpu: dict[str, Any]
    decoder: dict[str, Any]
    devices: list[dict[str, Any]]
    weights: list[dict[str, Any]]
    settings_files: list[dict[str, Any]]
    cache_folder: str
    problems: list[str]


class Error(Document, tag_field="schema", tag="burstfix.error"):
    """Any command that failed; `exit_code` as in docs/cli.md."""

    error: str
    exit_code: int
