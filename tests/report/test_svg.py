from __future__ import annotations

from dfar_toolkit.report.svg import reduced

_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="9px" height="9" viewBox="0 0 9 9">'
)


def test_only_shapes_and_text_survive() -> None:
    drawn = (
        f'{_HEAD}<script>alert(1)</script><style>*{{}}</style><image href="http://outside.example/x"/>'
        '<a xlink:href="javascript:alert(1)"><text>inside</text></a><foreignObject><p/></foreignObject>'
        '<g onclick="alert(1)" style="fill: red" fill="url(http://outside.example)">'
        '<text x="1">kept &lt;b&gt;</text></g></svg>'
    )
    found = reduced(drawn, name="p", label='"quoted"')
    for gone in ("script", "style", "image", "href", "foreignObject", "onclick", "outside", "inside"):
        assert gone not in found
    assert "kept &lt;b&gt;" in found
    assert 'aria-label="&quot;quoted&quot;"' in found
    assert 'width="9"' in found
    assert " height=" not in found


def test_references_follow_their_ids() -> None:
    clip = '<defs><clipPath id="clip17"><rect/></clipPath></defs>'
    drawn = f'{_HEAD}{clip}<g clip-path="url(#clip17)"/><g fill="url(#no)"/></svg>'
    again = drawn.replace("clip17", "clip3")
    found = reduced(drawn, name="p", label="l")
    assert found == reduced(again, name="p", label="l")
    assert found.count("p-2") == 2
    assert "#no" not in found
