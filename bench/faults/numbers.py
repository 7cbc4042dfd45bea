"""Writes numbered lines of 13 bytes, so many a second, 0 for as fast as it can be; the count so far is in FILE. Ends its writing after COUNT, and stays. Arguments: PER_SECOND COUNT FILE."""
import os
import sys
import time

per_second, count, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
known = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
batch = per_second // 20 if per_second else 500
number = 0
while number < count:
    text = b"".join(b"%012d\n" % (number + 1 + index) for index in range(min(batch, count - number)))
    number += len(text) // 13
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(1, rest):]
    os.pwrite(known, b"%d" % number, 0)
    if per_second:
        time.sleep(0.05)
time.sleep(100000)
