"""What stops a publish: licences that do not go together, small groups of annotators, an unwritten card, the audit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publish_stage import seal

from dfar_toolkit.corpus.card_blocks import PLACE
from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.hub.gate import cell_findings, check_gate, small_cells
from dfar_toolkit.hub.licence_rules import licence_faults
from dfar_toolkit.journeys.publishing import gate_findings


@pytest.mark.parametrize(
    ("published", "sources", "kinds"),
    [
        (["mit"], ["mit", "apache-2.0", "cc0-1.0"], []),
        (["cc-by-nc-4.0"], ["mit"], []),
        (["unknown"], ["mit"], ["unknown"]),
        ([], ["mit"], ["unknown"]),
        (["mit"], ["unknown"], ["unknown"]),
        (["other"], ["other"], []),
        (["cc-by-4.0"], ["cc-by-nc-4.0"], ["conflict"]),
        (["cc-by-nc-sa-4.0"], ["cc-by-nc-4.0", "cc-by-nc-sa-3.0"], []),
        (["cc-by-nc-4.0"], ["cc-by-nc-sa-4.0"], ["conflict"]),
        (["cc-by-sa-4.0"], ["cc-by-sa-3.0", "cc-by-4.0"], []),
        (["gpl-3.0"], ["cc-by-sa-4.0"], []),
        (["cc-by-sa-4.0"], ["gpl-3.0"], ["conflict"]),
        (["gpl-2.0"], ["gpl-3.0"], ["conflict"]),
        (["mit", "gpl-3.0"], ["mit", "gpl-3.0"], []),
        (["gpl-3.0", "cc-by-nc-4.0"], ["gpl-3.0", "cc-by-nc-4.0"], ["conflict"]),
        (["cc-by-nd-4.0"], ["cc-by-nd-4.0"], ["conflict"]),
        (["mit", "unknown"], ["gpl-3.0", "unknown"], ["unknown", "unknown", "conflict"]),
    ],
)
def test_licences(published: list[str], sources: list[str], kinds: list[str]) -> None:
    named = {f"s{number}": licence for number, licence in enumerate(sources)}
    assert [fault.kind for fault in licence_faults(published, named)] == kinds


@given(st.lists(st.tuples(st.sampled_from("mw"), st.sampled_from(["young", "old", None])), min_size=1, max_size=40))
@settings(max_examples=30)
def test_small_cells_are_the_counted_ones(people: list[tuple[str, str | None]]) -> None:
    columns = {"gender": pl.String, "age": pl.String}
    raters = pl.DataFrame(people, schema=columns, orient="row").with_row_index("annotator_id")
    known = [person[: 2 if any(age for _, age in people) else 1] for person in people]
    wanted = {(*cell, known.count(cell)) for cell in known if known.count(cell) < 5}
    assert set(small_cells(raters).rows()) == wanted


def test_small_cells_leave_out_models_and_people_of_whom_nothing_is_known() -> None:
    raters = pl.DataFrame(
        {
            "annotator_id": [*"abcde", "m", "x"],
            "kind": pl.Series(["human"] * 5 + ["model", "human"], dtype=pl.Enum(["human", "model"])),
            "revision": [None] * 5 + ["r1", None],
            "age": [30] * 5 + [1, None],
            "speed": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        }
    )
    assert small_cells(raters).is_empty()
    assert small_cells(raters.drop("age", "speed", "revision")).is_empty()
    assert cell_findings(raters.head(4), public=False)[0].stops is False
    assert cell_findings(raters.head(4), public=True)[0].stops is True
    assert cell_findings(raters.head(4), public=True, allowed=True)[0].stops is False
    assert "(30: 4)" in cell_findings(raters.head(4), public=True)[0].text


def test_the_gate_of_a_folder(demo: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo / "items", tmp_path / "items"))
    found = gate_findings(folder, public=False)
    assert [(one.name, one.stops) for one in found] == [("card.unwritten", True), ("annotators.small_cells", False)]
    assert found[0].text.startswith("8 places of README.md are not written yet (Curated, funded and shared by")
    assert {one.name for one in gate_findings(folder, public=True) if one.stops} == {one.name for one in found}
    with pytest.raises(HubError, match=r"not published, 2 things stand against it: card.unwritten.*small_cells"):
        check_gate(gate_findings(folder, public=True))
    check_gate(gate_findings(folder, public=True, accept=["card.unwritten"], allow_small_cells=True))
    with pytest.raises(ValueError, match=r"publish: there is no finding 'leak.exat' .* is it leak.exact"):
        gate_findings(folder, public=True, accept=["leak.exat"])

    card = folder / "README.md"
    card.write_text(card.read_text().replace(PLACE, "Nobody knows.").replace("license: cc0-1.0", "license: unknown"))
    rows = json.loads((folder / "audit.json").read_text())
    for row in rows:
        if row["finding"] == "leak.exact":
            row["count"] = 3
    (folder / "audit.json").write_text(json.dumps(rows))
    seal(folder)
    found = gate_findings(folder, public=True, accept=["licence.conflict"])
    assert [one.name for one in found] == ["leak.exact", "licence.unknown", "annotators.small_cells"]
    assert found[0].text == "3 of 60"
    assert [one.name for one in gate_findings(folder, public=False, accept=["leak.exact"]) if one.stops] == []

    (folder / "audit.json").write_text('[{"what": 1}]')
    with pytest.raises(TableError, match=r"audit.json: a row is no finding"):
        gate_findings(seal(folder), public=False)
    card.write_text("---\nlicense: mit\n")
    (folder / "audit.json").write_text("[]")
    with pytest.raises(TableError, match="must end in a line"):
        gate_findings(seal(folder), public=False)
