"""weft-exec under a promise: what is acknowledged when its command ends, refuses or stops reading, and what is not."""

from weft_support import *

FEED = """weft: 1
name: ends
nodes:
  source: {run: weft-source, grace: %s, with: {count: %d, generator: {kind: counter, size: %s}}}
  work: {run: weft-exec, grace: 2s, with: %s}
  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}
links:
  - {from: source.out, to: work.in, pattern: push-pull, delivery: at-least-once, max-attempts: %d, dead-letter: morgue.in}
"""
THROUGH = """weft: 1
name: through
nodes:
  source: {run: weft-source, grace: 2s, with: {count: 1, generator: {kind: counter}}}
  work: {run: weft-exec, grace: 2s, %swith: %s}
  sink: {run: weft-sink, with: {output: %s/out.jsonl}}
links:
  - {from: source.out, to: work.in, pattern: push-pull, delivery: at-least-once}
  - {from: work.out, to: sink.in, pattern: push-pull, delivery: at-least-once}
""".replace("grace: 2s", "grace: %ds" % (2 * SLOW))

ASKS = """weft: 1
name: asks
nodes:
  script: {run: weft-exec, lifetime: finite, with: {command: %s, timeout: 60s}}
  answers: %s
links: [{from: script.out, to: answers.in, pattern: dealer-router%s}]
"""
# It asks `count` times, and reads what comes back from the moment when the file `gate` is there.
ASKER = """import threading
def read():
    while not os.path.exists(%r): threading.Event().wait(0.02)
    replies = [json.loads(sys.stdin.readline()) for n in range(%d)]
    errors = [one['error'] for one in replies if 'error' in one]
    print('replies:', len(replies), 'errors:', len(errors), errors[:1], file=sys.stderr)
reader = threading.Thread(target=read)
reader.start()
for n in range(%d): print(json.dumps(%s))
reader.join()
"""


def _feed(options, count=100, size="8B", attempts=0, grace="%ds" % (2 * SLOW)):
    text = FEED % (grace, count, size, json.dumps(options), WORK, attempts)
    if attempts == 0:
        text = text.replace(", max-attempts: 0, dead-letter: morgue.in", "")
        text = text.replace("  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}\n" % WORK, "")
    return file("ends.yaml", text)


def _letters():
    with open(WORK + "/morgue.jsonl") as opened:
        return [json.loads(line) for line in opened]


def _output():
    with open(WORK + "/out.jsonl") as opened:
        return [json.loads(line)["n"] for line in opened]


def _script(name, body):
    return ["python3", "-u", file(name, "import json, os, sys\n" + body)]


def an_end_in_order_acknowledges_what_was_answered_or_read():
    for acknowledge in ("answer", "taken"):
        report = up(_feed({"command": "head -n 1", "acknowledge": acknowledge}))
        equal(link(report, "source.out")["processed"], 1, "%s: records that count as processed" % acknowledge)
        equal(report["ok"], False, "%s: the run" % acknowledge)


def a_line_in_work_goes_back_when_its_command_is_ended():
    for end in ("", "trap 'exit 0' TERM; "):
        works, done = file("works", ""), file("done", "")
        command = end + "while read line; do echo $line > %s; sleep 60 & wait $!; echo $line >> %s; done" % (works, done)
        running = start("weft", "up", _feed({"command": command}, grace="10s"), "--json")
        wait_for(lambda: os.path.getsize(works), "a command that works")
        run = state(os.path.join(ENVIRONMENT["WEFT_RUN_DIR"], live_runs()[0]["run"]))
        os.kill(node(run, "work/0")["pid"], signal.SIGTERM)
        report = finish(running).json()
        equal(os.path.getsize(done), 0, "bytes of what the command has done")
        equal(link(report, "source.out")["processed"], 0, "records that count as processed")


