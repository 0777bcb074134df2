#!/usr/bin/python3
"""A server that is killed and started again has lost its rows: the run ends and says so, whatever is restarted.

    train_lost_rows.py SERVER-RESTART WORKER-RESTART
"""

import os
import signal
import sys

from train_support import Run, check

server, worker = sys.argv[1:3]
run = Run("train-bsp", {"rows": 80000, "epochs": 2, "workers": 2, "slow": "20ms", "slow_worker": -1,
                        "nodes.server.restart": server, "nodes.worker.restart": worker})
for name in ("worker/0", "worker/1"):
    run.wait_for_node(name, lambda node: (node.get("progress") or {}).get("clock", 0) >= 1)
os.kill(run.wait_for_node("server/0", lambda node: node.get("pid"))["pid"], signal.SIGKILL)
code, report = run.end()

check(code == 1 and not report["ok"], "a run that lost its rows has failed")
check("server/0" in report["reason"] or "server 0" in report["reason"],
      "the reason names the server: %s" % report["reason"])
print("%.1f s" % report["seconds"], report["reason"])
