"""Tables of numbers on the terminal: a line is as long as it must be, and no number is cut."""

from __future__ import annotations

import pytest

from dfar_toolkit.cli.printing import print_noted


def test_no_cell_of_a_table_of_numbers_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    header = ["method", *(f"metric {k}" for k in range(20)), "n", "notes"]
    numbers = [f"-0.{k:03} [-0.{k:03}, 0.{k:03}]" for k in range(20)]
    print_noted(header, [["integrated_gradients", *numbers, "12", "one; two"]], title="wide", about=())
    row = next(line for line in capsys.readouterr().out.splitlines() if "integrated_gradients" in line)
    assert all(number in row for number in numbers)
    assert row.split()[-3:] == ["12", "1", "2"]
