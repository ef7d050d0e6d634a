"""Addresses that a browser may be sent to."""

import re
from urllib.parse import unquote, urlsplit

#: What some software on the way decodes once more: an address must be local after that too.
_DECODED = 3
#: A path of ours: a slash, then a letter (nothing of ours begins with anything else), and plain signs only.
_LOCAL = re.compile(r"/(?:[A-Za-z][^\s\\\x00-\x1f\x7f]*)?")


def is_local(address: str) -> bool:
    """Tell whether an address leads to a page of ours, however browsers and proxies read it."""
    for _ in range(_DECODED):
        if not _LOCAL.fullmatch(address) or not address.isprintable():
            return False
        path = urlsplit(address).path
        if "//" in path or "/../" in f"{path}/" or "@" in path:
            return False
        address = unquote(address)
    return True
