"""Writes numbered lines, each with one write(2): NAME RUN NUMBER. How many it has written is in FOLDER/NAME.RUN. Arguments: NAME FOLDER."""
import os
import sys
import time

name, folder = sys.argv[1:3]
run = os.environ["STEWARD_RUN_ID"][-12:]
known = os.open(os.path.join(folder, name + "." + run), os.O_WRONLY | os.O_CREAT, 0o644)
number = 0
while True:
    for _ in range(20):
        number += 1
        os.write(1, b"%s %s %012d\n" % (name.encode(), run.encode(), number))
    os.pwrite(known, b"%d" % number, 0)
    time.sleep(0.1)
