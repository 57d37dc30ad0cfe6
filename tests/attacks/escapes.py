# mypy: ignore-errors
"""Terminal escapes in all it writes, and in its exception."""
for text in ("\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x1b]52;c;cm0gLXJm\x07", "\x1bP+q544e\x1b\\", "\x9b31m", "\r\nHTTP/1.1 200 OK\r\n\r\n"):
    os.write(1, text.encode())
    os.write(2, text.encode())
say("")
raise ValueError("\x1b[31m\x1b]0;x\x07\r\nforged log line")
