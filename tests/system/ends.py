"""What a run, and a command that sends, say at their end: exit codes and words against what became of the records."""

from weft_support import *

PAIR = """weft: 1
name: pair
nodes:
  source: {run: weft-source, with: {%s}}
  sink: {run: weft-sink, with: {quiet: true}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, %s}
"""

# Its doubler takes arrays of one number, and nothing else.
TYPED = """weft: 1
name: typed
nodes:
  source: {run: weft-source, with: {rate: 50, %s}}
  doubler: {run: %s}
  sink: {run: weft-sink, with: {quiet: true}}
links:
  - {from: source.out, to: doubler.in, pattern: push-pull, delivery: %s}
  - {from: doubler.out, to: sink.in, pattern: push-pull}
"""
NUMBERS = 'generator: {kind: template, template: ["{n}"]}'
MAPS = "count: 10, generator: {kind: counter}"


def _typed(source, delivery):
    return file("typed.yaml", TYPED % (source, program("examples/node_doubler"), delivery))


def _adds_up(link):
    rejected = link["rejected_records"] if link["delivery"] == "best-effort" else 0
    fates = sum(link[key] for key in ("processed", "failed", "timed_out", "expired", "dead_lettered", "dropped", "lost",
                                      "left"))
    equal(fates + rejected, link["accepted"], "the sum of the fates of %r" % link)


def ctrl_c_in_the_midst_of_the_work_is_130():
    running = start("weft", "up", file("pair.yaml", PAIR % ("rate: 100, count: 100000", "delivery: at-least-once")))
    wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "two running nodes")
    interrupt(running)
    result = finish(running)
    equal(result.code, 130, "exit code")
    contains(result.out, "was INTERRUPTED after", "the last line")
    contains(result.err, "interrupted by SIGINT before source/0 had ended", "why")


def a_run_that_is_taken_down_early_is_not_ok():
    with Detached(file("pair.yaml", PAIR % ("rate: 100, count: 100000", ""))) as run:
        wait_for(lambda: live_runs()[0]["running"] == 2, "two running nodes")
    report = state(run.directory)
    equal((report["ok"], report["interrupted"]), (False, "SIGTERM"), "the report")
    _adds_up(report["links"][0])
    states = [one["state"] for one in weft("ps", "--all", "--json").json()["runs"] if one["run"] == run.run]
    equal(states, ["interrupted"], "its state in ps")


def a_run_that_broke_a_promise_is_not_down_well():
    for delivery, count, why in (("best-effort", "rejected_records", "were rejected by doubler.in"),
                                 ("at-least-once", "untaken", "are dead letters and nobody takes them")):
        run = weft("up", _typed("count: 100000, generator: {kind: counter}", delivery), "--detach").out.strip()
        directory = os.path.join(ENVIRONMENT["WEFT_RUN_DIR"], run)
        wait_for(lambda: state(directory)["links"][0][count], "a record that nobody takes")
        down = weft("down", run)
        equal(down.code, 1, "exit code of down, %s (%s)" % (delivery, down.out))
        contains(down.err, why, "what it says")
        states = [one["state"] for one in weft("ps", "--all", "--json").json()["runs"] if one["run"] == run]
        equal(states, ["failed"], "its state in ps")


def records_that_nobody_can_take_fail_a_run():
    for delivery, why in (("best-effort", "10 of 10 records were rejected by doubler.in"),
                          ("at-least-once", "10 of 10 records are dead letters and nobody takes them")):
        report = up(_typed(MAPS, delivery))
        equal((report["code"], report["ok"]), (1, False), "the run, " + delivery)
        contains(report["reason"], why, "the reason")
        for link in report["links"]:
            _adds_up(link)


def send_ends_with_what_the_receiver_said():
    for delivery in ("best-effort", "at-least-once"):
        with Detached(_typed(NUMBERS, delivery)):
            good = weft("send", "doubler.in", text="[1]\n[2]\n")
            equal(good.code, 0, "exit code of what is taken (%s)" % good.err)
            contains(good.err, "sent 2, 2 %s" % ("taken" if delivery == "best-effort" else "processed"), "its words")
            bad = weft("send", "doubler.in", text='[1]\n{"value": 2}\n')
            equal(bad.code, 1, "exit code of what is refused (%s)" % bad.err)
            contains(bad.err, "1 rejected", "how many")
            contains(bad.err, "doubler/0.in rejected 1 record: not", "who, and why")
            # It is the sender of that record that failed, and nothing else.
            weft("down")


