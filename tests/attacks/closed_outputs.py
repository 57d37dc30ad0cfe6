# mypy: ignore-errors
"""Closes its outputs and runs on."""
os.close(1)
os.close(2)
while True:
    time.sleep(1)
