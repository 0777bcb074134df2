"""What goes wrong in a run, and how it ends."""

import socket

from weft_support import *

PAIR = """weft: 1
name: pair
nodes:
  source: {run: weft-source, with: {%s}}
  sink: {run: weft-sink, with: {%s}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull%s}
"""


def _pair(source="count: 100", sink="quiet: true", link=""):
    return file("pair.yaml", PAIR % (source, sink, link))


def a_missing_program_starts_nothing():
    result = weft("up", file("missing.yaml", (PAIR % ("", "", "")).replace("weft-sink", "weft-snk")))
    equal(result.code, 2, "exit code")
    contains(result.err, 'there is no program "weft-snk"', "the sentence")
    equal(weft("ps", "--all", "--json").json()["runs"], [], "runs")


def a_program_that_exits_at_once_fails_the_run():
    quits = file("quits.sh", "#!/bin/sh\necho cannot go on >&2\nexit 7\n")
    os.chmod(quits, 0o755)
    text = PAIR.replace("run: weft-source, with: {%s}", "run: ./quits.sh, lifetime: finite")
    report = up(file("quits.yaml", text % ("", "")))
    equal((report["code"], report["ok"]), (1, False), "the run")
    equal(node(report, "source/0")["exit_code"], 7, "exit code of the node")
    contains(" ".join(node(report, "source/0")["last_lines"]), "cannot go on", "its last words")


def a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "tcp://127.0.0.1:%d" % taken.getsockname()[1]
        report = up(_pair(link=", endpoint: '%s'" % address))
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["log"], address, "the log")
    contains(report["log"], "in use", "the log")


def a_killed_node_is_started_again():
    text = (PAIR % ("rate: 200", "quiet: true", "")).replace("sink: {", "sink: {restart: on-failure, ")
    with Detached(file("again.yaml", text)) as run:
        first = run.pid("sink/0")
        os.kill(first, signal.SIGKILL)

        def again():
            found = state(run.directory)
            one = found and node(found, "sink/0")
            return one and one.get("pid") not in (None, first) and one["state"] == "running" and one
        equal(wait_for(again, "a new sink")["restarts"], 1, "restarts")
        equal(weft("tap", "sink.in", "--count", "5").code, 0, "exit code of tap after the restart")


def a_death_and_a_return_are_shown_and_counted():
    text = (PAIR % ("rate: 200", "quiet: true", "")).replace("sink: {", "sink: {restart: on-failure, ")
    running = start("weft", "up", file("returns.yaml", text), "--json")
    run = wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")[0]
    os.kill(wait_for(lambda: node(state(run["directory"]), "sink/0").get("pid"), "its process"), signal.SIGKILL)

    def back():
        found = state(run["directory"])
        return found and [one for one in found["links"] if one["reconnects"] == 1]
    wait_for(back, "the return of the sink")
    interrupt(running)
    result = finish(running)

    contains(result.err, "port out: sink/0 is dead", "the output of weft up")
    contains(result.err, "port out: sink/0 is back", "the output of weft up")
    contains(result.err, "running: again", "the output of weft up")
    equal(link(result.json(), "source.out")["reconnects"], 1, "reconnects")


def a_killed_source_fails_the_run_alone():
    """Who connected to it, and waits for nothing, ends well: the launcher has said that it is gone."""
    text = """weft: 1
name: idle
nodes:
  source: {run: weft-source, with: {rate: 1, count: 100000}}
  relay: {run: weft-relay}
  sink: {run: weft-sink, with: {quiet: true}}
links:
  - {from: source.out, to: relay.in, pattern: push-pull, bind: from}
  - {from: relay.out, to: sink.in, pattern: push-pull}
"""
    process = start("weft", "up", file("idle.yaml", text), "--json")
    run = wait_for(lambda: [one for one in live_runs() if one["running"] == 3], "a live run")[0]
    os.kill(wait_for(lambda: node(state(run["directory"]), "source/0").get("pid"), "its process"), signal.SIGKILL)
    report = finish(process).json()
    check(not report["ok"], "a run whose source was killed has failed")
    equal({one["name"]: one["exit_code"] for one in report["nodes"] if one["name"] != "source/0"},
          {"relay/0": 0, "sink/0": 0}, "exit codes of those that were well")


