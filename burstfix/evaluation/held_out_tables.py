"""Tables and JSON for `held_out`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from burstfix.evaluation.held_out import PARTS, HeldOutScore
from burstfix.evaluation.statistics import Estimate, bootstrap
from burstfix.evaluation.tables import half_width, rounded
from burstfix.names import printable


def estimate(scores: Sequence[HeldOutScore], method: str, burst: str, part: str) -> Estimate:
    """Estimate the mean squared error of a method, with its confidence interval over blocks."""
    return bootstrap(_by_block(_errors(scores, method, burst, part)))


def difference(scores: Sequence[HeldOutScore], method: str, baseline: str, burst: str, part: str) -> Estimate:
    """Estimate the mean squared error of a method minus that of the baseline, paired by block."""
    errors, expected = (_errors(scores, name, burst, part) for name in (method, baseline))
    return bootstrap(_by_block({key: error - expected[key] for key, error in errors.items()}))


def noise(scores: Sequence[HeldOutScore], burst: str, part: str) -> Estimate:
    """Estimate the noise of the held-out frames. It is 1 if the noise profile is correct."""
    method = scores[0].method
    found = {
        (s.block, s.pair): s.noise for s in scores if (s.method, s.burst, s.part) == (method, burst, part)
    }
    return bootstrap(_by_block(found))


def document(scores: Sequence[HeldOutScore], baseline: str) -> list[dict[str, Any]]:
    """Return all results as JSON."""
    records = []
    for burst, method, part in _rows(scores):
        record: dict[str, Any] = {
            "burst": burst,
            "model": method,
            "part": part,
            "error": _record(estimate(scores, method, burst, part)),
            "noise": _record(noise(scores, burst, part)),
        }
        if method != baseline:
            found = difference(scores, method, baseline, burst, part)
            record |= {"baseline": baseline, "difference": _record(found)}
        records.append(record)
    return records


def rich_tables(scores: Sequence[HeldOutScore], baseline: str) -> Group:
    """Return for each burst a table of errors and a table of differences from the baseline."""
    parts: list[Any] = []
    methods = list(dict.fromkeys(s.method for s in scores))
    for burst in dict.fromkeys(s.burst for s in scores):
        errors = Table(
            title=f"{printable(burst)}: mean squared error / noise variance of a frame", title_justify="left"
        )
        gains = Table(title=f"{printable(burst)}: difference to {printable(baseline)}", title_justify="left")
        for table in (errors, gains):
            table.add_column("model")
            for part in PARTS:
                table.add_column(part, justify="right")
        for method in methods:
            errors.add_row(
                printable(method), *(_text(estimate(scores, method, burst, part)) for part in PARTS)
            )
            if method != baseline:
                found = (difference(scores, method, baseline, burst, part) for part in PARTS)
                gains.add_row(printable(method), *(_text(value, "+") for value in found))
        errors.add_row("noise of a frame", *(_text(noise(scores, burst, part)) for part in PARTS))
        parts += [errors, gains] if len(methods) > 1 else [errors]
    parts.append("± is half of the 95% confidence interval (bootstrap over blocks and pairs of frames).")
    return Group(*parts)


def _rows(scores: Sequence[HeldOutScore]) -> list[tuple[str, str, str]]:
    return list(dict.fromkeys((s.burst, s.method, s.part) for s in scores))


def _errors(
    scores: Sequence[HeldOutScore], method: str, burst: str, part: str
) -> dict[tuple[int, int], float]:
    wanted = method, burst, part
    return {(s.block, s.pair): s.error for s in scores if (s.method, s.burst, s.part) == wanted}


def _by_block(values: dict[tuple[int, int], float]) -> list[list[float]]:
    blocks: dict[int, list[float]] = {}
    for (block, _), value in values.items():
        blocks.setdefault(block, []).append(value)
    return list(blocks.values())


def _text(value: Estimate, sign: str = "") -> str:
    return f"{value.mean:{sign}.3f} {half_width(value, 3)}"


def _record(value: Estimate) -> dict[str, float | None]:
    return {
        "mean": rounded(value.mean, 5),
        "low": rounded(value.low, 5),
        "high": rounded(value.high, 5),
        "standard_error": rounded(value.error, 5),
    }
