"""weft up, ps, logs, down, run, send, recv and tap on live runs."""

from weft_support import *

COUNTING = """weft: 1
name: counting
nodes:
  source: {run: weft-source, with: {rate: 100, generator: {kind: counter}}}
  sink: {run: weft-sink, with: {quiet: true, check-field: n}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull}
"""


def _counting():
    return file("counting.yaml", COUNTING)


def a_detached_run_is_listed_watched_and_taken_down():
    with Detached(_counting()) as run:
        equal([one["run"] for one in live_runs()], [run.run], "live runs")
        wait_for(lambda: live_runs()[0]["running"] == 2, "two running nodes")
        lines = [json.loads(line) for line in weft("tap", "sink.in", "--count", "3").lines()]
        equal([line["n"] - lines[0]["n"] for line in lines], [0, 1, 2], "tapped records")
    equal(live_runs(), [], "live runs after down")
    all_runs = weft("ps", "--all", "--json").json()["runs"]
    equal([(one["run"], one["state"]) for one in all_runs], [(run.run, "done")], "runs that are over")


def a_tap_takes_nothing_away():
    with Detached(_counting()) as run:
        equal(weft("tap", "source.out", "--count", "20").code, 0, "exit code of tap")
    report = state(run.directory)
    sink = report["result"]["sink/0"]
    equal(sink["missing"], 0, "records that the sink did not get")


def recv_takes_records_as_one_more_peer():
    with Detached(_counting()):
        result = weft("recv", "source.out", "--count", "5")
        equal(result.code, 0, "exit code (%s)" % result.err)
        equal(len(result.lines()), 5, "records")
        equal(list(json.loads(result.lines()[0])), ["n"], "fields of a record")


def send_puts_records_into_a_port():
    text = COUNTING.replace("quiet: true, check-field: n", "output: %s/sent.jsonl" % WORK).replace("rate: 100", "rate: 1")
    with Detached(file("into.yaml", text)):
        equal(weft("send", "sink.in", text='{"a": 1}\n\n[2, {"b": null}]\n').code, 0, "exit code of send")
        equal(weft("send", "counting", "sink.in", "--text", "hello").code, 0, "exit code of send --text")
        result = weft("send", "sink.in", text='{"a": 1}\n{"b": \n')
        equal(result.code, 2, "exit code of a line that is not JSON")
        contains(result.err, "standard input:2:", "the place of the bad line")
    with open(WORK + "/sent.jsonl") as opened:
        records = [json.loads(line) for line in opened]
    for record in ({"a": 1}, [2, {"b": None}], "hello"):
        check(record in records, "%r did not arrive: %r" % (record, records))


def send_asks_a_router_and_prints_its_replies():
    text = """weft: 1
name: asking
nodes:
  asker: {run: weft-source, with: {rate: 1}}
  worker: {run: weft-exec, with: {command: "sed -u 's/a/b/'"}}
links: [{from: asker.out, to: worker.in, pattern: dealer-router}]
"""
    with Detached(file("asking.yaml", text)):
        result = weft("send", "worker.in", text='{"a":1}\n')
        equal((result.code, result.out), (0, '{"b":1}\n'), "the reply (%s)" % result.err)


ENDLESS = """weft: 1
name: endless
nodes:
  source: {run: weft-source, with: {rate: 1}}
  work: {run: weft-exec, with: {command: %s}}
links: [{from: source.out, to: work.in, pattern: %s}]
"""
KINDS = ("push-pull", "pub-sub", "dealer-router")


def _endless_input():
    return subprocess.Popen(["yes", "1"], stdout=subprocess.PIPE)


def send_with_endless_input_ends_when_its_time_is_over():
    for kind in KINDS:
        with Detached(file("endless.yaml", ENDLESS % ("cat", kind))):
            feeds = _endless_input()
            result = finish(start("weft", "send", "work.in", "--for", "1s", stdin=feeds.stdout))
            feeds.kill()
            feeds.wait()
            equal(result.code, 3, "%s: exit code (%s)" % (kind, result.err))
            contains(result.err, "--for sets how long it may take", "%s: what it says" % kind)


