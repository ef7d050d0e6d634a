"""Read an answer's body, unpacked, without ever holding more than the permitted bytes."""

import zlib
from collections.abc import Iterable, Iterator


class BodyTooLarge(Exception):
    """The unpacked body passes the limit."""


class BodyBroken(Exception):
    """The body is packed in a way that was not asked for, or ends early."""


def read_body(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> bytes:
    """Return the unpacked body; raise BodyTooLarge as soon as it passes `max_bytes`, however small it came."""
    codings = [word for word in encoding.lower().replace(" ", "").split(",") if word not in ("", "identity")]
    if len(codings) > 2:
        raise BodyBroken("is packed more than twice")
    for coding in reversed(codings):
        chunks = _unpack(chunks, coding)
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge
    return bytes(body)


def _unpack(chunks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise BodyBroken(f"is packed as {coding[:20]!r}, which was not asked for")
    decoder = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder is None or decoder.eof:
                decoder = zlib.decompressobj(_window(coding, rest))
            try:
                yield decoder.decompress(rest, 65_536)
            except zlib.error as exc:
                raise BodyBroken("is packed wrongly") from exc
            rest = decoder.unconsumed_tail
            # A gzip body may be several members one after the other; what else follows is padding.
            if decoder.eof:
                rest = decoder.unused_data if decoder.unused_data.startswith(b"\x1f\x8b") else b""
    if decoder is None:
        return
    yield decoder.flush()
    if not decoder.eof:
        raise BodyBroken("ends early")


def _window(coding: str, head: bytes) -> int:
    if coding != "deflate":
        return zlib.MAX_WBITS | 16
    # Some servers send raw deflate where the standard wants the zlib wrapper.
    return zlib.MAX_WBITS if head[0] & 0x0F == 8 else -zlib.MAX_WBITS
