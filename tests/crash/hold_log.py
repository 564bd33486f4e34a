"""Open the log of the run r in a folder, say so, and hold it until stdin ends."""

import sys

from rldk.io.writer import open_writer

writer = open_writer(sys.argv[1], run_id="r")
sys.stdout.write("held\n")
sys.stdout.flush()
sys.stdin.read()
