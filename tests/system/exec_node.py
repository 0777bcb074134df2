"""weft-exec: commands as nodes, and how they fail."""

from weft_support import *

FEED = """weft: 1
name: feed
nodes:
  source: {run: weft-source, with: {count: %d, generator: {kind: counter}}}
  script: {run: weft-exec, with: %s}
  sink: {run: weft-sink, with: {output: %s/out.jsonl}}
links:
  - {from: source.out, to: script.in, pattern: push-pull}
  - {from: script.out, to: sink.in, pattern: push-pull}
"""
ASK = """weft: 1
name: ask
nodes:
  asker: {run: weft-source, with: {count: %d, timeout: 5s, generator: {kind: counter}}}
  script: {run: weft-exec, with: %s}
  sink: {run: weft-sink, with: {output: %s/out.jsonl}}
links:
  - {from: asker.out, to: script.in, pattern: dealer-router}
  - {from: asker.replies, to: sink.in, pattern: push-pull}
"""


def _run(text, count, options):
    return up(file("exec.yaml", text % (count, json.dumps(options), WORK)))


def _output():
    with open(WORK + "/out.jsonl") as opened:
        return [json.loads(line) for line in opened]


def _script(name, body):
    path = file(name, "import json, sys\n" + body)
    return ["python3", "-u", path]


def output_that_comes_after_the_input_is_closed_is_sent():
    report = _run(FEED, 500, {"command": "wc -l"})
    equal((report["code"], report["ok"]), (0, True), "the run")
    equal(_output(), [500], "what wc counted")


def a_command_that_reads_nothing_holds_its_senders_up():
    path = file("gate", "")
    os.unlink(path)
    waits = _script("waits.py", "import os, threading\n"
                                "while not os.path.exists(%r): threading.Event().wait(0.02)\n"
                                "for line in sys.stdin: print(line, end='')\n" % path)
    text = FEED.replace("kind: counter", "kind: counter, size: 1KiB")
    text = text.replace("pattern: push-pull}", "pattern: push-pull, capacity: 64KiB, prefetch: 64KiB}")
    running = start("weft", "up", file("held.yaml", text % (20000, json.dumps({"command": waits}), WORK)), "--json")
    wait_for(lambda: [one for one in live_runs() if one["running"] == 3], "a live run")
    file("gate", "open")
    report = finish(running).json()
    equal((report["ok"], len(_output())), (True, 20000), "the run and its records")


def a_bad_line_fails_the_run_or_is_left_out():
    speaks = {"command": "while read line; do echo $line; echo not json; done"}
    report = _run(FEED, 3, speaks)
    equal((report["code"], report["ok"]), (1, False), "the run that fails")
    contains(report["log"], 'is not JSON', "the log")
    contains(report["log"], '"not json"', "the log")
    report = _run(FEED, 3, dict(speaks, **{"on-bad-line": "skip"}))
    equal((report["code"], report["result"]["script/0"]["bad_lines"], len(_output())), (0, 3, 3), "the run that skips")


def the_end_of_a_command_is_reported():
    report = _run(FEED, 3, {"command": "read line; echo broken >&2; exit 3"})
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["log"], "ended with exit code 3", "the log")
    contains(report["log"], "its last words: broken", "the log")
    report = _run(FEED, 3, {"command": ["/no/such/program"]})
    equal(report["code"], 1, "the run without its program")
    contains(report["log"], "cannot run /no/such/program", "the log")


def a_script_answers_requests_line_for_line():
    answers = _script("answers.py", "for line in sys.stdin: print(json.dumps({'twice': 2 * json.loads(line)['n']}))\n")
    report = _run(ASK, 200, {"command": answers})
    equal((report["code"], report["result"]["asker/0"]["answered"]), (0, 200), "the run")
    equal(sorted(one["twice"] for one in _output()), [2 * n for n in range(200)], "the answers")


def an_error_reply_arrives_as_an_error():
    refuses = _script("refuses.py", "for line in sys.stdin: print(json.dumps({'error': 'not today'}))\n")
    report = _run(ASK, 2, {"command": refuses})
    equal((report["code"], report["result"]["asker/0"]["failed"]), (1, 2), "the run")
    contains(report["log"], "not today", "the log")


def a_script_may_ask_and_read_the_replies():
    asks = _script("asks.py", "print(json.dumps({'n': 20}))\nprint(input(), file=sys.stderr)\n")
    text = """weft: 1
name: asks
nodes:
  script: {run: weft-exec, lifetime: finite, with: {command: %s}}
  answers: {run: weft-relay}
links: [{from: script.out, to: answers.in, pattern: dealer-router}]
""" % json.dumps(asks)
    report = up(file("asks.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run")
    contains(report["log"], '{"n":20}', "what the script read")


def what_a_command_leaves_behind_ends_with_it():
    left = WORK + "/left"
    command = "sleep 600 >/dev/null 2>&1 & echo $! > %s; cat" % left
    report = _run(FEED, 10, {"command": command})
    equal((report["code"], report["ok"]), (0, True), "the run")
    with open(left) as opened:
        pid = int(opened.read())
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    # It was killed before the run ended, and the kernel may take a moment.
    ready, _, _ = select.select([end], [], [], 10)
    os.close(end)
    if not ready:
        raise AssertionError("the command's sleep still lives after the run")


if __name__ == "__main__":
    main(cases_of(globals()))
