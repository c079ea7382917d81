"""Documents of the other commands: settings, noise, training, weights, looks, doctor, errors."""

from __future__ import annotations

from typing import Any, Literal

from burstfix.records.base import Document, FilePath, Noise, Record, Reference


class SettingValue(Record):
    """A setting; `source` is the path of a settings file, "command line" or "default"."""

    value: Any
    source: str


class LookedFor(Record):
    """A file that may contain settings."""

    role: Literal["noise table", "user", "folder", "preset", "config"]
    path: str
    exists: bool


class Presets(Record):
    """The folder of the user's presets, and the names of these and of the shipped presets."""

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
    """`burstfix train`. `psnr` is in dB, by noise level. Either `steps` or `minutes` is null."""

    output: str
    weights: str
    step: int
    steps: int | None
    minutes: float | None
    psnr: dict[str, float]


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


class Look(Record):
    """Values of a look; see docs/looks.md."""

    name: str
    description: str
    exposure: float | Literal["auto"]
    highlights: str
    gamut: str
    local_contrast: float
    contrast: float
    saturation: float
    white_balance: Literal["camera", "auto"] | tuple[float, float, float]
    sharpening: float
    grain: float


class Looks(Document, tag_field="schema", tag="burstfix.looks"):
    """`burstfix looks`: the looks that ship."""

    default: str
    looks: list[Look]


class Cpu(Record):
    """The processor; `capability` is the instruction set that torch uses.

    `compiled_loops` is that of burstfix's own compiled loops, "none" if torch does their work.
    """

    name: str
    capability: str
    compiled_loops: Literal["none", "AVX2", "AVX512"]
    bfloat16: bool
    threads: int


class Decoder(Record):
    """The process that decodes raws; `error` is "" if it starts."""

    read_only: bool
    offline: bool
    error: str


class DeviceCheck(Record):
    """Comparison of a device with the CPU in float32; `difference` in units of white, null if not finite."""

    precision: str
    difference: float | None
    tolerance: float
    passed: bool
    error: str


class Device(Record):
    """A device that torch can use; memory in bytes."""

    name: str
    hardware: str
    free_memory: int
    total_memory: int
    checks: list[DeviceCheck]
    problems: list[str]


class WeightsFile(Record):
    """A weights file that ships; `error` is "" if it is intact."""

    model: str
    file: str
    error: str


class SettingsFile(Record):
    """A file that may hold the user's settings."""

    path: str
    exists: bool


class Doctor(Document, tag_field="schema", tag="burstfix.doctor"):
    """`burstfix doctor`."""

    versions: dict[str, str]
    cpu: Cpu
    decoder: Decoder
    devices: list[Device]
    weights: list[WeightsFile]
    settings_files: list[SettingsFile]
    cache_folder: str
    problems: list[str]


class Error(Document, tag_field="schema", tag="burstfix.error"):
    """Any command that failed; `exit_code` as in docs/cli.md."""

    error: str
    exit_code: int
