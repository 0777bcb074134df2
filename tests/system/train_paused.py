#!/usr/bin/python3
"""A process that is stopped for longer than `dead-after` and goes on: so does the training, to the last row.

    train_paused.py server     a server: every worker gives it up, and is back with it
    train_paused.py worker     a worker, in lock-step: the others go on without it, and it trains all of its rows
    train_paused.py often      a server of many workers, again and again: all of them go on each time
"""

import os
import signal
import sys
import threading

from train_support import Run, check, results

AWAY = 1.5  # seconds, and more than twice dead-after


def often(times):
    names = ["worker/%d" % number for number in range(8)]
    run = Run("train", {"rows": 16000, "epochs": 100000, "workers": len(names), "links.0.dead-after": "600ms",
                        "nodes.worker.with.slow": "10ms", "nodes.worker.with.slow-replica": -1,
                        "nodes.worker.with.timeout": "10m", "nodes.worker.restart": "never"})

    def clock(node):
        return (node.get("progress") or {}).get("clock", 0)

    for name in names:
        run.wait_for_node(name, lambda node: clock(node) >= 1)
    server = run.wait_for_node("server/1", lambda node: node.get("pid"))["pid"]
    for _ in range(times):
        os.kill(server, signal.SIGSTOP)
        threading.Event().wait(AWAY)
        before = {node["name"]: clock(node) for node in run.state()["nodes"]}
        os.kill(server, signal.SIGCONT)
        for name in names:
            run.wait_for_node(name, lambda node: clock(node) >= before[name] + 20)
    run.process.send_signal(signal.SIGTERM)
    _, report = run.end()
    check(all(node["restarts"] == 0 for node in report["nodes"]), "nobody had to be started again: %s" % report["nodes"])
    rejoins = [worker.get("rejoins", 0) for worker in results(report, "worker")]
    check(min(rejoins) >= times // 2, "who was given up was met again: %s" % rejoins)


if sys.argv[1] == "often":
    often(8)
    sys.exit()
settings = {"rows": 24000, "epochs": 2, "workers": 3, "links.0.dead-after": "600ms", "nodes.worker.with.slow": "20ms",
            "nodes.worker.with.slow-replica": -1, "nodes.worker.with.timeout": "60s", "nodes.worker.restart": "never"}
victim, topology = ("server/1", "train") if sys.argv[1] == "server" else ("worker/1", "train-bsp")
run = Run(topology, settings)
for worker in ("worker/0", "worker/1", "worker/2"):
    run.wait_for_node(worker, lambda node: (node.get("progress") or {}).get("clock", 0) >= 1)
pid = run.wait_for_node(victim, lambda node: node.get("pid"))["pid"]
os.kill(pid, signal.SIGSTOP)
threading.Event().wait(AWAY)  # what is tested: that it is away for so long
os.kill(pid, signal.SIGCONT)
code, report = run.end()

check(code == 0 and report["ok"], "the run ends well: %s" % report.get("reason"))
workers = results(report, "worker")
check([w["rows"] for w in workers] == [16000] * 3, "each worker trains all of its rows: %s" % workers)
given_up = sum(w.get("rejoins", 0) for w in workers)
check(given_up >= (3 if victim == "server/1" else 1), "who was given up was met again: %s" % workers)
check(all(node["restarts"] == 0 for node in report["nodes"]), "nobody had to be started again: %s" % report["nodes"])
check(workers[0]["logloss"] < 0.6, "the model is of use: %s" % workers[0])
print("%.1f s" % report["seconds"], [w.get("rejoins", 0) for w in workers], workers[0]["logloss"])
