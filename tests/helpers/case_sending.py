"""Programs sent to /execute as exact bytes, in each way that a client may send them."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from attrs import frozen

FORM = "application/x-www-form-urlencoded"


@frozen
class Answer:
    """What came back, and when."""

    status: int
    document: dict[str, Any]
    seconds: float

    @property
    def refused(self) -> bool:
        """Whether the request never became a task."""
        return "outcome" not in self.document

    def text(self, name: str) -> str:
        """Give a stream; a refusal has none."""
        return str(self.document.get(name, ""))


def send(base: str, code: bytes, method: str, **options: Any) -> Answer:
    """Send exactly these bytes: nothing on the way may rewrite them."""
    kind, form = "text/x-python", f"code={quote_plus(code)}&{_query(options)}"
    if method == "POST raw":
        request = requests.Request("POST", f"{base}/execute?{_query(options)}", data=code)
    elif method in ("GET quote_plus", "GET quote"):
        encoded = quote_plus(code) if method == "GET quote_plus" else quote(code, safe="")
        request = requests.Request("GET", f"{base}/execute?code={encoded}&{_query(options)}")
    elif method in ("POST form", "POST form charset"):
        kind = FORM if method == "POST form" else f"{FORM}; charset=UTF-8"
        request = requests.Request("POST", f"{base}/execute", data=form)
    else:
        pytest.fail(f"a case wants the unknown method {method!r}")
    request.headers.update({"Accept": "application/json"})
    if request.method == "POST":
        request.headers["Content-Type"] = kind
    prepared = request.prepare()
    prepared.url = request.url  # as written: requests would normalise its escapes
    began = time.monotonic()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(prepared, timeout=70)
    return Answer(answer.status_code, answer.json(), time.monotonic() - began)


def _query(options: dict[str, Any]) -> str:
    return "&".join(f"{name}={value}" for name, value in options.items())
