"""weft chaos: nodes are killed and stopped while they work, and every record is accounted for."""

import json
import os

from weft_support import *

RECORDS = 20000 if SLOW > 1 else 100000
SLOWLY = "rate=%d" % (RECORDS // (2 * SLOW))  # so that what is killed is back in time to be killed again
DELIVERY = "best-effort"  # with a delivery that promises more, LOST_AT_MOST is 0
LOST_AT_MOST = {"best-effort": None, "at-least-once": 0, "exactly-once": 0}[DELIVERY]

DIRECT = """
weft: 1
name: direct
params: {records: %d, rate: %d}
nodes:
  source:
    run: weft-source
    with: {count: "${records}", rate: "${rate}", generator: {kind: counter, size: 100B}}
  sink:
    run: weft-sink
    replicas: 3
    with: {quiet: true, check-field: n}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: %s}
""" % (RECORDS, RECORDS // 2, DELIVERY)


def _chaos(name, *arguments, text=DIRECT):
    return _account(weft("chaos", file(name + ".yaml", text), "--json", *arguments))


def _account(result):
    out = result.json()
    ledger = out["ledger"]
    equal((result.code, out["report"].get("reason")), (0, None), "exit code and reason (%s)" % ledger["problems"])
    equal(ledger["problems"], [], "problems")
    equal(ledger["unexpected"], 0, "records that nobody attempted")
    settled = sum(ledger[fate] for fate in ("processed", "expired", "dead_lettered", "purged", "lost"))
    equal(settled - ledger["unconfirmed"], ledger["accepted"], "fates of accepted records")
    if LOST_AT_MOST is not None:
        check(ledger["lost"] <= LOST_AT_MOST, "%d records are lost" % ledger["lost"])
    return ledger, out["report"]


def a_run_without_faults_adds_up():
    ledger, _ = _chaos("quiet", "--set", "rate=0")
    equal((ledger["attempted"], ledger["accepted"], ledger["processed"]), (RECORDS, RECORDS, RECORDS), "records")
    equal((ledger["duplicated"], ledger["lost"], ledger["faults"]), (0, 0, {}), "duplicates, losses and faults")


def killed_receivers_are_started_again_and_every_record_is_accounted_for():
    ledger, report = _chaos("receivers", "--set", SLOWLY, "--kill", "sink", "--every", "200ms", "--in-turn")
    equal(ledger["attempted"], RECORDS, "attempted")
    killed = ledger["faults"]["killed"]
    check(killed >= 3, "only %d kills in %s s" % (killed, report["seconds"]))
    check(ledger["processed"] > RECORDS // 2, "only %d records were processed" % ledger["processed"])
    restarts = sum(node(report, "sink/%d" % i)["restarts"] for i in range(3))
    equal(restarts, killed, "restarts")


def faults_end_with_the_work():
    # Never are all receivers up at once while they are killed like that, and the run would not drain.
    ledger, _ = _chaos("relentless", "--set", "records=2000", "--set", "rate=2000", "--kill", "sink", "--every", "5ms")
    equal(ledger["attempted"], 2000, "attempted")
    check(ledger["faults"]["killed"] >= 3, "only %d kills" % ledger["faults"]["killed"])


def a_killed_source_goes_on_behind_what_it_has_sent():
    ledger, report = _chaos("sources", "--kill", "source", "--every", "300ms")
    equal((ledger["attempted"], ledger["duplicated"]), (RECORDS, 0), "attempted and duplicated")
    check(node(report, "source/0")["restarts"] >= 1, "the source was not killed")


def a_stopped_receiver_loses_nothing():
    ledger, _ = _chaos("stopped", "--stop", "sink/1", "--stop-every", "500ms", "--stop-for", "300ms")
    equal((ledger["processed"], ledger["lost"], ledger["duplicated"]), (RECORDS, 0, 0), "processed, lost, duplicated")
    check(ledger["faults"]["stopped"] >= 1, "nothing was stopped")


def for_ends_an_endless_run_when_all_nodes_are_back():
    ledger, report = _chaos("endless", "--set", "records=0", "--set", "rate=20000", "--kill", "sink", "--kill",
                            "source", "--every", "100ms", "--in-turn", "--for", "1s")
    check(ledger["faults"]["killed"] >= 1, "nothing was killed")
    equal({one["state"] for one in report["nodes"]}, {"stopped"}, "states at the end")


def two_sources_are_told_apart():
    text = DIRECT.replace("  sink:\n", """  other:
    run: weft-source
    replicas: 2
    with: {count: 1000, generator: {kind: random}}
  sink:
""") + "  - {from: other.out, to: sink.in, pattern: push-pull, delivery: %s}\n" % DELIVERY
    ledger, _ = _chaos("two", "--set", "rate=0", text=text)
    equal((ledger["attempted"], ledger["processed"]), (RECORDS + 2000, RECORDS + 2000), "records")


def at_least_once_loses_nothing_when_receivers_are_killed():
    text = DIRECT.replace("delivery: " + DELIVERY, "delivery: at-least-once")
    ledger, _ = _chaos("again", "--kill", "sink", "--every", "300ms", "--in-turn", text=text)
    equal((ledger["processed"], ledger["lost"]), (RECORDS, 0), "processed and lost")
    check(ledger["faults"].get("killed", 0) >= 1, "nothing was killed")


PIPELINE = """
weft: 1
name: once
params: {records: %d, rate: %d}
nodes:
  source:
    run: weft-source
    with: {count: "${records}", rate: "${rate}", resume: true, generator: {kind: counter, size: 100B}}
  relay: {run: weft-relay, replicas: 2}
  sink:
    run: weft-sink
    with: {output: once.jsonl, check-field: n}
links:
  - {from: source.out, to: relay.in, pattern: push-pull, delivery: exactly-once,
     journal: {from: j/source, to: j/relay}}
  - {from: relay.out, to: sink.in, pattern: push-pull, delivery: exactly-once,
     journal: {from: j/relay, to: j/sink}}
limits: {drain: 60s}
""" % (RECORDS, RECORDS // (2 * SLOW))


def a_pipeline_of_transactions_has_the_result_of_a_run_without_faults():
    ledger, report = _chaos("once", "--kill", "source", "--kill", "relay", "--kill", "sink", "--every",
                            "%dms" % (500 * SLOW), "--in-turn", text=PIPELINE)
    equal((ledger["processed"], ledger["lost"], ledger["duplicated"]), (RECORDS, 0, 0), "processed, lost, duplicated")
    check(sum(one["restarts"] for one in report["nodes"]) >= 1, "nothing was killed")
    with open(os.path.join(WORK, "once.jsonl")) as out:
        numbers = sorted(json.loads(line)["n"] for line in out)
    equal(numbers, list(range(RECORDS)), "the numbers in the sink's file")


def what_a_sink_wrote_before_its_first_commit_is_cut_off():
    text = """
weft: 1
name: first
params: {lines: none}
nodes:
  source: {run: weft-exec, lifetime: finite, with: {command: "cat ${lines}"}}
  sink: {run: weft-sink, with: {output: first.jsonl, append: true}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: exactly-once,
     journal: {from: first/source, to: first/sink}}
"""
    topology_file, out = file("first.yaml", text), os.path.join(WORK, "first.jsonl")
    file("first.jsonl", '{"n":0}\n')  # of somebody else, before the first start
    equal(up(topology_file, "--set", "lines=" + file("none.jsonl", ""))["code"], 0, "exit code of a run without records")
    with open(out, "a") as opened:
        opened.write('{"n":1}\n')  # as if it had been killed behind the record and before the commit
    some = file("some.jsonl", '{"n":1}\n{"n":2}\n')
    equal(up(topology_file, "--set", "lines=" + some)["code"], 0, "exit code of a run with records")
    with open(out) as opened:
        equal([json.loads(line)["n"] for line in opened], [0, 1, 2], "the numbers in the sink's file")


def at_least_once_yaml_keeps_its_promise():
    ledger, _ = _account(weft("chaos", topology("at-least-once"), "--json", "--set", "records=%d" % RECORDS, "--set",
                              SLOWLY, "--kill", "sink", "--every", "200ms"))
    equal((ledger["processed"], ledger["lost"]), (RECORDS, 0), "processed and lost")
    check(ledger["faults"]["killed sink"] >= 1, "nothing was killed")


def exactly_once_yaml_keeps_its_promise():
    ledger, _ = _account(weft("chaos", topology("exactly-once"), "--json", "--set", "records=%d" % RECORDS, "--set",
                              "rate=%d" % (RECORDS // (2 * SLOW)), "--set", "journals=%s/exact" % WORK, "--kill", "sink",
                              "--kill", "source", "--every", "%dms" % (300 * SLOW), "--in-turn"))
    equal((ledger["processed"], ledger["lost"], ledger["duplicated"]), (RECORDS, 0, 0), "processed, lost, duplicated")
    check(ledger["faults"]["killed source"] >= 1, "the source was not killed")


def connections_are_broken_as_well():
    text = DIRECT.replace("delivery: " + DELIVERY, "delivery: at-least-once")
    ledger, report = _chaos("connections", "--fault", "reset=1%", "--fault", "latency=2ms", "--fault",
                            "blackhole-every=500ms", "--fault", "blackhole-for=300ms", "--set",
                            "records=%d" % (RECORDS // 5), text=text)
    equal((ledger["processed"], ledger["lost"]), (RECORDS // 5, 0), "processed and lost")
    check(ledger["faults"].get("resets", 0) >= 1, "nothing was reset: %r" % ledger["faults"])
    check(ledger["faults"].get("blackholes", 0) >= 1, "nothing was dark: %r" % ledger["faults"])


def what_cannot_be_counted_or_broken_is_said():
    path = file("direct.yaml", DIRECT)
    wrong = weft("chaos", path, "--kill", "sinc")
    equal(wrong.code, 2, "exit code")
    contains(wrong.err, 'no such node; did you mean "sink"?', "what is wrong")
    wrong = weft("chaos", path, "--fault", "rest=2%")
    equal(wrong.code, 2, "exit code")
    contains(wrong.err, 'there is no fault "rest"; did you mean "reset"?', "what is wrong")
    wrong = weft("chaos", path, "--fault", "reset=2%", "--on", "source.in")
    equal(wrong.code, 2, "exit code")
    contains(wrong.err, "has no link at such a port", "what is wrong")
    fanout = weft("chaos", topology("fanout"))
    equal(fanout.code, 0, "exit code (%s)" % fanout.err)
    contains(fanout.out, "what is published is meant for every subscriber", "why it is not counted")


if __name__ == "__main__":
    main(cases_of(globals()))