def send_ends_when_it_is_interrupted():
    came = WORK + "/came"
    for kind in KINDS:
        with Detached(file("endless.yaml", ENDLESS % ("tee -a " + came, kind))):
            file("came", "")
            feeds = _endless_input()
            sends = start("weft", "send", "work.in", "--for", "1h", stdin=feeds.stdout)
            wait_for(lambda: os.path.getsize(came) > 100, "%s: records that came" % kind)
            interrupt(sends)
            equal(finish(sends).code, 130, "%s: exit code" % kind)
            feeds.kill()
            feeds.wait()


def send_does_not_wait_for_a_receiver_when_it_is_interrupted():
    came = file("came", "")
    command = "while read line; do case $line in *hello*) echo it > %s; sleep 600;; esac; done" % came
    text = """weft: 1
name: waits
nodes:
  source: {run: weft-source, grace: 1s, with: {rate: 1}}
  work: {run: weft-exec, grace: 1s, with: {command: %s}}
links: [{from: source.out, to: work.in, pattern: push-pull, delivery: at-least-once}]
""" % json.dumps(command)
    run = start("weft", "up", file("waits.yaml", text), "-q")
    wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")
    sends = start("weft", "send", "work.in", "--text", "hello", "--for", "1h", stdin=subprocess.DEVNULL)
    wait_for(lambda: os.path.getsize(came), "a record that came")
    sends.send_signal(signal.SIGTERM)
    result = finish(sends)
    equal(result.code, 143, "exit code (%s)" % result.err)
    contains(result.err, "interrupted", "what it says")
    run.send_signal(signal.SIGTERM)
    finish(run)


def pub_sub_can_be_joined_from_both_sides():
    text = """weft: 1
name: news
nodes:
  pub: {run: weft-source, with: {rate: 100, topics: [a, b]}}
  sub: {run: weft-sink, with: {output: %s/news.jsonl, topics: [c]}}
links: [{from: pub.out, to: sub.in, pattern: pub-sub}]
""" % WORK
    with Detached(file("news.yaml", text)):
        result = weft("recv", "pub.out", "--topic", "a", "--count", "3", "--with-origin")
        equal([json.loads(line)["topic"].rstrip("/") for line in result.lines()], ["a"] * 3, "topics (%s)" % result.err)
        equal(weft("send", "sub.in", "--topic", "c", text='{"extra": 1}\n').code, 0, "exit code of send")
    with open(WORK + "/news.jsonl") as opened:
        equal(opened.read(), '{"extra":1}\n', "what the subscriber got")


def a_queue_is_looked_at_and_cleared():
    text = """weft: 1
name: queued
nodes:
  source: {run: weft-source, with: {rate: 5000, generator: {kind: counter}}}
  sink: {run: weft-sink, with: {quiet: true}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, prefetch: 4KiB}
"""
    with Detached(file("queued.yaml", text)) as run:
        wait_for(lambda: live_runs()[0]["running"] == 2, "two running nodes")
        sink = run.pid("sink/0")
        os.kill(sink, signal.SIGSTOP)
        try:
            wait_for(lambda: weft("queue", "ls", "--json").json()["queues"][0]["queued_records"] > 1000, "a queue")
            contains(weft("queue", "ls").out, "source/0.out", "the table of queues")
            shown = weft("queue", "peek", "source.out", "--count", "5", "--json").json()["queues"][0]
            numbers = [one["record"]["n"] for one in shown["records"]]
            equal(numbers, list(range(numbers[0], numbers[0] + 5)), "the oldest records")
            equal(shown["records"][0]["to"], "sink/0.in", "where the oldest is")
            contains(weft("queue", "peek", "queued", "source/0.out").out, "source/0.out holds", "what a person sees")
            equal(weft("queue", "clear", "source.out").code, 2, "clear without --yes")
            dropped = weft("queue", "clear", "source.out", "--yes", "--json").json()["queues"][0]["dropped"]
            check(dropped > 1000, "%d records dropped" % dropped)
        finally:
            os.kill(sink, signal.SIGCONT)
    report = state(run.directory)
    link, sent = report["links"][0], report["result"]["source/0"]["sent"]
    equal(link["dropped"], dropped, "dropped records in the report")
    equal(link["processed"] + dropped, sent, "processed and dropped")


