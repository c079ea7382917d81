"""Option values that are more than a number or a word: parsed once, with one kind of message."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from burstfix.types import NoiseProfile


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    """The finite numbers of "1,2,3", or None if there are not exactly `count`."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


class Device(click.ParamType):
    """auto, cpu, cuda or cuda:N."""

    name = "auto|cpu|cuda[:N]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Checks the form only; whether the device exists is the engine's to say."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            self.fail(f"{value!r} is not auto, cpu, cuda or cuda:N", param, ctx)
        return value


class Noise(click.ParamType):
    """S,O of variance = S*x + O, in normalised units, or where to look for it where there is a burst."""

    def __init__(self, *choices: str) -> None:
        self.name = "|".join(("S,O", *choices))
        self._choices = choices

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> NoiseProfile | str | None:
        """The same noise for every plane; a choice as it is."""
        if value in self._choices:
            return value
        pair = _numbers(value, 2)
        if pair is None or min(pair) < 0 or max(pair) <= 0:
            otherwise = "".join(f", nor {choice}" for choice in self._choices)
            self.fail(
                f"{value!r} is not S,O: two numbers of variance = S*x + O, such as 1e-3,2e-5{otherwise}",
                param,
                ctx,
            )
        return NoiseProfile.uniform(pair[0], pair[1])


class Reference(click.ParamType):
    """A frame's number as `inspect` counts them, or its file."""

    name = "N|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Path:
        """An int counts from 1; anything else is a path."""
        if re.fullmatch(r"\d+", value):
            if int(value) < 1:
                self.fail("frames are counted from 1 (see burstfix inspect)", param, ctx)
            return int(value)
        return Path(value)


class WhiteBalance(click.ParamType):
    """camera, auto, or three gains."""

    name = "camera|auto|R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Gives "camera", "auto" or a tuple of three positive gains."""
        if value in ("camera", "auto"):
            return value
        gains = _numbers(value, 3)
        if gains is None or min(gains) <= 0:
            self.fail(f"{value!r} is not camera, auto or three gains R,G,B such as 2.1,1,1.6", param, ctx)
        return gains


class Exposure(click.ParamType):
    """EV or auto."""

    name = "EV|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Gives "auto" or EV as float."""
        if value == "auto" or isinstance(value, float):
            return value
        ev = _numbers(value, 1)
        if ev is None or abs(ev[0]) > 20:
            self.fail(f"{value!r} is not auto or a number of EV between -20 and 20", param, ctx)
        return ev[0]
