"""The law of the house: imports go downwards, heavy guests stay in their rooms, importing the package is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dfar_toolkit"

FLOOR = {
    "cli": 6,
    "_viewer": 6,
    "journeys": 5,
    "browsing": 4.5,
    "corpus": 4, "hub": 4, "runners": 4, "finetune": 4, "scoring": 4,
    "metrics": 3.5, "report": 3.5,
    "sources": 3, "readers": 3, "agreement": 3, "files": 3, "engines": 3,
    "tables": 2, "estimate": 2, "prompts": 2, "tabular": 2, "markup": 2,
    "errors": 1, "losses": 1, "spans": 1,
}  # fmt: skip
GUESTS = {
    "transformers": {"engines", "runners", "finetune"},
    "peft": {"engines", "runners", "finetune"},
    "torch": {"losses", "engines", "runners", "finetune"},
    "huggingface_hub": {"hub", "engines"},
    "datasets": {"hub", "engines"},
    "typer": {"cli"},
    "streamlit": {"_viewer"},
    "crowdkit": {"agreement"},
    "pooch": {"sources"},
    "pyspark": set(),
    "pandas": set(),
    "sklearn": {"finetune"},
}


def _files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "_viewer" not in p.parts and "_datacards" not in p.parts)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
            if node.module == "dfar_toolkit":
                names += [f"dfar_toolkit.{a.name}" for a in node.names]
    return names


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return
    assert room in FLOOR, f"{room} has no floor: put it into DESIGN's table and here"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "dfar_toolkit" and len(parts) > 1 and parts[1] != room:
            below = parts[1]
            if below in ("_viewer", "_datacards"):
                continue  # found by path: the viewer's launch line, the card's templates
            assert FLOOR[below] < FLOOR[room], f"{room} (floor {FLOOR[room]}) imports {below} (floor {FLOOR[below]})"


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_guests_stay_in_their_rooms(path: Path) -> None:
    for name in _imports(path):
        rooms = GUESTS.get(name.split(".")[0])
        assert rooms is None or _room(path) in rooms, f"{path.name} imports {name}"


def test_private_names_are_not_imported() -> None:
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dfar_toolkit"):
                private = [a.name for a in node.names if a.name.startswith("_")]
                assert not private or node.module == "dfar_toolkit", f"{path}: {private} from {node.module}"


def test_no_room_is_called_misc() -> None:
    banned = {"utils", "util", "common", "helpers", "base", "misc", "core"}
    assert not [p for p in _files() if p.stem in banned]


def test_importing_the_package_is_light() -> None:
    heavy = ["torch", "transformers", "datasets", "streamlit", "pandas", "sklearn", "polars", "scipy", "typer"]
    code = f"import sys, dfar_toolkit; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_using_the_public_names_stays_light() -> None:
    heavy = ["torch", "transformers", "datasets", "streamlit", "pandas", "sklearn"]
    code = (
        "import sys, dfar_toolkit as dt\n"
        "for name in dt.__all__: getattr(dt, name)\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_loads_no_room() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['dfar', '--help']\n"
        "from dfar_toolkit.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('polars', 'numpy', 'dataframely', 'rich.table') if m in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "[]\n"
    assert "agreement" in run.stdout


def test_files_stay_short() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in _files() if (n := len(p.read_text().splitlines())) > 400}
    assert not long
