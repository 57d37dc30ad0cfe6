# mypy: ignore-errors
"""Makes a million small files."""
made = 0
try:
    for made in range(1_000_000):
        os.close(os.open(f"f{made}", os.O_WRONLY | os.O_CREAT))
except OSError as error:
    stopped("at", made, error)
else:
    reached("made a million files")
