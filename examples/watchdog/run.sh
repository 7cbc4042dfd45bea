#!/bin/sh
# Starts the back end the way its owners do; the shell stays the parent.
python3 backend.py 7878
