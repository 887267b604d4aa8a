"""The built wheel works on its own: an empty venv outside the checkout runs the demo with nothing but the core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays clean and stale build files cannot help."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("dfar_toolkit", "viewer", "datacards"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    out = copy / "dist"
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(copy), cwd=copy)
    (built,) = out.glob("*.whl")
    return built


def run(*words: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_it_holds_every_file_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    places = {"dfar_toolkit": "dfar_toolkit", "viewer": "dfar_toolkit/_viewer", "datacards": "dfar_toolkit/_datacards"}
    for folder, place in places.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{place}/{path.relative_to(ROOT / folder).as_posix()}" in names


def test_it_runs_the_demo_in_an_empty_venv(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python, dfar = str(home / "bin" / "python"), str(home / "bin" / "dfar")
    constraints = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, str(wheel), cwd=tmp_path)
    shown = run(dfar, "demo", "--out", "demo", cwd=tmp_path)
    assert "Do the models agree with people?" in shown
    assert "is undefined" not in shown
    assert (tmp_path / "demo" / "report.html").is_file()
    assert run(dfar, "check", "demo/items", cwd=tmp_path)
    where = run(python, "-c", "import dfar_toolkit; print(dfar_toolkit.__file__)", cwd=tmp_path)
    assert str(home) in where
    installed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).lower()
    assert not [name for name in ("torch==", "nvidia", "streamlit==", "transformers==") if name in installed]
