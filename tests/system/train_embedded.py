#!/usr/bin/python3
"""A parameter server and a worker embedded in programs of forty lines meet and learn a line."""

import os
import subprocess
import sys
import tempfile

from train_support import BIN, PATIENCE, check

examples = os.path.join(BIN, "examples")
if not os.path.exists(os.path.join(examples, "params_client")):
    print("skipped: the examples are not built")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="weft-") as folder:
    endpoint = "ipc://%s/params" % folder
    server = subprocess.Popen([os.path.join(examples, "params_server"), endpoint], stdout=subprocess.PIPE, text=True)
    client = subprocess.run(
        [os.path.join(examples, "params_client"), endpoint], stdout=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    said, _ = server.communicate(timeout=PATIENCE)
print(client.stdout, said)
check(client.returncode == 0 and client.stdout == "y = 2.00 x + -1.00\n", "the line is learnt")
check(server.returncode == 0 and said == "500 pushes\n", "the server saw every push, and ends")