def a_killed_node_without_restart_fails_the_run():
    running = start("weft", "up", _pair(source="rate: 100"), "--json")
    run = wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")[0]
    pid = wait_for(lambda: node(state(run["directory"]), "sink/0").get("pid"), "its process")
    os.kill(pid, signal.SIGKILL)
    result = finish(running)
    equal((result.code, result.json()["ok"]), (1, False), "the run")
    contains(result.json()["reason"], "sink/0", "the reason")


def an_interrupt_drains():
    running = start("weft", "up", _pair(source="rate: 500", sink="quiet: true, check-field: n"), "--json")
    wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")
    interrupt(running)
    report = finish(running).json()
    equal(report["result"]["sink/0"]["received"], report["result"]["source/0"]["sent"], "records")
    equal(report["result"]["sink/0"]["missing"], 0, "missing records")


def two_interrupts_end_at_once():
    held = file("held.yaml", """weft: 1
name: held
nodes:
  source: {run: weft-source, with: {rate: 100}}
  stuck: {run: weft-exec, with: {command: "trap '' TERM; while :; do read line || :; done"}}
links: [{from: source.out, to: stuck.in, pattern: push-pull}]
limits: {drain: 300s}
""")
    running = start("weft", "up", held, "--json")
    wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")
    interrupt(running)
    wait_for(lambda: [one for one in live_runs() if one["state"] == "draining"], "a draining run")
    interrupt(running)
    result = finish(running)
    equal((result.code, result.json()["ok"]), (1, False), "the run")


def a_slow_consumer_loses_nothing():
    text = """weft: 1
name: slow
nodes:
  source: {run: weft-source, with: {count: 3000, generator: {kind: counter, size: 1KiB}}}
  slow: {run: weft-relay, with: {work: 200us}}
  sink: {run: weft-sink, lifetime: finite, with: {count: 3000, quiet: true, check-field: n}}
links:
  - {from: source.out, to: slow.in, pattern: push-pull, capacity: 64KiB, prefetch: 64KiB}
  - {from: slow.out, to: sink.in, pattern: push-pull, capacity: 64KiB, prefetch: 64KiB}
"""
    report = up(file("slow.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run")
    sink = report["result"]["sink/0"]
    equal((sink["distinct"], sink["twice"], sink["missing"]), (3000, 0, 0), "records")


def data_that_cannot_be_read_fails_with_its_place():
    for name, content, expected in (
            ("absent.jsonl", None, "No such file"),
            ("empty.jsonl", "", "is empty"),
            ("bad.jsonl", '{"a": 1}\nnot json\n', "bad.jsonl:2: expected one JSON value a line, found \"not json\""),
            ("cut.jsonl", '{"a": 1}\n{"a": 2}\n{"a":', "cut.jsonl:3:")):
        path = os.path.join(WORK, name)
        if content is not None:
            file(name, content)
        report = up(_pair(source="input: %s, format: json" % path))
        equal((report["code"], report["ok"]), (1, False), "the run on " + name)
        contains(report["log"], expected, "the log of the run on " + name)
        check(node(report, "source/0")["exit_code"] in (1, 2), "the exit code of the source")


def bad_lines_can_be_left_out():
    path = file("mixed.jsonl", '1\nx\n2\n\n3')
    report = up(_pair(source="input: %s, format: json, on-bad-line: skip" % path))
    equal((report["code"], report["result"]["source/0"]["sent"], report["result"]["source/0"]["skipped"]), (0, 3, 1),
          "the run")


def a_full_disk_fails_the_run():
    report = up(_pair(sink="output: /dev/full"))
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["log"], "No space left on device", "the log")


def standard_input_reaches_a_source():
    text = _pair(source="input: '-'", sink="output: %s/piped.jsonl" % WORK)
    equal(weft("up", text, "--quiet", text="a\nb\nc\n").code, 0, "exit code")
    with open(WORK + "/piped.jsonl") as opened:
        equal(opened.read(), '"a"\n"b"\n"c"\n', "the lines")


