"""Personal data in texts, by pattern: e-mail, telephone, @handle, page of a person, IPv4, card number and IBAN.

Conservative: what could as well be a year, a date, a version, a plain number or a placeholder is passed over. Names are
not looked for; a list of them can be (``words``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

PERSONAL_KINDS: Final = ("email", "phone", "handle", "url", "ip", "account")

_FRONT: Final = r"(?:^|[^\p{L}\p{N}_@./+-])"  # what may stand before a handle
_BEFORE: Final = r"(?:^|[^\p{L}\p{N}_@./+\s-]|(?:^|[^0-9])\s)"  # before a number: no other number and space
_BEFORE_PLUS: Final = _BEFORE.replace("_@./+", "_@/+")  # "Tel.+44", where a full stop before digits is a fraction
_SITES: Final = (
    r"twitter|x|instagram|facebook|tiktok|linkedin|github|gitlab|reddit|youtube|snapchat|pinterest|soundcloud|twitch|vk"
)
_PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": (r"[\p{L}\p{N}._%+-]*[\p{L}\p{N}_%+-]@(?:[\p{L}\p{N}-]+\.)+\p{L}{2,24}",),
    "phone": (
        _BEFORE_PLUS + r"\+[1-9][0-9]{0,2}[ .\-/]?\(?[0-9]{1,5}\)?(?:[ .\-/]?[0-9]{2,8}){1,5}",  # +44 20 7946 0958
        _BEFORE + r"00[1-9][0-9]{0,2}[ .\-/]\(?[0-9]{1,5}\)?(?:[ .\-/]?[0-9]{2,8}){1,5}",  # 0049 30 1234567
        _BEFORE + r"\([0-9]{2,5}\)[ .\-]?[0-9]{3,5}[ .\-]?[0-9]{3,5}",  # (020) 7946 0958, (212) 555-0199
        _BEFORE + r"(?:1[ .\-])?[2-9][0-9]{2}[ .\-][2-9][0-9]{2}[ .\-][0-9]{4}",  # 212-555-0199
        _BEFORE + r"0[1-9][0-9]{0,4}[ .\-/][0-9]{2,8}(?:[ .\-][0-9]{2,5}){0,4}",  # 030/1234567, 06 12 34 56 78
    ),
    "handle": (_FRONT + r"@[\p{L}\p{N}_](?:[\p{L}\p{N}_.]{0,28}[\p{L}\p{N}_])",),
    "url": (
        r"(?i:https?://|www\.)[^\s/]+/(?:[^\s/]+/){0,3}(?:(?:u|user|users|profile|profiles|people|author|members?|in)/@?|~|@)"
        r"[\p{L}\p{N}_.%-]+",
        rf"(?:^|[^\p{{L}}\p{{N}}_@./-])(?i:(?:https?://)?(?:[\w-]+\.)?(?:{_SITES})\.com/(?:(?:u|user|in)/)?)"
        r"@?[\p{L}\p{N}_.%-]+",
        r"(?i:https?://)t\.me/[\p{L}\p{N}_]+",
    ),
    "ip": (r"(?:^|[^\p{L}\p{N}_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}",),
    "account": (
        r"(?:^|[^\p{L}\p{N}_.])[2-6](?:[ -]?[0-9]){12,18}",
        r"(?:^|[^\p{L}\p{N}_])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}",
        r"(?:^|[^\p{L}\p{N}_])[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11,30}",
    ),
}
# Cheap signs without which no pattern can match.
_SIGNS: Final[Mapping[str, str]] = {
    "email": "@", "handle": "@", "url": "/", "ip": "[0-9]\\.[0-9]", "phone": "[0-9][^\\p{L}]*[0-9]{2}",
    "account": "[0-9]{2}",
}  # fmt: skip
_PLACEHOLDER: Final = re.compile(
    r"(?:user|username|users|usuario|utilisateur|utente|mentions?|name|handle|anonymous|someone|person|account)?[0-9_]*"
)
_NO_PERSON: Final = re.compile(  # what stands where a name would
    r"home|search|hashtag|tag|i|in|u|user|c|channel|intent|share|sharer|explore|watch|playlist|p|reels?|login|signup|"
    r"about|help|company|jobs|feed|settings|privacy|terms|r|embed|results|groups|events|pages|videos?|tv|web|features|"
    r"pricing|topics|status|dialog|plugins|messages|notifications|\w+\.(?:php|html?)"
)
_CARD: Final = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2[2-7][0-9]{14}|35[0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}|"
    r"6[0-9]{15}(?:[0-9]{3})?"
)
_IBAN: Final[Mapping[str, int]] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def personal_matches(texts: pl.DataFrame) -> pl.DataFrame:
    """What looks like personal data in each text.

    Args:
        texts: ``item_id, text`` and any further columns, (n,).

    Returns:
        Rows ``item_id, kind, found`` (as it stands) and ``masked``, one per match, kinds in the order of
        ``PERSONAL_KINDS``.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["p", "q"], "text": ["Ask ann@mail.example.", "In 1999 to 2004."]})
        >>> personal_matches(rows).select("item_id", "kind", "masked").rows()
        [('p', 'email', 'a***@m***.example')]
    """
    schema = {"item_id": pl.String, "kind": pl.String, "found": pl.String, "masked": pl.String}
    rows = texts.select("item_id", "text").drop_nulls("text")
    found: dict[str, pl.DataFrame] = {}
    for kind in ("account", *(k for k in PERSONAL_KINDS if k != "account")):
        given = _without_accounts(rows, found["account"]) if kind == "phone" else rows
        found[kind] = _of_kind(given, kind)
    return pl.concat([pl.DataFrame(schema=schema), *(found[k] for k in PERSONAL_KINDS)])


def _of_kind(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    sign = _SIGNS[kind]
    likely = rows.filter(pl.col("text").str.contains(sign, literal=len(sign) == 1))
    parts = [
        likely.filter(pl.col("text").str.contains(pattern)).select(
            "item_id", "text", pl.col("text").str.extract_all(pattern).alias("found")
        )
        for pattern in _PATTERNS[kind]
    ]
    matches = pl.concat(parts).explode("found").drop_nulls("found")
    known = {text: _CHECKS[kind](text) for text in matches["found"].unique()}
    checked = pl.DataFrame(
        {"found": list(known), "kept": list(known.values())}, schema={"found": pl.String, "kept": pl.String}
    )
    matches = matches.join(checked, on="found", how="left", maintain_order="left").drop_nulls("kept")
    matches = matches.select("item_id", "text", pl.lit(kind).alias("kind"), pl.col("kept").alias("found"))
    matches = matches.unique(maintain_order=True).drop("text")  # two patterns may see one thing
    different = matches["found"].unique().to_list()
    masks = pl.DataFrame(
        {"found": different, "masked": [masked(t, kind) for t in different]},
        schema={"found": pl.String, "masked": pl.String},
    )
    return matches.join(masks, on="found", how="left", maintain_order="left")


def _without_accounts(rows: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    """Card numbers and IBANs taken out of the texts that have them: their digits are no telephone number."""
    if accounts.is_empty():
        return rows
    of_item = accounts.group_by("item_id").agg(pl.col("found"))
    joined = rows.join(of_item, on="item_id", how="left", maintain_order="left")
    hit = joined["found"].is_not_null()
    texts = [_cut(t, f) for t, f in joined.filter(hit).select("text", "found").iter_rows()]
    mended = joined.filter(hit).select("item_id", text=pl.Series(texts, dtype=pl.String))
    return pl.concat([joined.filter(~hit).select("item_id", "text"), mended])


def _cut(text: str, found: list[str]) -> str:
    for part in found:
        text = text.replace(part, " # ")
    return text


def masked(found: str, kind: str) -> str:
    """What was found with all but a first letter hidden.

    Example:
        >>> masked("ann@mail.example.org", "email"), masked("@ann", "handle"), masked("+44 20 7946 0958", "phone")
        ('a***@m***.org', '@a***', '+4***')
    """
    if kind == "email":
        name, _, host = found.partition("@")
        return f"{name[:1]}***@{host[:1]}***.{host.rpartition('.')[2]}"
    if kind == "url":
        host = re.sub(r"^\w+://", "", found).partition("/")[0]
        return f"{host}/***"
    return f"{found[: 2 if kind in ('handle', 'phone', 'account') else 1]}***"


def _email(found: str) -> str | None:
    return found


def _phone(found: str) -> str | None:
    text = _core(found, "+" if "+" in found else "(0123456789")
    digits = re.sub(r"[^0-9]", "", text)
    if re.match(r"\(?[0-9]{1,2}[./-][0-9]{1,2}[./-](?:19|20)?[0-9]{2}(?:$|[^0-9])", text) or len(set(digits)) < 3:
        return None  # a date, or a row of one digit
    if re.match(r"\((?:1[89]|20)[0-9]{2}\)", text):
        return None  # a year with pages after it
    if re.fullmatch(r"\+[0-9]{1,3}(?:[ .][0-9]{3})*[ .]000", text):
        return None  # a round number with its sign
    international = text.startswith(("+", "00"))
    return text if (8 if text.startswith("+") else 9) <= len(digits) <= (17 if international else 12) else None


def _handle(found: str) -> str | None:
    text = found[found.index("@") :]
    return None if _PLACEHOLDER.fullmatch(text[1:].strip("_.").lower()) else text


def _url(found: str) -> str | None:
    text = found.rstrip(".").lstrip("".join({c for c in found[:1] if not c.isalnum()}))
    last = text.rpartition("/")[2].lower()
    return text if last.strip("@~") and not _NO_PERSON.fullmatch(last) else None


def _ip(found: str) -> str | None:
    text = _core(found, "0123456789")
    parts = text.split(".")
    octets = [int(p) for p in parts if p == "0" or not p.startswith("0")]
    likely = len(octets) == 4 and max(octets) <= 255 and any(o > 9 for o in octets[1:])
    return text if likely and octets[0] not in (0, 127, 255) else None


def _account(found: str) -> str | None:
    text = found.strip()
    if not text[:1].isalnum():
        text = text[1:]
    if text[:1].isdigit():
        ends = [len(text), *(m.start() for m in re.finditer("[ -]", text))]  # what follows may be an expiry date
        return next((text[:e] for e in sorted(ends, reverse=True) if _is_card(re.sub("[ -]", "", text[:e]))), None)
    plain = re.sub(r"[ -]", "", text).upper()
    length = _IBAN.get(plain[:2], 0)
    if not length or len(plain) < length:
        return None
    moved = plain[4:length] + plain[:4]
    if int("".join(str(int(c, 36)) for c in moved)) % 97 != 1:
        return None
    seen = 0
    for place, character in enumerate(text):
        seen += character not in " -"
        if seen == length:
            return text[: place + 1]
    return None


def _is_card(digits: str) -> bool:
    """A length that its issuer uses, and Luhn's check: every second digit doubled, cross sums, a multiple of ten."""
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[-2::-2]]
    return bool(_CARD.fullmatch(digits)) and (sum(doubled) + sum(int(d) for d in digits[::-2])) % 10 == 0


def _core(found: str, begins: str) -> str:
    """The match without the character before it and the marks after it."""
    start = next((k for k, c in enumerate(found) if c in begins), 0)
    return found[start:].rstrip(" .-/")


_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "email": _email, "phone": _phone, "handle": _handle, "url": _url, "ip": _ip, "account": _account,
}  # fmt: skip