def a_topic_that_is_none_is_not_sent():
    text = """weft: 1
name: news
nodes:
  pub: {run: weft-source, with: {rate: 10, topics: [a]}}
  sub: {run: weft-sink, with: {quiet: true, topics: [c]}}
links: [{from: pub.out, to: sub.in, pattern: pub-sub}]
"""
    with Detached(file("news.yaml", text)):
        result = weft("send", "sub.in", "--topic", "c/{f}", text=json.dumps({"f": "x" * 250}) + "\n")
        equal(result.code, 2, "exit code (%s)" % result.err)
        contains(result.err, "is no topic", "why")


def a_journal_that_holds_all_of_it_is_said():
    settings = "count: 50, resume: true, generator: {kind: counter}", "delivery: at-least-once, journal: {from: j}"
    path = file("again.yaml", PAIR % settings)
    equal(up(path)["code"], 0, "the first run")
    again = weft("up", path)
    equal(again.code, 0, "exit code of the second run (%s)" % again.err)
    contains(again.out, "there was nothing to do: all 50 records had been accepted", "what it says")


def a_log_that_is_slower_than_its_source_holds_it_up():
    pair = PAIR.replace("push-pull", "pub-sub")
    for overflow in ("drop-newest", "block"):
        link_says = "delivery: at-least-once, capacity: 1KiB, overflow: %s, journal: {from: %s}" % (overflow, overflow)
        path = file("slow.yaml", pair % ("count: 20000, resume: true, generator: {kind: counter, size: 100B}", link_says))
        report = up(path)
        equal(report["code"], 0, "exit code (%s)" % report["log"])
        equal(report["result"]["source/0"].get("dropped", 0), 0, "records that were dropped with " + overflow)
        equal(report["links"][0]["received"], 20000, "records that arrived with " + overflow)
        contains(weft("up", path).out, "all 20000 records had been accepted", "what the log is said to hold")


def the_table_tells_what_is_no_loss():
    text = """weft: 1
name: news
nodes:
  pub: {run: weft-source, with: {count: 20, rate: 200, topics: [a, b]}}
  sub: {run: weft-sink, with: {quiet: true, topics: [c]}}
links: [{from: pub.out, to: sub.in, pattern: pub-sub}]
"""
    result = weft("up", file("news.yaml", text))
    equal(result.code, 0, "exit code (%s)" % result.err)
    contains(result.out, "subscribers get the topics that they ask for", "the note below the table")
    two = PAIR.replace("quiet: true", "quiet: true, check-field: n").replace("sink: {", "sink: {replicas: 2, ")
    report = up(file("two.yaml", two % ("count: 100, generator: {kind: counter}", "")))
    for name in ("sink/0", "sink/1"):
        check("missing" not in report["result"][name], "a sink of two misses what the other got: %r" % report["result"])


def swapped_ends_are_refused_before_anything_starts():
    swapped = (PAIR % ("count: 1", "")).replace("from: source.out, to: sink.in", "from: sink.in, to: source.out")
    result = weft("check", file("swapped.yaml", swapped))
    equal(result.code, 2, "exit code")
    contains(result.err, '"sink.in" of "weft-sink" receives, but it stands at "from" here', "the one end")
    contains(result.err, '"source.out" of "weft-source" sends, but it stands at "to" here', "the other")


def killed_nodes_leave_counts_that_add_up():
    for promise in ("best-effort", "at-least-once"):
        result = weft("chaos", file("pair.yaml", PAIR % ("rate: 3000, count: 3000, generator: {kind: counter}",
                                                         "delivery: " + promise)),
                      "--kill", "sink", "--kill", "source", "--every", "150ms", "--in-turn", "--json")
        report = result.json()["report"]
        for link in report["links"]:
            _adds_up(link)
            check(link["exact"] or link["inexact"], "no word on why it is not exact: %r" % link)


if __name__ == "__main__":
    main(cases_of(globals()))
