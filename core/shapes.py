"""Recognise secrets and personal data by their shape: cards, telephones, mail addresses, identity numbers, tokens."""

import re
from collections.abc import Callable
from urllib.parse import unquote

MASK = "[masked]"

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_GAP = r"(?:[ \-\u00a0+.]|%20)"
_CARD = re.compile(rf"(?<!\d)\d(?:{_GAP}?\d){{12,60}}(?!\d)")


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


#: Card numbers by length: what a brand's numbers of that length begin with (an IMEI or EAN must stay readable).
_BRANDS = {14: r"3[0689]", 15: r"3[47]", 16: r"[2-6]|9792", 17: r"5[0678]|6", 18: r"5[0678]|6", 19: r"4|5[0678]|6|220"}


def _is_card(digits: str) -> bool:
    brand = _BRANDS.get(len(digits))
    return brand is not None and re.match(brand, digits) is not None and _luhn(digits)


def _mask_cards(match: re.Match[str]) -> str:
    """Try every window of neighbouring digit groups: a card may stand beside other numbers."""
    groups = [(part.start(), part.end(), part[0]) for part in re.finditer(r"\d+", match[0].replace("%20", "\0\0\0"))]
    for first in range(len(groups)):
        digits = ""
        for _, end, group in groups[first : first + 19]:
            digits += group
            if _is_card(digits):
                rest = _CARD.sub(_mask_cards, match[0][end:])
                return f"{match[0][: groups[first][0]]}[card {digits[-4:]}]{rest}"
    return match[0]


def _mask_iban(match: re.Match[str]) -> str:
    plain = match[0].replace(" ", "")
    number = "".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])
    return f"[iban {plain[-4:]}]" if int(number) % 97 == 1 else match[0]


def _mask_eleven(match: re.Match[str]) -> str:
    """Hide Turkish identity numbers (11 digits, two check digits); other numbers of that length stay."""
    digits = [int(digit) for digit in match[0]]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    valid = digits[0] and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10
    return "[id]" if valid else match[0]


def _mask_inn(match: re.Match[str]) -> str:
    """Hide personal Russian tax numbers (12 digits, two check digits); a company's (10 digits) is public."""
    digits = [int(digit) for digit in match[0]]
    weights = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
    first = sum(weight * digit for weight, digit in zip(weights[1:], digits, strict=False)) % 11 % 10
    second = sum(weight * digit for weight, digit in zip(weights, digits, strict=False)) % 11 % 10
    return "[id]" if (digits[10], digits[11]) == (first, second) else match[0]


def _looks_random(word: str) -> bool:
    """Tell a token from a word, a slug, a method name or a UUID."""
    plain = unquote(word)
    digits = sum(letter.isdigit() for letter in plain)
    letters = sum(letter.isalpha() for letter in plain)
    if _UUID.fullmatch(plain) or not letters:
        return False
    if digits >= 2 and not ("-" in plain and plain.islower() and len(plain) < 32):
        return True
    uppers = sum(letter.isupper() for letter in plain)
    return len(plain) >= 20 and 0.3 < uppers / letters < 0.8


def _mask_token(match: re.Match[str]) -> str:
    # Four characters stay, so that two lines about one thing can still be told to be so.
    return f"[{match[0][:4]}...]" if _looks_random(match[0]) else match[0]


def _mask_mixed(match: re.Match[str]) -> str:
    """Hide a long word of small letters, capitals and digits: what slugs and table names are not."""
    mixed = all(re.search(kind, match[0]) for kind in (r"\d", r"[a-z]", r"[A-Z]"))
    return _mask_token(match) if mixed else match[0]


Shape = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

#: What is recognised by its shape, wherever it stands; the order matters (a whole URL part before its pieces).
SHAPES: tuple[Shape, ...] = (
    (re.compile(r"(?<=://)[^\s/?#\"'<>]*@"), f"{MASK}@"),
    (re.compile(r"\b(Bearer|Basic)\s+(?=\S*(?:\d|[a-z][A-Z]))[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(AUTH (?:LOGIN|PLAIN|XOAUTH2|CRAM-MD5))(?: [A-Za-z0-9+/=]+)+"), rf"\1 {MASK}"),
    (re.compile(r"(?<![\w-])(bot)?\d{6,12}:[A-Za-z0-9_\-]{20,}"), rf"\1{MASK}"),
    (re.compile(r"\beyJ[\w\-]+\.[\w\-]+(?:\.[\w\-]*)*"), MASK),
    (
        re.compile(
            r"\b(?:whsec_|sk_|pk_|rk_|live_|test_|gh[pousr]_|github_pat_|xox[abprs]-|AKIA|ASIA|AIza|SG\.|shp(?:at|ss|ca|pa)_"
            r"|glpat-|ya29\.|y0_|EAA|npm_|pypi-|sq0)[\w\-+/=.]{8,}"
        ),
        lambda match: MASK if re.search(r"\d", match[0]) else match[0],
    ),
    # Possessive: a long run of %40 must not be tried at every place.
    (re.compile(r"(?<![\w.+%\-])(?:[\w.+\-]|%(?!40))++(?:@|%40)[\w\-%]++(?:\.[\w\-%]+)+"), "[e-mail]"),
    (re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"), _mask_iban),
    (_CARD, _mask_cards),
    (re.compile(r"(?i)\b(cvc2?|cvv2?|pin|пин|otp)(\W{1,3})\d{3,8}\b"), rf"\1\2{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:verification|one-time|security|sms|login) code|код подтверждения|(?:смс|sms)[- ]код|"
            r"doğrulama kodu|onay kodu)(\W{1,3}(?:is |это )?)\d{4,8}\b"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(?i)\b(паспорт\w*|passport|pasaport)(\D{1,20}?)[A-ZА-Я]{0,2}\d[\d №N\-]{4,14}\d"), r"\1\2[id]"),
    (re.compile(r"(?<!\d)\d{2} \d{2} \d{6}(?!\d)"), "[id]"),
    (re.compile(r"(?i)\b(снилс|snils)(\W{1,3})\d{11}\b"), r"\1\2[id]"),
    (re.compile(r"(?<!\d)\d{3}-\d{3}-\d{3}[ \-]\d{2}(?!\d)"), "[id]"),
    (re.compile(r"(?:\+|%2[Bb])[1-9](?:(?:[\s().\-\u00a0]|%20|%28|%29|%2D){0,3}\d){9,14}(?!\d)"), "[phone]"),
    (
        re.compile(
            r"(?<![\w.])(?:(?:8|7|0|90)[\s\-\u00a0]{0,2})?\(?\d{3}\)?[\s\-\u00a0]{1,2}\d{3}[\s\-\u00a0]?\d{2}[\s\-\u00a0]?\d{2}(?![\w\-])"
        ),
        "[phone]",
    ),
    (re.compile(r"(?<![\w.])(?:8[3-9]\d{9}|7[3-9]\d{9}|05\d{9}|905\d{9})(?!\w)"), "[phone]"),
    (re.compile(r"(?<![\w.])\d{11}(?![\w.])"), _mask_eleven),
    (re.compile(r"(?<![\w.])\d{12}(?![\w.])"), _mask_inn),
    (re.compile(r"(?<![\w\-])[0-9a-fA-F]{32,}(?![\w\-])"), _mask_token),
    (re.compile(r"(?<=/)(?:[\w\-=~]|%[0-9A-Fa-f]{2}){16,}(?![\w\-])"), _mask_token),
    (re.compile(r"(?<![\w\-])[A-Za-z0-9_\-]{40,}(?![\w\-])"), _mask_mixed),
)
