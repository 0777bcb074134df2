#!/usr/bin/python3
"""A worker in Python, which shares no code with Weft, pushes and pulls: few numbers and many, in either form."""

import json
import os
import subprocess
import sys
import tempfile

from train_support import BIN, PATIENCE, check

server_program = os.path.join(BIN, "examples", "params_server")
if not os.path.exists(server_program):
    print("skipped: the examples are not built")
    sys.exit(77)
try:
    import msgpack  # noqa: F401
    import zmq  # noqa: F401
except ImportError:
    print("skipped: python3-zmq and python3-msgpack are not here")
    sys.exit(77)


def trained(rows):
    """What the worker saw of a table of so many rows, and what the server counted."""
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        endpoint = "ipc://%s/params" % folder
        server = subprocess.Popen(
            [server_program, endpoint, str(rows)], stdout=subprocess.PIPE, text=True
        )
        peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_peer.py")
        worker = subprocess.run(
            [sys.executable, peer, "train", endpoint, str(rows)], stdout=subprocess.PIPE, text=True, timeout=PATIENCE
        )
        said, _ = server.communicate(timeout=PATIENCE)
    print(worker.stdout, said)
    check(worker.returncode == 0, "the worker ended well")
    check(server.returncode == 0 and said == "2 pushes\n", "the server saw both pushes")
    return [json.loads(line) for line in worker.stdout.splitlines()]


def expected(where, rows):
    total = sum(range(rows)) * 0.05
    return [(where, total * pushes) for pushes in (-1, -2)]


for rows, where in ((3, "inside"), (5000, "beside")):
    seen = trained(rows)
    check([entry["pulled"] for entry in seen] == [where, where], "%d values come %s" % (rows, where))
    for entry, (_, total) in zip(seen, expected(where, rows)):
        check(abs(entry["sum"] - total) <= 1e-5 * abs(total), "the rows were learnt: %s" % entry)
