"""Every place where a page holds text, and what may stand there: HTML of our templates, escaped labels, plain text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

CANARY: Final = re.compile(r"pwn", re.IGNORECASE)  # in every hostile text
_TAGS: Final = re.compile(
    "a|article|aside|b|bdi|caption|code|dd|del|details|div|dl|dt|em|h[1-4]|header|i|ins|kbd|li|mark|nav|ol|p|pre|q|"
    "section|small|span|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|ul"
)
_PLAIN: Final = frozenset(("title", "aria-label"))  # attributes that may hold text of the data, which is never read
_ATTRIBUTES: Final = re.compile(
    r"class|style|href|title|dir|role|open|lang|value|scope|colspan|rowspan|datetime|aria-[a-z]+|data-[a-z]+"
)
_HREF: Final = re.compile(r"(\./|[a-z]*)(\?[A-Za-z0-9_.~%+=&*-]*)?")
_STYLE: Final = re.compile(r"[a-z0-9 :;,.%()#-]*", re.IGNORECASE)
_FUNCTIONS: Final = {"var", "color-mix", "rgb", "rgba", "calc"}
# Fields of Streamlit's messages: those that it shows as they are, and those that it never shows.
_AS_IT_IS: Final = ("text.body", "code.code_text", "text_input.default", "text_area.default", "text_input.value")
_UNSEEN: Final = ("id", "key", "form_id", "url", "element_id")
# What Markdown, HTML, LaTeX, colours, icons and mentions begin with, where no backslash stands before it.
_MARKUP: Final = re.compile(r"[`*_{}\[\]()<>#|~$&@]|:[a-z0-9_+/-]+:", re.IGNORECASE)
# What is made a link or a picture after that, backslashes or not.
_MADE_LATER: Final = re.compile(r"https?://|www\.|@[\w-]|:streamlit:", re.IGNORECASE)


class Sink(NamedTuple):
    """A place, and the text that it is given."""

    place: str
    text: str


def sinks_of(test: Any) -> list[Sink]:
    """Every text in the messages that a page sends, by element and field; style sheets are our own."""
    found = [Sink(place, text) for node in _nodes(test._tree) for place, text in _texts(node)]
    return [sink for sink in found if not sink.text.startswith("<style>")]


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", {}).values():
        yield from _nodes(child)


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    proto = getattr(node, "proto", None)
    if proto is not None:
        yield from _fields(node.type, proto)


def _fields(kind: str, message: Any) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        for one in values:
            if isinstance(one, str):
                yield f"{kind}.{field.name}", one
            elif hasattr(one, "ListFields"):
                yield from _fields(kind, one)


class Piece(NamedTuple):
    """A text within an element, or the value of one of its attributes."""

    place: str
    text: str


class PageHtml(HTMLParser):
    """Reads HTML of ours: ``wrong`` holds what no template of ours writes, ``pieces`` every text, ``hrefs`` links."""

    def __init__(self, body: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.pieces: list[Piece] = []
        self.hrefs: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(body)
        self.close()
        self._end_text()
        self.wrong += [f"<{tag}> is not closed" for tag in self._open]

    @property
    def text(self) -> str:
        """All that is read, one blank for any."""
        return " ".join(" ".join(p.text for p in self.pieces if "@" not in p.place).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_text()
        if not _TAGS.fullmatch(tag):
            self.wrong.append(f"<{tag}>")
        classes = (dict(attrs).get("class") or "").split()
        self._open.append(tag)
        place = f"{tag}.{classes[0]}" if classes else tag
        for name, value in attrs:
            self._attribute(place, name, value or "")

    def _attribute(self, place: str, name: str, value: str) -> None:
        if not _ATTRIBUTES.fullmatch(name):
            self.wrong.append(f"{place} {name}={value[:80]!r}")
        elif name == "href":
            self.hrefs.append(value)
            if not _HREF.fullmatch(value):
                self.wrong.append(f"{place} href={value[:200]!r}")
        elif name == "style":
            functions = set(re.findall(r"([\w-]+)\s*\(", value))
            if not _STYLE.fullmatch(value) or not functions <= _FUNCTIONS or CANARY.search(value):
                self.wrong.append(f"{place} style={value[:200]!r}")
        elif name in _PLAIN:
            self.pieces.append(Piece(f"{place}@{name}", value))
        elif CANARY.search(value):
            self.wrong.append(f"{place} {name}={value[:80]!r}")

    def handle_endtag(self, tag: str) -> None:
        self._end_text()
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def _end_text(self) -> None:
        """Texts beside each other are one; an element within ends it."""
        if self._text:
            self.pieces.append(Piece(self._open[-1] if self._open else "page", "".join(self._text)))
            self._text = []

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data[:80]!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def wrong_with(sinks: list[Sink]) -> list[str]:
    """What in these texts could be taken for markup; nothing on a safe page."""
    wrong = []
    for place, text in sinks:
        if place == "html.body":
            wrong += PageHtml(text).wrong
        elif "data:image/svg+xml;base64," in text:
            wrong += _wrong_with_drawing(text)
        elif CANARY.search(text) and place not in _AS_IT_IS and place.partition(".")[2] not in _UNSEEN:
            left, read = re.sub(r"\\.", "", text, flags=re.DOTALL), re.sub(r"\\(.)", r"\1", text)
            found = _MARKUP.findall(left) + _MADE_LATER.findall(read)
            wrong += [f"{place}: {found[0]!r} in {text[:200]!r}"] if found else []
    return wrong


def _wrong_with_drawing(url: str) -> list[str]:
    drawn = ElementTree.fromstring(base64.b64decode(url.partition("base64,")[2]))
    wrong = []
    for element in drawn.iter():
        tag = element.tag.rpartition("}")[2]
        if tag.lower() in ("script", "foreignobject", "image", "a", "use", "style", "animate", "set"):
            wrong.append(f"drawing <{tag}>")
        wrong += [f"drawing {name}" for name in element.attrib if name.rpartition("}")[2].startswith(("on", "href"))]
    return wrong