def a_command_that_refuses_everything_takes_everything():
    # It begins when nearly all has come that its node may hold, so that its senders are held up.
    refuses = _script("refuses.py", "lines = [sys.stdin.readline() for n in range(900)]\n"
                                    "while lines or (line := sys.stdin.readline()):\n"
                                    "    print(json.dumps({'error': 'no'}))\n"
                                    "    lines and lines.pop()\n")
    report = up(_feed({"command": refuses, "acknowledge": "answer"}, count=3000, size="1KiB", attempts=1, grace="60s"))
    equal(len(_letters()), 3000, "dead letters: " + report["log"])


def an_answer_that_cannot_be_sent_acknowledges_nothing():
    deep = _script("deep.py", "for line in sys.stdin: print('[' * 40 + ']' * 40)\n")
    # Where there are two receivers, each says at once what it has done.
    text = THROUGH % ("replicas: 2, ", json.dumps({"command": deep, "acknowledge": "answer"}), WORK)
    report = up(file("deep.yaml", text.replace("count: 1,", "count: 2,")))
    contains(report["log"], "nested deeper", "the log")
    equal(link(report, "source.out")["processed"], 0, "records that count as processed")


def an_answer_that_cannot_be_sent_is_not_committed():
    deep = _script("deep.py", "for line in sys.stdin: print('[' * 40 + ']' * 40)\n")
    for command, ok in ((deep, False), ("cat", True)):
        text = THROUGH % ("", json.dumps({"command": command, "acknowledge": "answer"}), WORK)
        for end, other in (("js", "jw"), ("jw", "jk")):
            text = text.replace("at-least-once}", "exactly-once, journal: {from: %s/%s, to: %s/%s}}"
                                % (WORK, end, WORK, other), 1)
        report = up(file("deep.yaml", text))
        equal(report["ok"], ok, "the run: " + report["log"])
    equal(_output(), [0, 0], "the records of both runs, which the second one could send")


def a_bad_line_that_ends_the_run_acknowledges_nothing():
    speaks = _script("speaks.py", "for line in sys.stdin: print('not json')\n")
    text = THROUGH % ("replicas: 2, ", json.dumps({"command": speaks}), WORK)
    report = up(file("bad.yaml", text.replace("count: 1,", "count: 2,")))
    contains(report["log"], "is not JSON", "the log")
    equal(link(report, "source.out")["processed"], 0, "records that count as processed")


def a_bad_line_that_is_left_out_answers_its_record():
    bad = _script("bad.py", "for line in sys.stdin:\n"
                            "    n = json.loads(line)['n']\n"
                            "    print('not json' if n == 1 else json.dumps({'error': 'no'}) if n == 3 else line.strip())\n")
    text = THROUGH % ("", json.dumps({"command": bad, "acknowledge": "answer", "on-bad-line": "skip"}), WORK)
    text = text.replace("nodes:", "nodes:\n  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}" % WORK)
    text = text.replace("count: 1,", "count: 5,").replace("once}", "once, max-attempts: 1, dead-letter: morgue.in}", 1)
    report = up(file("bad.yaml", text))
    equal([one["record"]["n"] for one in _letters()], [3], "dead letters: " + report["log"])
    equal(_output(), [0, 2, 4], "what came through")


def a_command_that_somebody_ended_makes_no_dead_letters():
    for acknowledge in ("taken", "answer"):
        pid = file("pid", "")
        waits = _script("waits.py", "sys.stdin.readline()\n"
                                    "with open(%r, 'w') as f: f.write('%%d\\n' %% os.getpid())\n"
                                    "import signal; signal.pause()\n" % pid)
        running = start("weft", "up", _feed({"command": waits, "acknowledge": acknowledge}, attempts=3), "--json")
        os.kill(int(wait_for(lambda: open(pid).read().strip(), "a command that works")), signal.SIGTERM)
        report = finish(running).json()
        equal((report["ok"], _letters()), (False, []), "%s: the run and its dead letters" % acknowledge)
        equal(link(report, "source.out")["processed"], 0, "%s: records that count as processed" % acknowledge)


