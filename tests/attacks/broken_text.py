# mypy: ignore-errors
"""NUL bytes, bytes that are no UTF-8, lone surrogates, in output and exception."""
os.write(1, bytes(range(256)) + b"\xff\xfe\xc0\x80\xed\xa0\x80" + "\u2028\u202e\ufeff\n".encode())
os.write(2, b"\0" * 1000 + b"\xf5\xff")
os.write(1, b"\nend\n")
raise type("E\0", (Exception,), {})("\udcff\0\ud800")
