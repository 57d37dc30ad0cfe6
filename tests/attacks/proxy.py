# mypy: ignore-errors
"""Asks the proxy, where there is one, for what is not public."""
# OWN in PROXY_NAMES is the port that listens on the machine outside.
import socket
host, _, port = os.environ.get("http_proxy", "").removeprefix("http://").partition(":")
own = os.environ.get("HOST_PORT", "22")
wanted = [
    f"127.0.0.1:{own}", f"localhost:{own}", f"[::1]:{own}", f"0.0.0.0:{own}", f"2130706433:{own}", f"127.1:{own}",
    f"0x7f000001:{own}", f"[::ffff:127.0.0.1]:{own}", "169.254.169.254:80", "[fe80::1]:80", "10.0.0.1:80",
    "192.168.1.1:80", "172.16.0.1:80", "100.64.0.1:80", "[fd00::1]:80", "[64:ff9b::7f00:1]:80", "metadata.google.internal:80",
    *os.environ.get("PROXY_NAMES", "").replace("OWN", own).split(),
]
def ask(first):
    with socket.create_connection((host, int(port)), timeout=5) as made:
        made.sendall(first)
        return made.recv(2000)
for target in wanted if port else ():
    for label, request in (
        ("connect", f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        ("get", f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"),
    ):
        try:
            answer = ask(request.encode())
        except OSError as error:
            stopped(label, target, error)
            continue
        words = answer.split(None, 2)
        good = len(words) > 1 and words[1].startswith((b"2", b"3"))
        (reached if good else stopped)(label, target, answer[:60])
if not port:
    stopped("there is no proxy")
