# mypy: ignore-errors
"""Reaches keyrings, which are not of a namespace."""
permitted("session keyring", "keyctl", 0, -3, 0)
permitted("user keyring", "keyctl", 0, -4, 0)
permitted("request_key", "request_key", b"user", b"ry_none", 0, -3)
attempt("list of keys", lambda: read("/proc/keys") or (_ for _ in ()).throw(OSError("empty")))
