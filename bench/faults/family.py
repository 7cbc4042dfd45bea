"""A program with relatives: a child, one in a session of its own, one that a child left behind in another session, and one that is halted. Their pids go into FILE. Argument: FILE."""
import os
import signal
import sys
import time


def relative(prepare):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        prepare()
        os.write(writer, b"%d\n" % os.getpid())
        os.close(writer)
        while True:
            time.sleep(1000)
    os.close(writer)
    text = os.read(reader, 100)
    os.close(reader)
    return text


def orphaned():
    if os.fork() > 0:
        os._exit(0)
    os.setsid()


pids = [relative(prepare) for prepare in (lambda: None, os.setsid, orphaned, lambda: None)]
os.kill(int(pids[-1]), signal.SIGSTOP)
with open(sys.argv[1] + ".new", "wb") as file:
    file.write(b"".join(pids))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    time.sleep(1000)