def a_command_that_closes_its_input_and_lives_fails_its_node():
    for options in ({}, {"acknowledge": "answer"}):
        report = up(_feed(dict(options, command="exec 0<&-; exec sleep 600"), attempts=2))
        equal((report["ok"], _letters()), (False, []), "the run and its dead letters: " + report["log"])
        contains(report["log"], "sleep 600\" has closed its standard input", "the log")
        contains(report["log"], "let it read its input to the end", "what to do")


def a_command_that_closes_its_input_has_time_to_answer_what_it_read():
    answers = _script("answers.py", "import threading\n"
                                    "lines = [sys.stdin.readline() for n in range(3)]\n"
                                    "os.close(0)\n"
                                    "for line in lines: threading.Event().wait(2.5); print('{}')\n")
    text = open(_feed({"command": answers, "acknowledge": "answer"})).read()
    report = up(file("ends.yaml", text.replace("count: 100", "count: 100, rate: 20")))
    equal(link(report, "source.out")["processed"], 3, "records that count as processed: " + report["log"])
    check("has closed its standard input" not in report["log"], "it ends by itself: " + report["log"])


def a_command_that_closes_its_input_drops_what_nobody_promised():
    text = FEED.replace("count: %d", "count: %d, rate: 20").replace("  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}\n", "")
    text = text.replace("at-least-once, max-attempts: %d, dead-letter: morgue.in", "best-effort")
    options = json.dumps({"command": "read line; exec 0<&-; exec sleep 600"})
    report = up(file("ends.yaml", text % ("2s", 150, "8B", options)))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    contains(report["log"], "exec sleep 600\" has closed its standard input", "the log")
    contains(report["log"], "what comes for it is dropped", "the log")
    check(report["result"]["work/0"]["dropped"] > 100, "what counts as dropped: %s" % report["result"])


