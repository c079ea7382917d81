"""Change single lines of the code and check that a test fails (`make mutate`).

    python tests/mutate.py --count 100 --seed 1 [--only raw align] [--jobs 1]

Each mutant changes one expression in a copy of the tree, then runs the tests of that package until one fails.
The script prints one line per mutant, then the survivors and the share of caught mutants. Constants that only
tune an algorithm are not changed, because other values are not wrong.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SUITES: dict[str, tuple[str, ...]] = {
    "raw": ("tests/raw", "tests/opcodes", "tests/engine"),
    "align": ("tests/align", "tests/analysis", "tests/engine"),
    "analysis": ("tests/analysis", "tests/test_write_dng.py"),
    "engine": ("tests/engine", "tests/opcodes"),
    "color": ("tests/color",),
    "opcodes": ("tests/opcodes",),
    "io": ("tests/io", "tests/test_output_tags.py", "tests/test_write_dng.py"),
}
"""Tests that should detect a break in each package, the most likely first."""

SECONDS = 300  # time limit of one mutant; a mutant that hangs counts as caught

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sin": "cos", "cos": "sin"}


@dataclass(frozen=True)
class Mutant:
    """One change: `apply` edits the node at `index` in `ast.walk` order of the file's tree."""

    path: Path
    index: int
    line: int
    what: str
    apply: Callable[[ast.AST], None]


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Return all single changes of a file that are likely to be wrong."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    skipped = _annotations_and_messages(tree)
    for index, node in enumerate(ast.walk(tree)):
        line = getattr(node, "lineno", 0)
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            after = COMPARISONS[type(node.ops[0])]
            what = f"{type(node.ops[0]).__name__} -> {after.__name__}"
            yield Mutant(path, index, line, what, lambda n, after=after: n.ops.__setitem__(0, after()))  # type: ignore[attr-defined]
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            after = OPERATORS[type(node.op)]
            what = f"{type(node.op).__name__} -> {after.__name__}"
            yield Mutant(path, index, line, what, lambda n, after=after: setattr(n, "op", after()))
        elif isinstance(node, ast.BoolOp):
            after = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield Mutant(path, index, line, "and <-> or", lambda n, after=after: setattr(n, "op", after()))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield Mutant(path, index, line, "minus dropped", lambda n: setattr(n, "op", ast.UAdd()))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield Mutant(path, index, line, "not dropped", _drop_not)
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield Mutant(path, index, line, f"{node.attr} -> {NAMES[node.attr]}", _rename_attribute)
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield Mutant(path, index, line, f"{node.id} -> {NAMES[node.id]}", _rename)


def _annotations_and_messages(tree: ast.AST) -> set[int]:
    """Return the ids of nodes without influence on results: annotations, decorators, logging, error texts."""
    skipped: set[int] = set()

    def skip(node: ast.AST | None) -> None:
        if node is not None:
            skipped.update(id(child) for child in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            skip(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            skip(node.returns)
            for decorator in node.decorator_list:
                skip(decorator)
        elif isinstance(node, ast.JoinedStr | ast.Raise):
            skip(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "logger"):
                skip(node)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skip(node)
    return skipped


def _drop_not(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    operand = node.operand  # `not x` becomes `not (not x)`, so that the tree keeps its shape
    node.operand = ast.UnaryOp(ast.Not(), operand)


def _rename(node: ast.AST) -> None:
    assert isinstance(node, ast.Name)
    node.id = NAMES[node.id]


def _rename_attribute(node: ast.AST) -> None:
    assert isinstance(node, ast.Attribute)
    node.attr = NAMES[node.attr]


def mutated_source(mutant: Mutant) -> str:
    """Return the source of the file with the change."""
    tree = ast.parse((ROOT / mutant.path).read_text(encoding="utf-8"))
    for index, node in enumerate(ast.walk(tree)):
        if index == mutant.index:
            mutant.apply(node)
            break
    return ast.unparse(ast.fix_missing_locations(tree))


def choose(packages: list[str], count: int, seed: int) -> list[Mutant]:
    """Choose `count` mutants at random, the same number from each package."""
    rng = random.Random(seed)
    chosen: list[Mutant] = []
    for number, package in enumerate(packages):
        files = sorted((ROOT / "burstfix" / package).rglob("*.py"))
        every = [mutant for file in files for mutant in mutants_of(file.relative_to(ROOT))]
        share = count // len(packages) + (number < count % len(packages))
        chosen += rng.sample(every, min(share, len(every)))
    return chosen


def tests_of(mutant: Mutant, tree: Path) -> list[str]:
    """Return the tests to run: first the files that are named after the module, then the package's suites."""
    own = sorted((tree / "tests").rglob(f"test_{mutant.path.stem.strip('_')}*.py"))
    suites = SUITES[mutant.path.parts[1]]
    return [str(file.relative_to(tree)) for file in own] + [name for name in suites if (tree / name).exists()]


def is_caught(mutant: Mutant, tree: Path, tests: Sequence[str]) -> bool:
    """Write the mutant into the copy of the tree, run its tests until one fails, and restore the file."""
    target = tree / mutant.path
    original = target.read_text(encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        target.write_text(mutated_source(mutant), encoding="utf-8")
        for part in tests:
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "no:cacheprovider",
                "-m",
                "not slow",
                part,
            ]
            try:
                done = subprocess.run(
                    command, cwd=tree, env=environment, capture_output=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return True
            if done.returncode not in (0, 5):  # 5: no test was collected
                return True
        return False
    finally:
        target.write_text(original, encoding="utf-8")


def main() -> int:
    """Run the mutants; return exit code 1 if fewer than 90% are caught."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=105)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=sorted(SUITES), default=sorted(SUITES))
    arguments = parser.parse_args()
    mutants = choose(arguments.only, arguments.count, arguments.seed)
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "out", "runs", "__pycache__", "build")
        )
        for number, mutant in enumerate(mutants, 1):
            started = time.monotonic()
            caught = is_caught(mutant, tree, tests_of(mutant, tree))
            if not caught:
                survivors.append(mutant)
            state = "caught" if caught else "SURVIVED"
            seconds = time.monotonic() - started
            place = f"{mutant.path}:{mutant.line}"
            print(f"{number}/{len(mutants)} {state} {place} {mutant.what} ({seconds:.0f} s)", flush=True)
    share = 1 - len(survivors) / max(1, len(mutants))
    print(f"\n{len(mutants) - len(survivors)} of {len(mutants)} caught ({share:.0%})")
    for mutant in survivors:
        print(f"  survived: {mutant.path}:{mutant.line} {mutant.what}")
    return 0 if share >= 0.9 else 1


if __name__ == "__main__":
    raise SystemExit(main())
