from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest
from report_example import HOSTILE, IMAGE, LINK, NAN, SCRIPT, example, row

from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.html import html

# Whatever is not in this list could run, load, or send something.
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "ul", "li", "a", "h1", "h2", "main"),
    *("section", "p", "div", "figure", "figcaption", "details", "summary", "table", "caption", "thead", "tbody"),
    *(
        "footer",
        "tr",
        "th",
        "td",
        "span",
        "svg",
        "g",
        "path",
        "text",
        "tspan",
        "rect",
        "line",
        "circle",
        "defs",
        "clippath",
        "wbr",
    ),
}


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def hostile() -> str:
    return html(example(options=HOSTILE, runs=(IMAGE, LINK), title=SCRIPT))


@pytest.fixture(scope="module")
def plain() -> str:
    return html(example())


def test_hostile_text_stays_text(hostile: str) -> None:
    page = Page(hostile)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    attributes = {(tag, name) for tag, attrs in page.elements for name in attrs}
    assert not [a for a in attributes if a[1].startswith("on") or a[1] in ("src", "srcset", "style", "xlink:href")]
    assert {attrs["href"][0] for tag, attrs in page.elements if "href" in attrs} == {"#"}  # type: ignore[index]
    said = "".join(page.words)
    assert SCRIPT in said
    assert IMAGE in said
    assert LINK in said
    assert "{{ 7 * 7 }}" in said  # no template in a template
    assert "\x08" not in hostile
    assert "\u202e" not in hostile


def test_hostile_text_in_pictures(hostile: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", hostile, flags=re.DOTALL)
    assert len(pictures) == 6  # findings, agreement, scores, two confusions, reasons
    assert any("&lt;script&gt;alert(1)&lt;/script&gt;" in p for p in pictures)
    for picture in pictures:
        assert not re.search(r"<(script|style|image|a|foreignObject|use|animate)[\s>]", picture)
        assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"|>[^<]*<', "", picture))


def test_nothing_is_fetched(plain: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', plain)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    outside = set(re.findall(r"https?://[^\"'\s<]+", plain))
    assert outside <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", plain)
    assert "@import" not in plain


def test_ids_in_pictures_are_unique_and_resolved(plain: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', plain)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", plain)) <= set(ids)


def test_same_data_same_bytes(plain: str) -> None:
    html(example(options=HOSTILE))  # other pictures in between must not matter
    assert html(example()) == plain


def test_every_number_has_interval_and_n(plain: str) -> None:
    cells = re.findall(r"<tr>(.*?)</tr>", plain)
    alpha = next(c for c in cells if "krippendorff_alpha" in c)
    assert re.findall(r"<td[^>]*>([^<]*)<", alpha)[-5:-1] == [
        "0.347",
        "[0.311, 0.383]",
        "5,000",
        "1,120 groups, bootstrap",
    ]
    kappa = next(c for c in cells if "cohen_kappa" in c)
    assert "undefined: three raters" in kappa
    assert "no reason was judged" in plain
    assert ">1,234<" in plain
    assert "no label" in plain


def test_a_count_is_shown_as_a_count(plain: str) -> None:
    missing = next(c for c in re.findall(r"<tr>(.*?)</tr>", plain) if "missing_outputs" in c)
    assert '<td class="n">3</td>' in missing


def test_empty_report() -> None:
    text = html(ReportData(title="Nothing yet"))
    assert "<h1>Nothing yet</h1>" in text
    assert "<section" not in text


def test_report_without_runs_or_with_only_undefined_numbers() -> None:
    undefined = pl.DataFrame([row("accuracy", "r", NAN, low=NAN, high=NAN, n=0, note="no items")])
    text = html(ReportData(title="t", scores=undefined, agreement=[{"statistic": "alpha", "value": None, "n": 0}]))
    assert "undefined: no items" in text
    assert "<svg" not in text


def test_footer_and_glossary() -> None:
    text = html(replace(example(), footer=["made by <b>", "seed 0"]))
    assert "<footer>\n<p>made by &lt;b&gt;</p>\n<p>seed 0</p>\n</footer>" in text
    assert "Chance that two different people" not in text  # only what occurs
    assert "<footer>" not in html(example())
    assert re.search(r"<details><summary>One line per name \(\d+\)</summary>", text)


def test_a_matrix_of_very_many_labels_is_a_table_alone() -> None:
    def page(n: int) -> str:
        cells = [(f"o{i}", f"o{i}", 1) for i in range(n)]
        frame = pl.DataFrame(cells, schema=["gold", "pred", "count"], orient="row")
        return html(ReportData("", confusions={"r": frame}))

    assert ("<svg" in page(40), "not drawn" in page(40)) == (True, False)
    assert ("<svg" in page(41), "not drawn" in page(41)) == (False, True)