def a_source_that_fails_ends_each_of_its_receivers_in_order():
    bad = file("bad-end.json", '{"n":1}\nnot json\n')
    text = (PAIR % ("input: %s, format: json" % bad, "quiet: true", "")).replace("sink: {", "sink: {replicas: 2, ")
    report = up(file("fails.yaml", text))
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["reason"], "source/0", "the reason")
    for sink in ("sink/0", "sink/1"):
        equal(node(report, sink)["exit_code"], 0, "exit code of " + sink)
    check("is silent" not in report["log"] and "not drained" not in report["log"], "a false alarm: " + report["log"])


def a_best_effort_run_whose_receiver_stays_stopped_ends_and_names_the_loss():
    text = (PAIR % ("count: 900, rate: 300", "quiet: true", ", dead-after: 1s")) + "limits: {drain: 1s}\n"
    text = text.replace("quiet: true", "quiet: true, count: 900").replace("run: weft-sink", "run: weft-sink, lifetime: finite")
    running = start("weft", "up", file("stopped.yaml", text), "--json")
    run = wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")[0]
    os.kill(wait_for(lambda: node(state(run["directory"]), "sink/0").get("pid"), "its process"), signal.SIGSTOP)
    result = finish(running)
    report = result.json()
    equal((result.code, report["ok"]), (1, False), "the run")
    contains(result.err, "records that were on their way to sink/0, which is dead", "the output of weft up")
    check(link(report, "source.out")["lost"] > 0, "the loss is counted")


def a_program_that_is_stopped_while_it_is_asked_is_no_script():
    script = file("stopped.sh", "#!/bin/sh\n# knows --describe\nkill -TERM $$\n")
    os.chmod(script, 0o755)
    result = weft("check", _pair(source="count: 1"), "--set", "nodes.source.run=" + script)
    equal(result.code, 2, "exit code (%s)" % result.err)
    contains(result.err, "was stopped by a signal (Terminated) while it was asked what it is", "the sentence")


def a_node_by_hand_whose_place_is_taken_ends():
    lines = os.path.join(WORK, "taken.jsonl")
    path = _pair(source="rate: 50", sink="output: " + lines, link=", endpoint: 'ipc://%s/taken'" % WORK)
    sink = start("weft", "run", path, "--node", "sink")
    first = start("weft", "run", path, "--node", "source")
    wait_for(lambda: os.path.exists(lines) and os.path.getsize(lines), "a record of the first")
    second = start("weft", "run", path, "--node", "source")
    result = finish(first)
    equal(result.code, 1, "exit code of the first")
    contains(result.err, "it has been replaced (fenced)", "its last words")
    for process in (second, sink):
        interrupt(process)
        equal(finish(process).code, 0, "exit code")


def a_source_by_hand_whose_receiver_died_behind_its_last_record_names_it():
    lines = os.path.join(WORK, "unheard.jsonl")
    link = ", delivery: at-least-once, dead-after: 400ms, endpoint: 'ipc://%s/unheard'" % WORK
    text = PAIR % ("rate: 200, count: 200", "output: " + lines, link)
    path = file("unheard.yaml", text + "limits: {drain: 1s}\n")
    sink = start("weft", "run", path, "--node", "sink")
    source = start("weft", "run", path, "--node", "source")
    wait_for(lambda: os.path.exists(lines) and os.path.getsize(lines), "the first record")
    sink.kill()  # without its last acknowledgement, and without a farewell
    sink.communicate()
    result = finish(source)
    equal(result.code, 4, "exit code (%s)" % result.err)
    contains(result.err, "on their way and 0 peers (sink/0 is dead)", "its last words")


def who_waits_for_an_unknown_host_says_so():
    result = run("weft-source", "--connect", "out=tcp://no-such-host.invalid:5960", "--start-limit", "2s", text="x\n")
    equal(result.code, 3, "exit code")
    contains(result.err, "its host name is unknown; it is tried again", "the log")
    contains(result.err, "no HELLO from tcp://no-such-host.invalid:5960, unreachable: its host name is unknown", "the end")


if __name__ == "__main__":
    main(cases_of(globals()))