def a_closed_input_does_not_matter_where_none_is_linked():
    text = """weft: 1
name: writes
nodes:
  script: {run: weft-exec, lifetime: finite, with: {command: "exec 0<&-; echo 1; sleep 6; echo 2"}}
  sink: {run: weft-sink, with: {output: %s/out.jsonl}}
links: [{from: script.out, to: sink.in, pattern: push-pull, delivery: at-least-once}]
""" % WORK
    report = up(file("writes.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    check("standard input" not in report["log"], "nothing is said of it: " + report["log"])
    with open(WORK + "/out.jsonl") as opened:
        equal(opened.read().split(), ["1", "2"], "what it wrote")


def a_command_that_only_asks_may_read_its_replies_late():
    asks = _script("asks.py", "for n in range(3000): print(json.dumps({'n': n, 'text': 1024 * 'x'}))\n"
                              "read = [json.loads(sys.stdin.readline())['n'] for n in range(3000)]\n"
                              "print('replies:', len(set(read)), file=sys.stderr)\n")
    text = """weft: 1
name: asks
nodes:
  script: {run: weft-exec, lifetime: finite, with: {command: %s}}
  answers: {run: weft-relay}
links: [{from: script.out, to: answers.in, pattern: dealer-router}]
""" % json.dumps(asks)
    report = up(file("asks.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    contains(report["log"], "replies: 3000", "what the script read")


def _gate():
    path = file("gate", "")
    os.unlink(path)
    return path


def _asker(gate, count, request):
    return json.dumps(_script("asks.py", ASKER % (gate, count, count, request)))


def _until(running, words):
    """Reads what a run says until these words come: that line."""
    said = []
    deadline = threading.Timer(PATIENCE, running.kill)  # which ends what it says
    deadline.start()
    try:
        for line in running.stderr:
            said.append(line)
            if words in line:
                return line
    finally:
        deadline.cancel()
    raise SystemExit("FAILED: the run ended, or took too long, and never said %r:\n%s" % (words, "".join(said)))


def a_command_that_does_not_read_its_replies_is_held_up():
    count, gate = 20000, _gate()
    asker = _asker(gate, count, "{'n': n, 'text': 1024 * 'x'}")
    running = start("weft", "up", file("asks.yaml", ASKS % (asker, "{run: weft-relay}", "")), "--json")
    line = _until(running, "of replies wait for the command")
    contains(line, "asks.py", "the command that the warning names")
    run = os.path.join(ENVIRONMENT["WEFT_RUN_DIR"], live_runs()[0]["run"])
    taken = wait_for(lambda: (node(state(run), "script/0").get("progress") or {}).get("lines_out"), "its progress")
    check(taken < count * 3 // 4, "requests taken while none of their replies was read: %d" % taken)
    file("gate", "open")
    result = finish(running)
    equal(result.json()["ok"], True, "the run: " + result.err)
    contains(result.err, "replies: %d errors: 0" % count, "what the script read")


def a_command_that_reads_its_replies_slowly_is_not_said_to_read_none():
    count = 12000
    slow = _script("slow.py", "import threading\n"
                              "def read():\n"
                              "    for n in range(%d):\n"
                              "        sys.stdin.readline()\n"
                              "        if n %% 25 == 0: threading.Event().wait(0.01)\n"
                              "reader = threading.Thread(target=read)\n"
                              "reader.start()\n"
                              "for n in range(%d): print(json.dumps({'n': n, 'text': 1024 * 'x'}))\n"
                              "reader.join()\n" % (count, count))
    report = up(file("asks.yaml", ASKS % (json.dumps(slow), "{run: weft-relay}", "")))
    equal(report["ok"], True, "the run: " + report["log"])
    check("has not read" not in report["log"], "what is said of it: " + report["log"])


def a_reply_that_does_not_fit_is_dropped_and_said():
    # Nothing lets one expect that replies which have been small become large. The first large one comes when so many
    # requests are open that their replies are too many, however slow the asker is.
    count, gate = 2500, _gate()
    grows = _script("grows.py", "waiting = []\n"
                                "for line in sys.stdin:\n"
                                "    waiting.append(json.loads(line)['n'])\n"
                                "    if 1000 <= waiting[-1] < 1500: continue\n"
                                "    for n in waiting: print(json.dumps({'n': n, 'text': 'x' * (0 if n < 1000 else 200000)}))\n"
                                "    waiting = []\n")
    answers = "{run: weft-exec, with: {command: %s, acknowledge: answer}}" % json.dumps(grows)
    asker = _asker(gate, count, "{'n': n}")
    running = start("weft", "up", file("asks.yaml", ASKS % (asker, answers, ", capacity: 1GiB")), "--json")
    contains(_until(running, "was dropped"), "asks.py", "the command that the warning names")
    file("gate", "open")
    result = finish(running)
    contains(result.err, "replies: %d errors: " % count, "what the script read")
    contains(result.err, "which has to read", "the errors among them")


def an_answerer_may_collect_requests_before_it_replies():
    count, gate = 64, file("gate", "open")
    collects = _script("collects.py", "for line in [sys.stdin.readline() for n in range(%d)]: print(line, end='')\n" % count)
    answers = "{run: weft-exec, with: {command: %s, acknowledge: answer}}" % json.dumps(collects)
    text = ASKS % (_asker(gate, count, "{'n': n}"), answers, "")
    report = up(file("asks.yaml", text.replace("timeout: 60s", "timeout: 20s")))
    contains(report["log"], "replies: %d errors: 0" % count, "what the script read")


def a_command_whose_records_are_large_may_ask_often():
    # Its second record waits for it, larger than all replies together may be, while it asks; and it does not read on
    # before all that it asks is taken, which is more than its pipe holds.
    asks = _script("asks.py", "import select\n"
                              "sys.stdin.readline()\n"
                              "select.select([0], [], [])\n"
                              "for n in range(200): print(json.dumps({'ask': n, 'text': 4096 * 'x'}))\n"
                              "print('lines:', len(sys.stdin.readlines()), file=sys.stderr)\n")
    feeds = _script("feeds.py", "for n in range(2): print(json.dumps({'data': (9 << 20) * 'x'}))\n")
    text = """weft: 1
name: asks
nodes:
  feeder: {run: weft-exec, lifetime: finite, with: {command: %s}}
  script: {run: weft-exec, with: {command: %s}}
  answers: {run: weft-relay}
links:
  - {from: feeder.out, to: script.in, pattern: push-pull}
  - {from: script.out, to: answers.in, pattern: dealer-router}
""" % (json.dumps(feeds), json.dumps(asks))
    report = up(file("asks.yaml", text))
    equal(report["ok"], True, "the run: " + report["log"])
    contains(report["log"], "lines: 201", "what the script read")


def requests_that_are_large_wait_for_room():
    count, gate = 200, file("gate", "open")
    slow = _script("slow.py", "import threading\n"
                              "for line in sys.stdin:\n"
                              "    threading.Event().wait(0.002)\n"
                              "    print(json.dumps({'n': json.loads(line)['n']}))\n")
    answers = "{run: weft-exec, with: {command: %s, acknowledge: answer}}" % json.dumps(slow)
    limits = ", capacity: 64KiB, prefetch: 64KiB"
    for delivery in ("best-effort", "at-least-once"):
        asker = _asker(gate, count, "{'n': n, 'text': 32768 * 'x'}")
        report = up(file("asks.yaml", ASKS % (asker, answers, limits + ", delivery: " + delivery)))
        equal(report["ok"], True, "the run: " + report["log"])
        contains(report["log"], "replies: %d errors: 0" % count, "what the script read")


def requests_that_a_command_does_not_take_are_bounded():
    text = """weft: 1
name: piled
nodes:
  asker: {run: weft-source, grace: 1s, with: {count: 80, timeout: 10m, generator: {kind: counter, size: 1MiB}}}
  script: {run: weft-exec, grace: 2s, with: {command: exec sleep 600}}
links: [{from: asker.out, to: script.in, pattern: dealer-router, capacity: 256MiB, prefetch: 256MiB}]
"""
    running = start("weft", "up", file("piled.yaml", text), "--json")
    contains(_until(running, "a request failed: "), "requests wait for the command \"exec sleep 600\"", "the refusal")
    interrupt(running)
    counts = link(finish(running).json(), "asker.out")
    check(10 <= counts["failed"] <= 20, "requests that were refused: %s" % counts)


def replies_that_are_on_their_way_are_waited_for():
    asks = _script("asks.py", "for line in sys.stdin:\n"
                              "    one = json.loads(line)\n"
                              "    print('reply' if 'ask' in one else 'record', file=sys.stderr)\n"
                              "    if 'n' in one: print(json.dumps({'ask': one['n']}))\n")
    slow = _script("slow.py", "import threading\n"
                              "for line in sys.stdin: threading.Event().wait(0.5); print(line, end='')\n")
    text = """weft: 1
name: asks
nodes:
  source: {run: weft-source, with: {count: 1, generator: {kind: counter}}}
  script: {run: weft-exec, with: {command: %s}}
  answers: {run: weft-exec, with: {command: %s, acknowledge: answer}}
links:
  - {from: source.out, to: script.in, pattern: push-pull}
  - {from: script.out, to: answers.in, pattern: dealer-router}
""" % (json.dumps(asks), json.dumps(slow))
    report = up(file("asks.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    contains(report["log"], "reply", "what the script read")


def a_reply_that_nobody_reads_is_counted():
    asks = _script("asks.py", "os.close(0)\nprint(json.dumps({'n': 1}))\n"
                              "import signal; signal.pause()\n")
    text = """weft: 1
name: asks
nodes:
  script: {run: weft-exec, with: {command: %s}}
  answers: {run: weft-relay}
links: [{from: script.out, to: answers.in, pattern: dealer-router}]
""" % json.dumps(asks)
    with Detached(file("asks.yaml", text)) as run:
        def dropped():
            found = state(run.directory)
            return found and (node(found, "script/0").get("progress") or {}).get("dropped") == 1
        wait_for(dropped, "a reply that counts as dropped")


if __name__ == "__main__":
    main(cases_of(globals()))
