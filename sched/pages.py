"""The web page, read once at start and served from memory."""

from __future__ import annotations

from pathlib import Path

from runyard.sched.answers import Answer

FOLDER = Path(__file__).with_name("page")
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Pages:
    """The files of the page by name."""

    def __init__(self) -> None:
        self._files = {
            path.name: Answer(
                200,
                path.read_bytes(),
                KINDS[path.suffix],
                (("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")),
            )
            for path in FOLDER.iterdir()
            if path.suffix in KINDS
        }

    def get(self, name: str) -> Answer | None:
        """Find one."""
        return self._files.get(name)
