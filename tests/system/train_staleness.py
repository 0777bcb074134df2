#!/usr/bin/python3
"""With one worker slowed down, the clock gap of the others reaches the staleness and never passes it."""

from train_support import check, results, train

for staleness in (1, 4):
    report = train("train-ssp", rows=8000, epochs=2, staleness=staleness, slow="5ms", slow_worker=1)
    workers = results(report, "worker")
    servers = results(report, "server")
    print(staleness, "%.1f s" % report["seconds"], [w["max_gap"] for w in workers], [s["max_gap"] for s in servers])
    check(all(w["max_gap"] <= staleness for w in workers + servers), "somebody was more than %d ahead" % staleness)
    check(all(w["max_gap"] == staleness for i, w in enumerate(workers) if i != 1), "the bound was not reached")
    check(sum(s["waited"] for s in servers) > 0, "pulls wait at the servers")
