"""How explained numbers change with values of options: by hand, and against automatic differentiation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.engines.attribution.target_values import sloped, weighed

torch = pytest.importorskip("torch")
KINDS = ("logit", "log_prob", "prob", "option_log_prob")


class Asked(NamedTuple):
    """A target and a contrast."""

    target: int
    contrast: int | None


@pytest.mark.parametrize(
    ("kind", "contrast", "value", "slopes"),
    [
        ("log_prob", None, math.log(1 / 8), [0, 1, 0]),
        ("logit", 2, math.log(1 / 8) - math.log(5 / 8), [0, 1, -1]),
        ("prob", None, 1 / 8, [0, 1 / 8, 0]),
        ("prob", 2, 1 / 8 - 5 / 8, [0, 1 / 8, -5 / 8]),
        ("option_log_prob", None, math.log(1 / 8), [-2 / 8, 7 / 8, -5 / 8]),
        ("option_log_prob", 0, math.log(1 / 2), [-1, 1, 0]),
    ],
)
def test_by_hand(kind: Any, contrast: int | None, value: float, slopes: list[float]) -> None:
    """Three options of probabilities 2/8, 1/8 and 5/8; the slope of a probability by its logarithm is itself."""
    table = torch.tensor([[2 / 8, 1 / 8, 5 / 8]], dtype=torch.float64).log()
    found = sloped(table, [Asked(1, contrast)], kind)
    assert found.values.tolist() == pytest.approx([value], abs=1e-12)
    assert (found.slopes * found.factors[:, None])[0].tolist() == pytest.approx(slopes, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS), options=st.integers(1, 4), rows=st.integers(1, 3))
def test_as_by_automatic_differentiation(data: st.DataObject, kind: Any, options: int, rows: int) -> None:
    """Also with options that an input does not have, and with probabilities below what single precision holds."""
    chosen, cells = [], []
    for _ in range(rows):
        own = data.draw(st.integers(1, options))
        target = data.draw(st.integers(0, own - 1))
        others = [None, *(at for at in range(own) if at != target)]  # no option is contrasted with itself
        chosen.append(Asked(target, data.draw(st.sampled_from(others))))
        cells.append([data.draw(st.floats(-300, 5)) if at < own else -math.inf for at in range(options)])
    table = torch.tensor(cells, dtype=torch.float64, requires_grad=True)
    parts, factors = weighed(table, chosen, kind)
    (wanted,) = torch.autograd.grad(parts.sum(), [table])
    found = sloped(table.detach(), chosen, kind)
    torch.testing.assert_close(found.slopes, wanted.nan_to_num(0.0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.values, parts.detach() * factors)
    assert torch.equal(found.factors, factors)
