"""Writes lines of 100 bytes at a rate, and says in FILE how many bytes it has written. Arguments: BYTES_PER_SECOND FILE."""
import os
import sys
import time

rate, file = int(sys.argv[1]), sys.argv[2]
known = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
written = int(os.pread(known, 20, 0) or b"0")
line = b"x" * 99 + b"\n"
pause = 0.05
lines = line * max(1, int(rate * pause / len(line)))
while True:
    begun = time.monotonic()
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(1, rest):]
    written += len(lines)
    os.pwrite(known, b"%d" % written, 0)
    time.sleep(max(0, begun + pause - time.monotonic()))
