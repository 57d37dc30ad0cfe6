# mypy: ignore-errors
"""Nests user namespaces as deep as they go, and maps itself to root there."""
depth = 0
try:
    while depth < 40:
        call("unshare", 0x10000000)
        depth += 1
except OSError as error:
    stopped("at depth", depth, error)
if depth:
    reached("nested", depth, "deep")
attempt("map to root", write, "/proc/self/uid_map", b"0 0 1\n")
attempt("setgroups", write, "/proc/self/setgroups", b"allow")
