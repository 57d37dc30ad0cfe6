"""The three forms of a request's body, read strictly: JSON, a form, the code itself. Pure."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from multipart import MultipartError, MultipartSegment, PushMultipartParser
from werkzeug.http import parse_options_header

from runyard.sched.decoding import MOST_FIELDS, bound_field, parse_pairs
from runyard.sched.errors import Kind, Refusal, malformed, shown
from runyard.sched.jsontext import parse_json

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
RAW = ("text/x-python", "text/plain")
MOST_TYPE = 1024
MOST_BOUNDARY = 70  # RFC 2046, section 5.1.1


@frozen
class Body:
    """What a body says: a JSON document, or code with text fields beside it."""

    document: dict[str, Any] | None = None
    code: bytes | None = None
    fields: dict[str, bytes] | None = None


def read_body(body: bytes, content_type: str | None, query: bytes) -> Body:
    """Read a body by its content type; only the raw form has its options in the query.

    Raises:
        Refusal: the type is not one of ours, or the body is not what its type says.
    """
    if content_type is not None and len(content_type) > MOST_TYPE:
        raise Refusal(Kind.MEDIA_TYPE, f"the content type is longer than {MOST_TYPE} characters")
    media, parameters = parse_options_header(content_type or "")
    media = media.lower()
    charset = parameters.get("charset", "utf-8").lower()
    if media in (JSON, FORM, MULTIPART, *RAW) and charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal(Kind.MEDIA_TYPE, f"the charset {shown(charset)} is not utf-8")
    if media in RAW:
        return Body(code=body, fields=parse_pairs(query, "query"))
    if query and media in (JSON, FORM, MULTIPART):
        raise malformed("query", query, "no query: the body's fields hold the options")
    if media == JSON:
        return Body(document=_object(body))
    if media == FORM:
        return _form(parse_pairs(body, "form"))
    if media == MULTIPART:
        return _form(_parts(body, parameters.get("boundary", "")))
    kinds = ", ".join([JSON, FORM, MULTIPART, *RAW])
    came = shown(content_type) if content_type else "(none)"
    raise Refusal(Kind.MEDIA_TYPE, f"the content type {came} is not one of {kinds}")


def _object(body: bytes) -> dict[str, Any]:
    document = parse_json(body)
    if not isinstance(document, dict):
        raise malformed("body", type(document).__name__, "a JSON object")
    return document


def _form(fields: dict[str, bytes]) -> Body:
    if "code" not in fields:
        raise malformed("code", "nothing", "the program, as a field of the form")
    return Body(code=fields.pop("code"), fields=fields)


def _parts(body: bytes, boundary: str) -> dict[str, bytes]:
    """Read multipart/form-data: whole to its last boundary, or refused."""
    if not 1 <= len(boundary) <= MOST_BOUNDARY or not boundary.isascii():
        raise malformed("boundary", boundary, f"1 to {MOST_BOUNDARY} ASCII characters")
    fields: dict[str, bytes] = {}
    name, pieces, size = "", list[bytes](), 0
    try:
        parser = PushMultipartParser(boundary, max_segment_count=MOST_FIELDS, strict=True)
        with parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    name, pieces, size = _segment_name(event), [], 0
                elif event is not None:
                    size += len(event)
                    bound_field(name, size)
                    pieces.append(bytes(event))
                else:
                    value = b"".join(pieces)
                    if fields.setdefault(name, value) != value:
                        raise malformed(name, "two different values", "one value")
    except (MultipartError, UnicodeDecodeError) as error:
        raise malformed("body", str(error)[:80], "a whole multipart/form-data body") from None
    return fields


def _segment_name(segment: MultipartSegment) -> str:
    disposition, options = parse_options_header(segment.header("Content-Disposition", ""))
    name = options.get("name", "")
    if disposition.lower() != "form-data" or not name:
        raise malformed("body", disposition, "parts with Content-Disposition: form-data and a name")
    return name
