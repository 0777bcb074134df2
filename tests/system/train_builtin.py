#!/usr/bin/python3
"""A training topology on its built-in data comes near to the best loss that can be reached.

    train_builtin.py TOPOLOGY
"""

import sys

from train_support import check, results, train

topology = sys.argv[1]
report = train(topology, rows=40000)
workers = results(report, "worker")
servers = results(report, "server")
scores = workers[0]
print(topology, "%.1f s" % report["seconds"], scores)

check(len(workers) == 4 and len(servers) == 2, "expected 4 workers and 2 servers")
check(all(w["rows"] == 5 * 10000 for w in workers), "every worker reads its quarter of the rows five times")
check(scores["best_logloss"] - 0.01 < scores["logloss"] < scores["best_logloss"] + 0.02, "logloss is not near the best")
check(scores["accuracy"] > scores["best_accuracy"] - 0.02, "accuracy is not near the best")
check(all(s["rows"] > 50 for s in servers), "both servers hold rows: 200 features and the bias")
check(sum(s["pushes"] for s in servers) > 0 and all(s.get("refused", 0) == 0 for s in servers), "pushes arrive")
if topology == "train-bsp":
    check(all(node["max_gap"] == 0 for node in workers + servers), "in bsp nobody is ahead")
if topology == "train-ssp":
    check(all(node["max_gap"] <= 3 for node in workers + servers), "the gap stays within the staleness")
