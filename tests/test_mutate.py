"""The mutation script changes one line so that the file still parses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import mutate


@pytest.mark.parametrize("package", sorted(mutate.SUITES))
def test_choose_when_a_package_is_named_then_every_mutant_parses_and_differs(package: str) -> None:
    mutants = mutate.choose([package], 10, seed=3)
    assert len(mutants) == 10
    for mutant in mutants:
        original = ast.unparse(ast.parse((mutate.ROOT / mutant.path).read_text(encoding="utf-8")))
        changed = mutate.mutated_source(mutant)
        assert ast.parse(changed) and changed != original


def test_is_caught_when_a_test_fails_for_a_mutant_then_true_and_the_file_is_restored(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    module = tmp_path / "burstfix" / "errors.py"
    module.parent.mkdir()
    source = (mutate.ROOT / "burstfix" / "errors.py").read_text(encoding="utf-8")
    module.write_text(source, encoding="utf-8")
    test = """from pathlib import Path

def test_a():
    assert "broken" not in Path("burstfix/errors.py").read_text()
"""
    (tmp_path / "suite" / "test_a.py").write_text(test, encoding="utf-8")
    breaks = mutate.Mutant(Path("burstfix/errors.py"), 0, 1, "", lambda node: _append(node, "broken"))
    harmless = mutate.Mutant(Path("burstfix/errors.py"), 0, 1, "", lambda node: _append(node, "harmless"))
    assert mutate.is_caught(breaks, tmp_path, ("suite",))
    assert not mutate.is_caught(harmless, tmp_path, ("suite",))
    assert module.read_text(encoding="utf-8") == source


def _append(node: ast.AST, name: str) -> None:
    assert isinstance(node, ast.Module)
    node.body.append(ast.parse(f"{name} = 1").body[0])
