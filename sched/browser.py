"""What keeps a page in somebody's browser from running code on this machine: pure.

A browser sends requests for any page it shows. Those of another origin must not reach us, whether
by image, script, form, fetch or navigation, and neither may a name that an attacker lets point at
this machine (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from attrs import field, frozen

from runyard.sched.errors import Kind, Refusal

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
EXEMPT = frozenset({b"/healthz", b"/readyz", b"/metrics"})
PAGES = frozenset({b"/"})
"""The HTML pages, which a link of another site may open."""
SAFE_SITES = frozenset({"same-origin", "none"})

Header = Callable[[str], str | None]


@frozen
class BrowserRules:
    """Which origins and names are ours.

    Attributes:
        origins: Origins beside our own that may call, such as ``https://judge.example``.
        host_names: Names beside the loopback ones under which we are reached.
    """

    origins: frozenset[str] = frozenset()
    host_names: frozenset[str] = field(default=frozenset())

    def refuse(self, method: bytes, path: bytes, header: Header) -> Refusal | None:
        """Say why a request is not let in; None lets it in."""
        if path in EXEMPT:
            return None
        return (
            self._refuse_host(header)
            or self._refuse_origin(method, path, header)
            or _refuse_old_browser(method, path, header)
        )

    def allows(self, origin: str | None) -> bool:
        """Whether another origin may call and read our answers."""
        return origin is not None and origin in self.origins

    def _refuse_host(self, header: Header) -> Refusal | None:
        host = header("host")
        if host is None:
            return None  # HTTP/1.0, which no browser speaks
        name = host_name(host)
        if _is_address(name) or name in LOOPBACK_NAMES or name in self.host_names:
            return None
        text = f"the Host {name[:80]!a} is not a name of this server; --host-name adds one"
        return Refusal(Kind.FORBIDDEN, text)

    def _refuse_origin(self, method: bytes, path: bytes, header: Header) -> Refusal | None:
        origin, site = header("origin"), header("sec-fetch-site")
        if self.allows(origin):
            return None
        if site is not None:
            opens = method == b"GET" and path in PAGES and header("sec-fetch-mode") == "navigate"
            if site.strip().lower() in SAFE_SITES or opens:
                return None
            text = "a web page of another origin may not call this server"
        elif origin is None or origin.partition("://")[2] == header("host"):
            return None
        else:
            text = f"the origin {origin[:80]!a} may not call this server"
        return Refusal(Kind.FORBIDDEN, f"{text}; --allow-origin lets one in")


def _refuse_old_browser(method: bytes, path: bytes, header: Header) -> Refusal | None:
    """Refuse a browser that does not say where its request comes from.

    On a plain http name a browser sends neither Origin nor Sec-Fetch-Site with an image.
    """
    agent = header("user-agent") or ""
    if method != b"GET" or path != b"/execute" or header("sec-fetch-site") is not None:
        return None
    if not agent.lower().startswith("mozilla/"):
        return None
    text = "a browser that does not say where its request comes from may not run code by GET"
    return Refusal(Kind.FORBIDDEN, text)


def host_name(host: str) -> str:
    """Give a Host header's name or address without its port, lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
