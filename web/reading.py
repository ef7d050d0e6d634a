"""What a request brings, read strictly: parameters, headers, and a body (or a file) of a known type and size."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestURITooLarge, UnsupportedMediaType

from core.errors import InvalidInput, StorageError
from core.jsontext import loads
from core.schemas import compile_schema
from web.routes import MULTIPART, YAML, Upload

#: Bytes of an address with its parameters.
_LONGEST_ADDRESS = 16 * 1024
_YAML_TYPES = (YAML, "application/x-yaml", "text/yaml")
#: What browsers send for forms: never right here, and never mistaken for JSON.
_FORMS = ("application/x-www-form-urlencoded", MULTIPART)
#: Bytes of an upload that stay in memory; what is larger lies in a file that has no name.
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
_BUFFER = 1 << 19
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_BOOLEANS = {"true": True, "false": False}


def read_headers(request: Request) -> dict[str, str]:
    """Return the headers with names in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}


def read_query(request: Request, parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters, typed and completed with their defaults; raise BadRequest for anything unexpected."""
    if len(request.query_string) > _LONGEST_ADDRESS:
        raise RequestURITooLarge(f"the parameters have more than {_LONGEST_ADDRESS} bytes")
    found: dict[str, Any] = {}
    for name, values in request.args.lists():
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise BadRequest(f"{name[:60]!r} is not a known parameter; known are: {known}")
        if len(values) > 1:
            raise BadRequest(f"{name} is given {len(values)} times; give it once")
        found[name] = _typed(name, values[0], parameters[name])
    for name, schema in parameters.items():
        if name not in found and "default" in schema:
            found[name] = schema["default"]
    return found


def _typed(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    value: Any = text
    if schema.get("type") == "integer":
        value = int(text) if _WHOLE.fullmatch(text) else text
    elif schema.get("type") == "boolean":
        value = _BOOLEANS.get(text, text)
    if "\0" in text:
        raise BadRequest(f"{name}: holds the character NUL, which nothing here has")
    try:
        compile_schema(dict(schema), own=True).check(value, name)
    except InvalidInput as exc:
        raise BadRequest(exc.message) from exc
    return value


def read_body(request: Request, *, media: tuple[str, ...], required: bool, max_bytes: int) -> tuple[Any, str | None]:
    """Return the body as (JSON document, None) or (None, YAML text); (None, None) where there is none."""
    raw = request.get_data(cache=True)
    if not raw and not required:
        return None, None
    kind = check_media(request, (*media, *_YAML_TYPES) if YAML in media else media)
    if kind in _YAML_TYPES:
        return None, _read_text(raw)
    try:
        return loads(raw, max_bytes=max_bytes), None
    except InvalidInput as exc:
        raise BadRequest(exc.message) from exc


def check_media(request: Request, media: tuple[str, ...]) -> str:
    """Return the media type of the body; raise UnsupportedMediaType, or BadRequest where there is none or a form."""
    kind = request.mimetype
    wanted = ", ".join(dict.fromkeys(media))
    if not kind:
        raise BadRequest(f"Content-Type: is missing; send {wanted}")
    if kind in _FORMS and kind not in media:
        raise BadRequest(f"Content-Type: forms are not read here; send {wanted}")
    if kind not in media:
        raise UnsupportedMediaType(f"Content-Type: is {kind[:80]!r}; send {wanted}")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("Content-Type: has another charset than UTF-8")
    return kind


def _read_text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise BadRequest("body: is not valid UTF-8") from exc
    if not text.strip():
        raise BadRequest("body: is empty; send a YAML document")
    return text


def read_upload(request: Request, *, media: tuple[str, ...], max_bytes: int) -> Upload:
    """Return the file that a request brings, as its body or as the part `file` of a form; the caller closes it."""
    request.max_content_length = max_bytes
    # The reader of forms takes it for the size of its buffer as well.
    request.max_form_memory_size = _BUFFER
    kind = check_media(request, media)
    try:
        name, file = _part(request) if kind == MULTIPART else (None, _spool(request))
        digest = hashlib.sha256((name or "").encode("utf-8", "surrogatepass") + b"\0")
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        file.seek(0)
    except RequestEntityTooLarge as exc:
        raise RequestEntityTooLarge(f"body: is larger than {max_bytes >> 20} MiB; split the file") from exc
    except OSError as exc:
        raise StorageError(f"the upload could not be kept: {exc.strerror}; free some space") from exc
    return Upload(name=name, file=file, digest=digest.hexdigest())


def _spool(request: Request) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        while chunk := request.stream.read(_CHUNK):
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _part(request: Request) -> tuple[str, IO[bytes]]:
    found = [(field, part) for field, parts in request.files.lists() for part in parts]
    names = [*(field for field, _ in found), *request.form]
    if not found or names != ["file"]:
        told = ", ".join(name[:60] for name in names[:5]) or "none"
        for _, part in found:
            part.close()
        raise BadRequest(f"body: needs one part, 'file', with a file name; found: {told}. Options stand in the address")
    part = found[0][1]
    return part.filename or "", part.stream


def with_whole_numbers(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a checked value with a whole number wherever its schema says so: for JSON Schema 6.0 is one, too."""
    if schema.get("type") == "integer":
        return int(value) if isinstance(value, float) else value
    if isinstance(value, dict) and (parts := schema.get("properties")):
        return {name: with_whole_numbers(part, parts.get(name, {})) for name, part in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [with_whole_numbers(part, schema["items"]) for part in value]
    return value