def a_queue_that_is_none_is_said():
    with Detached(_counting()):
        result = weft("queue", "peek", "source.out")
        equal(result.code, 2, "exit code for a best-effort port")
        contains(result.err, "best-effort", "why")
        result = weft("queue", "peek", "sink.in")
        equal(result.code, 2, "exit code for a receiving port")
        contains(result.err, "sending end", "why")
        equal(weft("queue", "peek", "absent.out").code, 3, "exit code for an unknown node")
    equal(weft("queue", "ls").code, 3, "exit code without a run")


def output_that_cannot_be_written_is_exit_code_1():
    text = COUNTING.replace("rate: 100", "count: 10")
    short = file("short.yaml", text)

    def code(*arguments):
        with open("/dev/full", "w") as full:
            return subprocess.run([program("weft")] + list(arguments), cwd=WORK, env=ENVIRONMENT, stdout=full,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=PATIENCE).returncode

    for arguments in (("up", short, "-q", "--json"), ("chaos", short, "--json"), ("check", short), ("graph", short),
                      ("ps", "--all"), ("--help",)):
        equal(code(*arguments), 1, "exit code of %s" % arguments[0])
    with Detached(_counting()):
        for arguments in (("recv", "source.out", "--count", "1"), ("tap", "sink.in", "--count", "1"), ("queue", "ls")):
            equal(code(*arguments), 1, "exit code of %s" % arguments[0])


def what_is_not_there_is_exit_code_3():
    equal(weft("down").code, 3, "down without a run")
    with Detached(_counting()):
        result = weft("recv", "nobody.out", "--count", "1")
        equal(result.code, 3, "recv of an unknown port")
        contains(result.err, "its ports are sink.in and source.out", "the sentence")
        equal(weft("recv", "sink.in").code, 2, "recv of a receiving port")
        equal(weft("recv", "absent", "source.out").code, 3, "recv of an unknown run")
        result = weft("tap", "sink.in", "--count", "1000000", "--for", "200ms")
        equal(result.code, 3, "tap of too many")


def logs_show_what_the_nodes_wrote():
    text = COUNTING.replace("rate: 100", "count: 3").replace("quiet: true, check-field: n", 'output: "-"')
    report = up(file("writing.yaml", text))
    equal(report["code"], 0, "exit code")
    contains(report["log"], 'sink/0   | {"n":2}', "prefixed lines")
    lines = weft("logs", report["run"], "sink").lines()
    equal(lines, ['sink/0 | {"n":%d}' % n for n in range(3)], "the log of the sink")
    equal(weft("logs", report["run"], "sink/0", "-n", "1").lines(), ['sink/0 | {"n":2}'], "the last line")
    equal(weft("logs", report["run"], "nobody").code, 3, "the log of nobody")


def followed_logs_end_with_the_run():
    text = COUNTING.replace("quiet: true, check-field: n", 'output: "-"')
    with Detached(file("following.yaml", text)):
        following = start("weft", "logs", "-f", "sink")
        contains(following.stdout.readline(), 'sink/0 | {"n":', "the first line")
    equal(finish(following).code, 0, "exit code of logs -f")


