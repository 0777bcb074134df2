#!/usr/bin/python3
"""A worker that is killed does not hold the others.

    train_killed.py restart    it is started again, joins, and goes on where the clocks are
    train_killed.py never      without a restart the run ends at once and says who was killed
"""

import os
import signal
import sys

from train_support import Run, check, results

# Slow enough that worker 2 is in the middle of its work when it is killed, and back before the others are done.
settings = {"rows": 80000, "epochs": 1, "slow": "20ms", "slow_worker": -1, "nodes.worker.restart": "on-failure"}
if sys.argv[1] == "never":
    settings["nodes.worker.restart"] = "never"
    settings["slow"] = "1s"
run = Run("train-bsp", settings)
victim = run.wait_for_node("worker/2", lambda node: node.get("progress") and node["progress"].get("clock", 0) >= 1)
os.kill(victim["pid"], signal.SIGKILL)
code, report = run.end()

if sys.argv[1] == "never":
    check(code == 1 and not report["ok"], "a run that lost a worker for good has failed")
    check("worker/2" in report["reason"], "the reason names the worker: %s" % report["reason"])
    left = [node for node in report["nodes"] if node["name"] != "worker/2"]
    check(all(node["exit_code"] == 0 for node in left), "the others drain in order: %s" % left)
else:
    check(code == 0 and report["ok"], "the run goes on: %s" % report.get("reason"))
    killed = next(node for node in report["nodes"] if node["name"] == "worker/2")
    workers = results(report, "worker")
    check(killed["restarts"] == 1, "worker/2 was started again: %s" % killed)
    check(all(w["steps"] == 200 for i, w in enumerate(workers) if i != 2), "the others did all their steps")
    check(workers[2]["steps"] < 200, "worker/2 does not repeat what is over: %s" % workers[2])
    check(workers[0]["logloss"] < 0.5, "the model is of use: %s" % workers[0])
    print("%.1f s" % report["seconds"], [w["steps"] for w in workers], workers[0]["logloss"])
