#!/usr/bin/python3
"""Requests that end, whichever process is killed."""

import signal

from weft_support import *

REQUESTS = 3000

FILE = """weft: 1
name: asked
nodes:
  asker: {run: weft-source, with: {count: %d, generator: {kind: counter}}}
  worker: {run: weft-relay, replicas: 3, restart: on-failure, max-restarts: 100, with: {work: 2ms}}
  gather: {run: weft-sink, lifetime: finite, with: {count: %d, quiet: true, check-field: n}}
links:
  - {from: asker.out, to: worker.in, pattern: dealer-router, delivery: at-least-once}
  - {from: asker.replies, to: gather.in, pattern: push-pull}
""" % (REQUESTS, REQUESTS)


def _asked(base):
    """What the launcher says of the only run, or None."""
    runs = os.listdir(base) if os.path.isdir(base) else []
    return next((found for found in (state(os.path.join(base, name)) for name in runs) if found), None)


def replicas_that_are_killed_lose_no_request():
    base = ENVIRONMENT["WEFT_RUN_DIR"]
    process = start("weft", "up", file("asked.yaml", FILE), "--json")
    killed = set()
    for name in ("worker/0", "worker/1", "worker/2", "worker/0"):
        def running():
            found = _asked(base)
            if process.poll() is not None:
                return True
            one = next((n for n in (found or {}).get("nodes", []) if n["name"] == name), {})
            return one.get("state") == "running" and one.get("pid") not in killed and one.get("pid")
        pid = wait_for(running, name + " running")
        if pid is True:
            break  # the requests were done before
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    result = finish(process)
    report = result.json()
    equal((result.code, report["ok"]), (0, True), "the run: %s\n%s" % (report.get("reason"), result.err))
    asker, gather = report["result"]["asker/0"], report["result"]["gather/0"]
    equal((asker["answered"], asker["failed"]), (REQUESTS, 0), "requests")
    equal((gather["distinct"], gather["twice"]), (REQUESTS, 0), "replies")
    check(killed, "no worker was killed while requests were on their way")
    print("killed %d workers" % len(killed))


if __name__ == "__main__":
    main(cases_of(globals()))
