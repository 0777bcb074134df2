#!/usr/bin/python3
"""Logistic regression on a9a with two servers and four workers reaches the reference.

    train_a9a.py bsp|ssp|asp
"""

import sys

from train_support import check, data_file, results, train

mode = sys.argv[1]
report = train("train-" + mode, data=data_file("a9a"), test=data_file("a9a.t"))
workers = results(report, "worker")
scores = workers[0]
print(mode, "%.1f s" % report["seconds"], scores)

check(sum(w["rows"] for w in workers) == 5 * 32561, "every row is read five times")
check(scores["test_rows"] == 16281, "all test rows are used")
check(scores["logloss"] <= 0.332, "logloss %g, expected at most 0.332" % scores["logloss"])
check(scores["accuracy"] >= 0.845, "accuracy %g, expected at least 0.845" % scores["accuracy"])
check(scores["auc"] >= 0.899, "AUC %g, expected at least 0.899" % scores["auc"])
if mode == "bsp":
    again = results(train("train-bsp", data=data_file("a9a"), test=data_file("a9a.t")), "worker")
    for key in ("logloss", "accuracy", "auc", "loss"):
        check(again[0][key] == scores[key], "bsp gives the same %s in every run" % key)
