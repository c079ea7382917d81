"""Commands in the documents run on the example burst, and documents match the code."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

from burstfix import errors
from burstfix.cli import app, main
from burstfix.cli.epilog import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown_commands() -> list[str]:
    """Return every line in `sh` blocks that begins with burstfix."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("burstfix ")]
    return list(dict.fromkeys(lines))


def command(name: str) -> click.Command:
    ctx = app.group.make_context("burstfix", [], resilient_parsing=True)
    found = app.group.get_command(ctx, name)
    assert found is not None
    return found


@pytest.fixture
def workplace(tmp_path: Path, example_burst: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the folders that the documents assume: shots/ with raws, and one for pictures."""
    for folder in ("shots", "pictures"):
        (tmp_path / folder).mkdir()
    for path in example_burst[:4]:
        shutil.copy(path, tmp_path / "shots")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_documents_when_searched_then_contain_commands() -> None:
    assert sum(line.startswith("burstfix merge ") for line in shown_commands()) >= 4
    assert any(line.startswith("burstfix inspect ") for line in shown_commands())


@pytest.mark.parametrize("line", shown_commands())
def test_command_in_document_when_run_on_the_example_then_succeeds(
    line: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(line)[1:]
    before = set(workplace.rglob("*"))
    assert main(arguments) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    written = sorted(path.name for path in set(workplace.rglob("*")) - before)
    if "--json" in arguments:
        assert len(json.loads(out)["frames"]) == 4
    if arguments[0] in ("inspect", "looks", "weights"):
        assert written == []
    elif arguments[0] == "batch":
        assert {"example_000-example_003.tif", "summary.csv", "burstfix.sqlite"} <= set(written)
    elif "-o" in arguments and not arguments[arguments.index("-o") + 1].endswith("/"):
        assert written == [arguments[arguments.index("-o") + 1]]
    else:
        assert len(written) == 1 and re.fullmatch(r"example_00\d_merged\.tif", written[0])


def test_python_document_when_its_examples_run_in_order_then_they_succeed(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    out = capsys.readouterr().out
    assert "prepare" in out and "no such file or folder 3" in out
    assert (workplace / "night.tif").exists() and (workplace / "night.dng").exists()


def test_manual_pages_when_built_then_each_command_has_one_with_its_options() -> None:
    spec = importlib.util.spec_from_file_location("man", ROOT / "docs" / "man.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = module.pages()
    for name, one in all_commands().items():
        page = pages[f"burstfix-{name.replace(' ', '-')}.1"]
        assert page.startswith(".TH ") and ".SH SYNOPSIS" in page
        for option in [option for parameter in one.params for option in parameter.opts if option[:2] == "--"]:
            assert option.replace("-", "\\-") in page, (name, option)
    assert "terminated" not in pages["burstfix.1"] and "130  interrupted" in pages["burstfix.1"]


def all_commands() -> dict[str, click.Command]:
    """Return every command that is not a group, by its full name such as "weights list"."""
    found: dict[str, click.Command] = {}
    for name in app.COMMANDS:
        one = command(name)
        parts = one.commands if isinstance(one, click.Group) else {"": one}
        found.update({f"{name} {part}".strip(): below for part, below in parts.items()})
    return found


@pytest.mark.parametrize("name", all_commands())
def test_cli_document_when_compared_with_a_command_then_its_section_lists_all_options(name: str) -> None:
    document = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", document, flags=re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section {name}"
    assert f"burstfix {name}" in document
    rows = re.findall(r"^\| (`.*?) \| ", section[1], flags=re.MULTILINE)
    shared = re.findall(r"[Oo]ptions,? (?:all )?as in \[.*?\.(?=\n\n)", section[1], flags=re.DOTALL)
    listed = set(re.findall(r"`(--[a-z-]+)", " ".join([*rows, *shared])))
    parameters = all_commands()[name].params
    options = {option for one in parameters for option in one.opts + one.secondary_opts}
    everywhere = {"--json", "--verbose", "--quiet"}  # described once for all commands
    assert listed - everywhere == {option for option in options if option.startswith("--")} - everywhere


def test_exit_codes_when_compared_then_errors_help_and_document_agree() -> None:
    classes = [error for error in vars(errors).values() if isinstance(error, type)]
    used = {error.exit_code for error in classes if issubclass(error, errors.BurstfixError)}
    document = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", document, flags=re.MULTILINE)}
    helped = {int(code) for code in re.findall(r"^  (\d+) ", EXIT_CODES, flags=re.MULTILINE)}
    assert used | {0, 129, 130, 141, 143} == listed == helped


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_links_when_followed_then_their_targets_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http:", "https:")):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
    for link, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", text):
        target = document.parent / link if link else document
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{document.name} links to {link}#{anchor}"
