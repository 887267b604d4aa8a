"""Documentation that cannot drift: snippets run, the command reference is what the commands say."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from dfar_toolkit.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[tuple[str, str]]:
    return [(page.name, body) for page in PAGES for kind, body in FENCE.findall(page.read_text()) if kind == language]


@pytest.fixture
def beside_demo(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(demo, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "code"), snippets("python"))
def test_python_snippets_run(page: str, code: str, beside_demo: Path) -> None:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=beside_demo, check=False)
    assert run.returncode == 0, f"{page}: {run.stderr}"


@pytest.mark.parametrize(("page", "code"), snippets("bash"))
def test_bash_snippets_run(page: str, code: str, beside_demo: Path) -> None:
    dfar = Path(sys.executable).with_name("dfar")
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "dfar", f"{page}: {line}"
        run = subprocess.run([dfar, *words[1:]], capture_output=True, text=True, cwd=beside_demo, check=False)
        assert run.returncode == 0, f"{page}: {line}: {run.stderr}"


def test_the_command_reference_is_what_the_commands_say() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "write_cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "cli.md").read_text() == module.reference(), "run: make docs"


def test_every_command_has_help_with_an_example_and_every_option_is_explained() -> None:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"Example: dfar {name}" in (command.help or ""), name
        for option in command.params:
            assert getattr(option, "help", None), f"{name}: {option.name}"


def test_links_between_pages_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_named_in_the_pages_exists() -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        for name in re.findall(r"`dfar ([a-z-]+)", page.read_text()):
            assert name in known, f"{page.name}: dfar {name}"
