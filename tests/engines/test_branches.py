"""Rows that part from a trunk, by layers written out: as the model says of each row alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_models import family

from dfar_toolkit.engines.llama.blocks import LONG, blocks_of, cell
from dfar_toolkit.engines.llama.branches import BranchPass
from dfar_toolkit.engines.llama.causal_attention import STEP
from dfar_toolkit.engines.llama.feed_forward import fed, feed
from dfar_toolkit.engines.llama.head import Head
from dfar_toolkit.engines.llama.layers import before_of
from dfar_toolkit.engines.llama.weights import llama_weights

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")
Row = tuple[int, ...]
SHAPES = ({}, {"num_hidden_layers": 4}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}, {"head_dim": 6})


def said(model: Any, prefix: Row, rows: list[Row], parted: list[int], most: int | None = None) -> Any:
    """Logits after each row, by layers written out."""
    weights = llama_weights(model)
    assert weights is not None
    with torch.inference_mode():
        before = []
        if prefix:
            before = before_of(model(torch.tensor([prefix]), use_cache=True).past_key_values, weights)
        states = BranchPass(weights, before, most or max(map(len, rows))).states(rows, parted)
        return Head(weights).all_logits(states)


def alone(model: Any, prefix: Row, rows: list[Row]) -> Any:
    """The same, each row a call of the model."""
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([[*prefix, *row]])).logits[:, -1] for row in rows])


def numbers(count: int, seed: int) -> Row:
    """Tokens at random."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(1, 300, (count,), generator=generator).tolist())


def left_out(trunk: Row, places: list[int], token: int = 7) -> tuple[list[Row], list[int]]:
    """A trunk, and copies with one token changed each."""
    return [trunk, *((*trunk[:at], token, *trunk[at + 1 :]) for at in places)], [0, *places]


@pytest.mark.parametrize("more", SHAPES)
@pytest.mark.parametrize("before", [0, 3, 16, 37])
@pytest.mark.parametrize("tokens", [1, 2, 9, 40, 150])
def test_each_token_left_out(more: dict[str, Any], before: int, tokens: int) -> None:
    model = family(**more).model
    prefix = numbers(before, 1)
    rows, parted = left_out(numbers(tokens, 2), list(range(tokens)))
    torch.testing.assert_close(said(model, prefix, rows, parted), alone(model, prefix, rows), atol=1e-4, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), before=st.integers(0, 20), most=st.integers(0, 30))
def test_rows_of_unequal_lengths(data: Any, before: int, most: int) -> None:
    """Rows part where they say or later; they may be longer or shorter than the trunk, and equal to each other."""
    model = family().model
    prefix = numbers(before, 1)
    trunk = numbers(data.draw(st.integers(1, 70)), 2)
    rows, parted = [trunk], [0]
    for place in sorted(data.draw(st.lists(st.integers(0, len(trunk)), max_size=9))):
        rows.append((*trunk[:place], *data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=40))))
        parted.append(place)
    longest = max(map(len, rows)) + most
    torch.testing.assert_close(
        said(model, prefix, rows, parted, longest), alone(model, prefix, rows), atol=1e-4, rtol=1e-4
    )


def test_a_long_row_has_larger_blocks() -> None:
    model = family(num_hidden_layers=3).model
    rows, parted = left_out(numbers(500, 2), list(range(0, 500, 50)))
    torch.testing.assert_close(said(model, (), rows, parted), alone(model, (), rows), atol=1e-4, rtol=1e-4)


def test_no_row_reads_what_only_another_says() -> None:
    """A token whose numbers are none spoils its own row, and no other."""
    model = family().model
    with torch.no_grad():
        model.get_input_embeddings().weight[9] = torch.nan
    rows, parted = left_out(numbers(40, 2), [5, 20], token=8)
    rows, parted = [*rows, (*rows[0][:30], 9, 11), (*rows[0][:38], 12)], [*parted, 30, 38]
    found = said(model, (), rows, parted)
    assert found.isnan().any(1).tolist() == [False, False, False, True, False]
    own = [0, 1, 2, 4]
    torch.testing.assert_close(found[own], alone(model, (), [rows[at] for at in own]), atol=1e-4, rtol=1e-4)


def test_nothing_kept_is_as_with_a_way_back() -> None:
    weights = llama_weights(family().model)
    assert weights is not None
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, _ = fed(states.clone(), weights.layers[0], weights.tiny)
        torch.testing.assert_close(feed(states.clone(), weights.layers[0], weights.tiny), wanted)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), before=st.integers(0, 40), width=st.integers(1, 700))
def test_laws_of_blocks(data: Any, before: int, width: int) -> None:
    """Blocks follow each other, have every row from where it parts on, and end where a step of keys does."""
    parted = [0, *sorted(data.draw(st.lists(st.integers(0, width - 1), max_size=30)))]
    found = blocks_of(parted, width, before)
    assert [block.start for block in found] == [0, *(block.end for block in found[:-1])]
    assert found[-1].end == width
    assert [block.cells.start for block in found] == [0, *(block.cells.stop for block in found[:-1])]
    for block in found:
        assert block.end == width or (before + block.end) % STEP == 0
        assert block.rows == sum(place < block.end for place in parted) >= 1
        assert 0 < block.end - block.start <= LONG + 2 * STEP
        assert len(block.places(width)) == block.cells.stop - block.cells.start
    row = data.draw(st.integers(0, len(parted) - 1))
    place = data.draw(st.integers(parted[row], width - 1))
    cells = torch.cat([block.places(width) for block in found])
    assert int(cells[cell(found, row, place)]) == row * width + place
    # A row is run from where it parts, or not much before.
    ideal = sum(width - place for place in parted)
    assert found[-1].cells.stop <= ideal + len(parted) * max(2 * STEP, (width - min([*parted[1:], width])) // 6 + STEP)