def who_follows_ends_when_its_reader_is_gone():
    text = """weft: 1
name: quiet
nodes:
  says: {run: weft-exec, with: {command: "echo hello >&2; exec sleep 600"}}
  sink: {run: weft-sink, with: {quiet: true}}
links: [{from: says.out, to: sink.in, pattern: push-pull}]
"""
    with Detached(file("quiet.yaml", text)):
        following = start("weft", "logs", "-f", "says")
        contains(following.stdout.readline(), "hello", "the first line")
        for watching in (following, start("weft", "tap", "says.out"), start("weft", "recv", "says.out")):
            watching.stdout.close()
            try:
                watching.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise SystemExit("FAILED: %r waits for a line that nobody would read" % watching.args)


def the_json_report_has_its_shape():
    result = weft("up", topology("pipeline"), "--json", "--set", "records=1000")
    report = json.loads(result.out)
    equal(result.out.count("\n"), 1, "lines of standard output")
    for key in ("run", "ok", "seconds", "nodes", "links", "result"):
        check(key in report, "the report has no " + key)
    for key in ("name", "state", "exit_code", "restarts", "cpu_seconds", "peak_memory"):
        check(key in report["nodes"][0], "a node has no " + key)
    for key in ("from", "to", "delivery", "sent", "received", "dropped", "rejected", "left", "processed", "redelivered",
                "expired", "dead_lettered", "retained", "reconnects"):
        check(key in report["links"][0], "a link has no " + key)


def for_ends_a_run_in_order():
    report = up(_counting(), "--for", "300ms")
    equal((report["code"], report["ok"]), (0, True), "the run")
    sent = report["result"]["source/0"]["sent"]
    check(sent > 0, "nothing was sent")
    equal(report["result"]["sink/0"]["distinct"], sent, "received")


def weft_run_meets_by_the_addresses_of_the_file():
    address = "ipc://%s/sink" % WORK
    text = COUNTING.replace("rate: 100", "count: 50").replace("push-pull}", "push-pull, endpoint: '%s'}" % address)
    path = file("hosts.yaml", text)
    sink = start("weft", "run", path, "--node", "sink")
    source = start("weft", "run", path, "--node", "source")
    result = finish(source)
    equal(result.code, 0, "exit code of the source (%s)" % result.err)
    sink.terminate()
    drained = finish(sink)
    equal(drained.code, 0, "exit code of the drained sink")
    contains(drained.err, '"received":50', "the result that no launcher shows")
    result = weft("run", path, "--node", "sinc")
    equal(result.code, 2, "exit code of an unknown node")
    contains(result.err, 'did you mean "sink"?', "the sentence")
    result = weft("run", _counting(), "--node", "sink")
    equal(result.code, 2, "exit code without addresses")
    contains(result.err, "hosts", "the sentence")


def dead_letters_meet_by_an_address_of_their_own():
    text = COUNTING.replace("rate: 100", "count: 50").replace("links:", "  morgue: {run: weft-sink, lifetime: service}\nlinks:")
    promise = "push-pull, delivery: at-least-once, endpoint: 'ipc://%s/letters-sink', dead-letter: %%s}" % WORK
    whole = file("letters.yaml", text.replace("push-pull}", promise % ("{to: morgue.in, endpoint: 'ipc://%s/morgue'}" % WORK)))
    others = [start("weft", "run", whole, "--node", name) for name in ("sink", "morgue")]
    result = finish(start("weft", "run", whole, "--node", "source"))  # ready only when it has met both
    equal(result.code, 0, "exit code of the source (%s)" % result.err)
    for other in others:
        other.terminate()
        drained = finish(other)
        equal(drained.code, 0, "exit code of a drained end (%s)" % drained.err)
    bare = file("bare.yaml", text.replace("push-pull}", promise % "morgue.in"))
    for name in ("source", "morgue"):
        result = weft("run", bare, "--node", name)
        equal(result.code, 2, "exit code of %s without an address" % name)
        contains(result.err, 'the link source.out>sink.in "dead-letter: {to: morgue.in, endpoint: ...}"', "the sentence")


if __name__ == "__main__":
    main(cases_of(globals()))
