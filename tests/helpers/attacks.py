"""Pages that try to make a server run code, one way each.

In a page `$RUN` is the server's /execute, `$GET` the same with the code in its query, `$HOP` a path
of the page's own server that redirects to `$GET` (`$HOP-post` to `$RUN`), and `$TEXT` the code as
HTML text. Scripts find them as `run`, `get`, `hop` and `code`. What a page could read it tells;
`tell("")` is nothing.
"""

from __future__ import annotations

import html
import json
from string import Template
from urllib.parse import quote

HEAD = """<!doctype html><meta charset="utf-8"><title>attack</title><body><script>
const told = [], code = $CODE, get = "$GET", run = "$RUN", hop = "$HOP";
const tell = (text) => told.push(String(text ?? ""));
const post = (more) => fetch(run, { method: "POST", body: code, ...more });
const json = { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ code }) };
const read = (asked) => asked.then((answer) => answer.text()).then(tell, () => tell(""));
let opened = null;
</script>
"""
PEEK = """
if (typeof told === "undefined") return [];  // the attack went to another page
const found = [...told];
for (const other of [opened, ...Array.from(frames)]) {
  try { found.push(other.document.body.innerText); } catch { /* as it must be */ }
}
return found;
"""
"""What an attacking page knows in the end, as the body of a function."""
LATE = 'onload="tell()" onerror="tell()"'


def _script(text: str) -> str:
    return f"<script>{text}</script>"


def _form(method: str, kind: str = "application/x-www-form-urlencoded", target: str = "") -> str:
    # A text/plain form sends name=value, which here is an assignment in Python.
    return (
        f'<form id="form" method="{method}" action="$RUN" enctype="{kind}" target="{target}">'
        '<textarea name="code">$TEXT</textarea></form><iframe name="frame"></iframe>'
        + _script('document.getElementById("form").submit()')
    )


SANDBOXED = (
    "const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts';"
    "frame.srcdoc = `<script>fetch('$RUN', {method: 'POST', mode: 'no-cors',"
    " body: ${JSON.stringify(code)}})</` + 'script>'; document.body.append(frame)"
)
IMPORT = "try { importScripts('$GET'); postMessage(self.leaked) } catch { postMessage('') }"

ATTACKS = {
    "img": f'<img src="$GET" {LATE}>',
    "img-redirected": f'<img src="$HOP" {LATE}>',
    "img-no-referrer": f'<img src="$GET" referrerpolicy="no-referrer" {LATE}>',
    "img-crossorigin": f'<img src="$GET" crossorigin {LATE}>',
    "css-image": '<p style="background: url($GET)">x</p>',
    "icon": _script(
        "const icon = document.createElement('link'); icon.rel = 'icon'; icon.href = get;"
        "document.head.append(icon)"
    ),
    "script": '<script src="$GET" onload="tell(self.leaked)" onerror="tell()"></script>',
    "script-module": f'<script type="module" src="$GET" {LATE}></script>',
    "stylesheet": f'<link rel="stylesheet" href="$GET" {LATE}>',
    "prefetch": f'<link rel="prefetch" href="$GET" {LATE}>',
    "preload": f'<link rel="preload" as="fetch" href="$GET" {LATE}>',
    "iframe": '<iframe src="$GET" onload="tell()"></iframe>',
    "object": '<object data="$GET"></object>',
    "embed": '<embed src="$GET">',
    "video": '<video src="$GET" preload="auto" onerror="tell()"></video>',
    "audio": '<audio src="$GET" preload="auto" onerror="tell()"></audio>',
    "meta-refresh": '<meta http-equiv="refresh" content="0;url=$GET">',
    "link": '<a id="link" href="$GET">x</a>' + _script('document.getElementById("link").click()'),
    "link-noreferrer": '<a id="link" href="$GET" rel="noreferrer" target="_blank">x</a>'
    + _script('document.getElementById("link").click()'),
    "location": _script("location = get"),
    "location-redirected": _script("location = hop"),
    "window-open": _script("opened = open(get)"),
    "window-open-noopener": _script("open(get, '', 'noopener')"),
    "form-get": _form("GET"),
    "form-get-blank": _form("GET", target="_blank"),
    "form-post": _form("POST"),
    "form-post-no-referrer": '<meta name="referrer" content="no-referrer">' + _form("POST"),
    "form-post-redirected": _form("POST").replace("$RUN", "$HOP-post"),
    "form-post-blank": _form("POST", target="_blank"),
    "form-post-frame": _form("POST", target="frame"),
    "form-post-multipart": _form("POST", "multipart/form-data"),
    "form-post-multipart-blank": _form("POST", "multipart/form-data", "_blank"),
    "form-post-text": _form("POST", "text/plain"),
    "form-post-text-blank": _form("POST", "text/plain", "_blank"),
    "fetch-no-cors-get": _script("read(fetch(get, { mode: 'no-cors' }))"),
    "fetch-no-cors-post": _script("read(post({ mode: 'no-cors' }))"),
    "fetch-post-redirected": _script(
        "read(fetch(`${hop}-post`, { method: 'POST', mode: 'no-cors', body: code }))"
    ),
    "fetch-sandboxed": _script(SANDBOXED),
    "fetch-keepalive": _script("read(post({ mode: 'no-cors', keepalive: true }))"),
    "fetch-cors-get": _script("read(fetch(get))"),
    "fetch-cors-post": _script("read(post())"),
    "fetch-json": _script("read(post(json))"),
    "beacon": _script("navigator.sendBeacon(run, code)"),
    "event-source": _script(
        "const events = new EventSource(get); events.onmessage = (e) => tell(e.data);"
        "events.onerror = () => { events.close(); tell(''); }"
    ),
    "web-socket": _script(
        "const socket = new WebSocket(get.replace('http', 'ws'));"
        "socket.onopen = () => tell('open'); socket.onerror = () => tell('')"
    ),
    "worker": _script(
        f'new Worker(URL.createObjectURL(new Blob(["{IMPORT}"]))).onmessage = (e) => tell(e.data)'
    ),
}  # fmt: skip
PREFLIGHTED = frozenset({"fetch-json"})
"""Of these only a question may come, when their page is of another origin."""


def attack_page(attack: str, server: str, code: str, hop: str) -> str:
    """Make the page of one attack on a server."""
    run = f"{server}/execute"
    values = {"RUN": run, "GET": get_url(server, code), "HOP": hop}
    values |= {"CODE": json.dumps(code), "TEXT": html.escape(code)}
    return Template(HEAD + ATTACKS[attack]).safe_substitute(values)


def tells(attack: str) -> bool:
    """Whether a page of this attack tells what came of it."""
    return "tell(" in ATTACKS[attack] or "read(" in ATTACKS[attack]


def get_url(server: str, code: str) -> str:
    """Give the address that runs code on a server."""
    return f"{server}/execute?code={quote(code, safe='')}"
