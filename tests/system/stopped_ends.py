"""A run of which one end is stopped (SIGSTOP) as its stream ends: what was sent is there, or is named and the run fails."""

import os
import signal

from weft_support import *

RECORDS = 1800
RUN = """weft: 1
name: stopped
nodes:
  source: {run: weft-source, with: {count: %d, rate: 600, generator: {kind: counter}}}
  sink: {run: weft-sink, replicas: 2, with: {quiet: true, check-field: n}}
links:
  - {from: source.out, to: sink.in, pattern: pub-sub, delivery: %s, dead-after: 500ms}
limits: {drain: %s}
"""


FORGETFUL = """weft: 1
name: forgetful
nodes:
  source: {run: weft-source, with: {count: 60000, rate: 5000, generator: {kind: counter, size: 2KiB}}}
  sink: {run: weft-sink, with: {quiet: true, check-field: n}}
links:
  - {from: source.out, to: sink.in, pattern: pub-sub, delivery: at-least-once, retain: 64KiB, batch: {records: 1}}
"""  # far more than is on its way at once, and a window of a few batches


def _source(now):
    return node(now, "source/0")


def _stopped_run(delivery, drain, who, until):
    """The report of a run whose node is stopped in the midst of the stream until until(state) is true."""
    return _stopped(RUN % (RECORDS, delivery, drain), who, until)


def _stopped(text, who, until):
    path = file("stopped.yaml", text)
    process = start("weft", "up", path, "--json")
    found = wait_for(live_runs, "the run")
    directory = found[0]["directory"]
    wait_for(lambda: (state(directory) or {}).get("state") == "running", "its start")
    wait_for(lambda: _source(state(directory)).get("progress", {}).get("sent", 0) > 0, "its first records")
    pid = node(state(directory), who)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: until(state(directory)), "what the stop is to outlast")
    finally:
        os.kill(pid, signal.SIGCONT)
    result = finish(process)
    report = result.json()
    report["code"], report["log"] = result.code, result.err
    return report


def _has_sent_all(now):
    return _source(now)["state"] == "draining"


def a_subscriber_that_is_dead_at_the_end_is_waited_for():
    report = _stopped_run("at-least-once", "40s", "sink/0", _has_sent_all)
    equal(report["code"], 0, "exit code (%s)" % report["log"])
    for sink in ("sink/0", "sink/1"):
        equal(report["result"][sink]["distinct"], RECORDS, "records of " + sink)
        equal(report["result"][sink]["missing"], 0, "missing at " + sink)
    equal(report["links"][0]["left"], 0, "left")


def a_subscriber_that_stays_stopped_is_named_and_fails_the_run():
    report = _stopped_run("at-least-once", "1s", "sink/0", _has_ended)
    equal(report["code"], 1, "exit code")
    contains(report["reason"], "sink/0 (dead, nothing was heard of it during the last", "the reason")
    check("sink/1" not in report["reason"], "sink/1 is named in " + report["reason"])
    link = report["links"][0]
    check(link["left"] > 0 and link["left"] == link["retained"], "nothing is left in %r" % link)
    lacking = RECORDS - report["result"]["sink/0"]["received"]
    check(link["left"] >= lacking, "%d are left, and %d are lacking" % (link["left"], lacking))


def what_a_stopped_subscriber_can_fetch_no_more_is_named_and_fails_the_run():
    report = _stopped(FORGETFUL, "sink/0", _has_sent_all)
    missed = report["links"][0]["missed"]
    check(missed > 0, "nothing is missed in %r" % report["links"])
    equal(report["result"]["sink/0"]["received"], 60000 - missed, "received")
    equal(report["code"], 1, "exit code")
    contains(report["reason"], "sink/0 missed %d batches in spite of at-least-once" % missed, "the reason")
    contains(report["reason"], "a larger retain keeps more", "what to do")


def a_best_effort_subscriber_that_is_stopped_reads_what_came_to_it_or_it_is_counted():
    report = _stopped_run("best-effort", "10s", "sink/0", _has_ended)
    equal(report["code"], 0, "exit code (%s)" % report["log"])
    link = report["links"][0]
    check(link["received"] + link["lost"] >= 2 * RECORDS, "records are unaccounted for in %r" % link)
    equal(report["result"]["sink/1"]["distinct"], RECORDS, "records of sink/1")


def _has_ended(now):
    return _source(now)["state"] in ("stopped", "failed")


def _is_missed(now):
    sinks = [one for one in now["nodes"] if one["name"] != "source/0"]
    return all((one.get("ports") or {}).get("in", {}).get("peers_up") == 0 for one in sinks)


def a_publisher_that_is_stopped_loses_nothing():
    report = _stopped_run("at-least-once", "20s", "source/0", _is_missed)
    equal(report["code"], 0, "exit code (%s)" % report["log"])
    equal(report["links"][0]["received"], 2 * RECORDS, "received")


if __name__ == "__main__":
    main(cases_of(globals()))
