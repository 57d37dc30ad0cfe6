"""The variables that tell a task's program of its proxy. Pure."""

from __future__ import annotations

NOT_PROXIED = "localhost,127.0.0.1,::1,[::1]"


def environment(port: int) -> dict[str, str]:
    """Give the variables for a proxy that listens on a port of the task's own 127.0.0.1.

    In both cases, as programs differ in which they read. `socks5h`, not `socks5`: names are
    resolved by the proxy, a task has no resolver.
    """
    http = f"http://127.0.0.1:{port}"
    values = {
        "http_proxy": http,
        "https_proxy": http,
        "all_proxy": f"socks5h://127.0.0.1:{port}",
        "no_proxy": NOT_PROXIED,
    }
    return values | {name.upper(): value for name, value in values.items()}
