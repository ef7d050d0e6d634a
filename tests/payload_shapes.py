"""Bodies of requests as the table of payload shapes describes them."""

import base64
from typing import Any


def body_of(row: dict[str, Any]) -> tuple[bytes, str, str]:
    """Return body, content type and what is added to the address."""
    media = row["content_type"]
    if "body" in row:
        return row["body"].encode("utf-8", "surrogatepass"), media, ""
    if "body_b64" in row:
        return base64.b64decode(row["body_b64"]), media, ""
    made = row["gen"]
    if "kind" not in made:
        text = made["prefix"] * made["n"] + made["middle"] + made["suffix"] * made["n"]
        before, after = made.get("wrap", ("", ""))
        return f"{before}{text}{after}".encode(), media, ""
    n = made["n"]
    if made["kind"] == "keys":
        return ("{" + ",".join(f'"k{i}":{i}' for i in range(n)) + "}").encode(), media or "application/json", ""
    if made["kind"] == "form_fields":
        return "&".join(f"f{i}=x" for i in range(n)).encode(), "application/x-www-form-urlencoded", ""
    if made["kind"] == "multipart_cr":
        return b"\r" + b"a" * n, "multipart/form-data; boundary=b", ""
    if made["kind"] == "query":
        return b"{}", "application/json", "?q=" + "a" * n
    if made["kind"] == "path":
        return b"{}", "application/json", "/" + "a" * n
    raise AssertionError(f"the table has a new kind of row: {made['kind']}")
