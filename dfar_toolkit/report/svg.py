"""Charts as SVG that can stand inside a page: drawn off-line, and reduced to shapes and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from dfar_toolkit.report.plots import Drawn

_SVG: Final = "http://www.w3.org/2000/svg"
_ELEMENTS: Final = frozenset(
    {"svg", "g", "path", "text", "tspan", "rect", "line", "circle", "defs", "clipPath", "title", "desc"}
)
_ATTRIBUTES: Final = frozenset(
    {
        *("d", "x", "y", "x1", "y1", "x2", "y2", "dx", "dy", "r", "cx", "cy", "width", "height", "viewBox", "version"),
        *("transform", "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray"),
        *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity", "text-anchor"),
        *("dominant-baseline", "font-family", "font-size", "font-weight", "font-style", "role", "class", "id"),
        *("aria-label", "aria-hidden", "aria-roledescription", "clip-path"),
    }
)
_TEXTS: Final = frozenset({"aria-label", "aria-roledescription"})  # never read as references


def chart_svg(chart: Drawn, *, name: str, label: str) -> str:
    """Draw a chart without a browser or a network.

    Args:
        chart: A chart with its data inside.
        name: Prefix of the ids inside, different for every chart of a page.
        label: What the picture shows, for those who do not see it.

    Returns:
        An ``svg`` element; the same chart gives the same text.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])
    return reduced(drawn, name=name, label=label)


def reduced(svg: str, *, name: str, label: str) -> str:
    """Keep shapes and text only: no script, style, link, image or outside reference survives.

    Args:
        svg: SVG text.
        name: Prefix put before every id.
        label: The accessible name.

    Returns:
        The ``svg`` element without an XML declaration, sized by its view box.
    """
    root = ET.fromstring(svg)
    # Numbered by place: the counter behind Vega's own ids runs on from chart to chart.
    ids = {e.attrib["id"]: f"{name}-{i}" for i, e in enumerate(root.iter()) if "id" in e.attrib}
    _reduce(root, ids)
    root.set("xmlns", _SVG)
    root.set("role", "img")
    root.set("aria-label", label)
    # As wide as drawn where there is room, narrower where there is not.
    root.set("width", str(root.get("width", "")).removesuffix("px"))
    root.attrib.pop("height", None)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _reduce(element: ET.Element, ids: Mapping[str, str]) -> None:
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, ids[value])
        elif key not in _ATTRIBUTES:
            del element.attrib[key]
        elif "url(" in value and key not in _TEXTS:
            inside = ids.get(value.removeprefix("url(#").removesuffix(")"))
            if inside is None:
                del element.attrib[key]
            else:
                element.set(key, f"url(#{inside})")
    for child in list(element):
        if child.tag.removeprefix(f"{{{_SVG}}}") in _ELEMENTS:
            _reduce(child, ids)
        else:
            element.remove(child)
