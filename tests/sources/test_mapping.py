from __future__ import annotations

from pathlib import Path

import pytest

import dfar_toolkit
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.mapping import Mapping, mapping_from_yaml, source_path

FULL = """
name: everyday
title: "Everyday: conduct"
licence: cc0-1.0
homepage: https://example.org
citation: Nobody, never, nowhere.
languages: [en, bn]
layout: long
files: {train: a.csv, test: b.csv}
separator: "\\t"
columns: {id: no, statement: yes, context: [before, after], stem: s, context_key: k,
          annotator: a, label: l, reason: r, at: t}
question: {id: ethical, kind: nominal, options: [yes, no], wording: 'Is it?'}
labels: {0: no, 01: yes}
raters: {file: people/raters.csv, annotator: who}
"""


def _yaml(folder: Path, text: str) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read_as_text(tmp_path: Path) -> None:
    assert mapping_from_yaml(_yaml(tmp_path, FULL)) == Mapping(
        name="everyday",
        title="Everyday: conduct",
        licence="cc0-1.0",
        homepage="https://example.org",
        citation="Nobody, never, nowhere.",
        languages=("en", "bn"),
        layout="long",
        files={"train": "a.csv", "test": "b.csv"},
        separator="\t",
        id="no",
        statement="yes",
        context=("before", "after"),
        stem="s",
        context_key="k",
        annotator="a",
        label="l",
        reason="r",
        at="t",
        question="ethical",
        kind="nominal",
        options=("yes", "no"),
        wording="Is it?",
        labels={"0": "no", "01": "yes"},
        raters_file="people/raters.csv",
        raters_annotator="who",
    )


def test_wide_raters_one_by_one_and_by_pattern(tmp_path: Path) -> None:
    head = "layout: wide\nquestion: {options: [a]}\n"
    one = mapping_from_yaml(_yaml(tmp_path, head + "wide: {raters: {anna: {label: x, reason: y}, bo: {label: z}}}"))
    assert one.wide_raters == {"anna": ("x", "y"), "bo": ("z", "")}
    pattern = mapping_from_yaml(
        _yaml(tmp_path, head + 'wide: {label: "l_{annotator}", reason: "r_{annotator}"}\nsplit: dev')
    )
    assert (pattern.wide_label, pattern.wide_reason, pattern.fixed_split) == ("l_{annotator}", "r_{annotator}", "dev")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lable: x", 'the key "lable" is unknown. Is it "labels"?'),
        ("columns: {anotator: x}", 'the key "anotator" under columns is unknown. Is it "annotator"?'),
        ("layout: wide\nwide: {raters: {anna: {lbl: x}}}", 'the key "lbl" under wide.raters is unknown.'),
        ("wide: {raters: [anna]}", "wide.raters: wanted annotator:"),
        ("name: a\nname: b", 'line 2: the key "name" stands twice.'),
        ("columns: [a]", "columns: wanted keys and values"),
        ("languages: {a: b}", "languages: wanted a list of texts"),
        ("title: [a]", "title: wanted one text"),
        ("labels: [a]", "labels: wanted pairs of texts"),
        ("files: [a]", "files: wanted pairs of texts"),
        ("- a", "wanted keys and values; found something else"),
        ("name: [", "line 1: this is not YAML that can be read (expected"),
        ("a: [[[[[[[b]]]]]]]", "line 1 is nested too deeply"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("name: a\ncolumns: {label: y}\nfiles: /etc/passwd", 'wanted paths inside the raw folder; found "/etc/passwd"'),
        ("columns: {label: y}\nfiles: {train: ../a.csv}", 'found "../a.csv"'),
        ("columns: {label: y}\nfiles: 'C:\\a.csv'", "wanted paths inside the raw folder"),
        ("columns: {label: y}\nraters: {file: x/../../y.csv}", 'found "x/../../y.csv"'),
        ("!!python/object/apply:os.system [ls]", "wanted keys and values"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = _yaml(tmp_path, text)
    with pytest.raises(SourceError) as caught:
        mapping_from_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such mapping file"):
        mapping_from_yaml(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff")
    with pytest.raises(SourceError, match="invalid UTF-8 at offset 6"):
        mapping_from_yaml(tmp_path / "bad.yaml")
    with pytest.raises(SourceError, match="the long layout needs the column of the label"):
        mapping_from_yaml(_yaml(tmp_path, ""))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a:b", "label": "y"}, "wanted some text without colon"),
        ({"label": "y", "layout": "tall"}, "wanted long or wide"),
        ({"label": "y", "wide_label": "l_{annotator}"}, "wanted layout: wide"),
        ({"layout": "wide"}, "the wide layout needs its raters"),
        ({"layout": "wide", "wide_label": "l"}, "needs {annotator} once"),
        ({"layout": "wide", "wide_label": "l_{annotator}", "label": "y"}, "give them under wide"),
        ({"layout": "wide", "wide_label": "l_{annotator}", "wide_raters": {"a": ("x", "")}}, "not both"),
        ({"layout": "wide", "wide_raters": {"a": ("", "r")}}, "needs the column of the label"),
        ({"label": "y", "split": "s", "fixed_split": "test"}, "the split is given more than once"),
        ({"label": "y", "split": "s", "files": {"train": "a.csv"}}, "the split is given more than once"),
        ({"label": "y", "kind": "span"}, "question.kind: wanted one of"),
        ({"label": "y", "options": ("a", "a")}, "name one twice"),
        ({"label": "y", "kind": "interval", "options": ("a",)}, "takes no options"),
        ({"label": "y", "options": ("good",), "labels": {"1": "goods"}}, 'Is it "good"?'),
        ({"label": "y", "separator": ", "}, "the separator must be one character"),
    ],
)
def test_mappings_that_contradict_themselves(fields: dict[str, object], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        Mapping(**fields)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "secret.csv").write_text("a\n")
    (raw / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(SourceError, match="leads out of it"):
        source_path(raw, "a.csv")


def test_the_mapping_of_the_demo_is_sound() -> None:
    path = Path(dfar_toolkit.__file__).parent / "journeys" / "everyday" / "mapping.yaml"
    mapping = mapping_from_yaml(path)
    assert (mapping.name, mapping.question, mapping.options) == ("everyday", "ethical", ("ethical", "unethical"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("languages: &a [en]\nquestion: {options: *a}\n", "the alias *a"),
        ('columns: {label: y}\nquestion: {options: [" a", a]}\n', "without white space"),
        ('columns: {label: y}\nquestion: {options: ["\\ud83d\\ude42", x]}\n', "options are texts"),
    ],
)
def test_what_a_mapping_may_not_hold(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        mapping_from_yaml(_yaml(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
