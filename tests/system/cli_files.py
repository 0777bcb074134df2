"""weft check and graph: files without a run."""

from weft_support import *

TEN = """weft: 1
name: ten mistakes
nodes:
  source:
    run: weft-sorce
  relay:
    run: weft-relay
    replicas: 0
    with: {wrok: 1ms, timeout: 10}
  sink:
    run: weft-sink
    restart: sometimes
    with: {count: many}
links:
  - {from: source.out, to: relay.in, pattern: push-pul}
  - {from: relay.out, to: sinc.in, pattern: push-pull, capacity: 64}
  - {from: relay.ot, to: sink.in, pattern: push-pull}
"""
PLACES = ["5:10", "8:15", "9:12", "9:32", "12:14", "13:19", "15:47", "16:27", "16:66", "17:12"]


def ten_mistakes_are_named_with_their_places():
    path = file("ten.yaml", TEN)

    result = weft("check", path)

    equal(result.code, 2, "exit code")
    for place in PLACES:
        contains(result.err, "%s:%s: " % (path, place), "the list of mistakes")
    contains(result.err, 'did you mean "weft-source"?', "the missing program")
    contains(result.err, 'did you mean "work"?', "the unknown option")
    problems = weft("check", path, "--json").json()["problems"]
    found = {"%d:%d" % (one["line"], one["column"]) for one in problems}
    check(found.issuperset(PLACES), "the places in JSON: %r" % found)


def a_good_file_is_summed_up():
    result = weft("check", topology("pipeline"))

    equal(result.code, 0, "exit code")
    contains(result.out, "ok, 3 nodes, 6 processes, 2 links", "the summary")
    report = weft("check", topology("pipeline"), "--json").json()
    equal([one["name"] for one in report["nodes"]], ["source", "relay", "sink"], "nodes")


def an_expanded_file_is_a_topology_itself():
    expanded = weft("check", topology("pipeline"), "--expand", "--set", "relays=7").out

    path = file("expanded.yaml", expanded)
    contains(weft("check", path).out, "3 nodes, 9 processes", "the expanded file")


def a_graph_comes_in_each_format():
    equal(weft("graph", topology("fanout")).out.split()[0], "flowchart", "Mermaid")
    contains(weft("graph", topology("fanout"), "--format", "dot").out, "digraph", "dot")
    contains(weft("graph", topology("fanout"), "--format", "ascii").out, "[publisher]", "ascii")


def svg_is_drawn_or_its_missing_tool_named():
    result = weft("graph", topology("fanout"), "--format", "svg")

    if shutil.which("dot"):
        contains(result.out, "<svg", "the picture")
    else:
        equal(result.code, 2, "exit code")
        contains(result.err, "install graphviz", "the sentence")


PROMISES = """weft: 1
name: promises
nodes:
  source: {run: weft-source, replicas: 2}
  relay: {run: weft-relay}
  sink: {run: weft-sink}
  morgue: {run: weft-sink}
links:
  - {from: source.out, to: relay.in, pattern: push-pull, %s}
  - {from: relay.out, to: sink.in, pattern: push-pull, %s}
"""
DURABLE = ("delivery: at-least-once, journal: {from: out.j}, dead-letter: morgue.in, ttl: 1h, max-attempts: 3",
           "delivery: exactly-once, journal: {from: \"${node}.j\", to: \"${node}.j\"}, capacity: {records: 100}")


def a_file_that_promises_is_summed_up_and_drawn():
    path = file("promises.yaml", PROMISES % DURABLE)

    result = weft("check", path)
    equal(result.code, 0, "exit code (%s)" % result.err)
    contains(result.out, "4 nodes, 5 processes, 3 links", "the summary")
    contains(result.out, "push-pull, at-least-once, journal at from, dead letters to morgue.in", "the first link")
    contains(result.out, "source.out-dead -> morgue.in", "the link of the dead letters")
    contains(result.out, "push-pull, exactly-once, journal at both ends", "the last link")
    links = weft("check", path, "--json").json()["links"]
    equal([one["delivery"] for one in links], ["at-least-once", "exactly-once", "at-least-once"], "deliveries")
    equal(links[2]["dead_letters_of"], "source.out>relay.in", "whose dead letters")
    contains(weft("graph", path, "--format", "dot").out, '"source" -> "morgue"', "the drawing")
    again = weft("check", file("promises-expanded.yaml", weft("check", path, "--expand").out))
    equal(again.out.splitlines()[1:], result.out.splitlines()[1:], "the expanded file")


def a_promise_that_cannot_be_kept_is_refused_with_its_place():
    def refused(first, second, place, part):
        path = file("refused.yaml", PROMISES % (first, second))
        result = weft("check", path)
        equal(result.code, 2, "exit code of " + first + " and " + second)
        contains(result.err, "%s:%s: " % (path, place), "the place")
        contains(result.err, part, "the reason")

    refused("delivery: exactly-once, dead-letter: morgue.in", DURABLE[1], "9:68", "add journal: {to: path}")
    refused("priority: 3, dead-letter: morgue.in", DURABLE[1], "9:68", "set delivery: at-least-once")
    refused(DURABLE[0].replace("morgue.in", "morge.in"), DURABLE[1], "9:120", 'did you mean "morgue"?')
    refused(DURABLE[0].replace("morgue.in", "source.dead"), DURABLE[1], "9:120", "would get its own dead letters")
    refused(DURABLE[0].replace("from: out.j", "from: x, to: y"), DURABLE[1].replace("${node}.j", "y"), "10:105",
            "would be opened by two processes")
    refused(DURABLE[0], DURABLE[1] + ", replay: earliest", "10:161", "the pattern must be pub-sub")


def wrong_command_lines_say_what_is_right():
    result = weft("chek")
    equal(result.code, 2, "exit code of an unknown verb")
    contains(result.err, 'did you mean "check"?', "the unknown verb")
    equal(weft("check").code, 2, "exit code without a file")
    result = weft("check", "absent.yaml")
    equal(result.code, 2, "exit code of a missing file")
    contains(result.err, "absent.yaml", "the missing file")
    result = weft("up", topology("fanout"), "--for", "10")
    equal(result.code, 2, "exit code of a time without unit")
    contains(result.err, "expected a time with its unit", "the time without unit")
    equal(weft("--version").out.split()[0], "weft", "the version")


def each_program_describes_itself():
    for name in ("weft-source", "weft-sink", "weft-relay", "weft-exec"):
        description = run(name, "--describe").json()
        equal(description["program"], name, "name")
        check(description["options"] and description["ports"], name + " describes no options or no ports")
        contains(run(name, "--help").out, "Examples:", "help of " + name)


def a_script_is_asked_only_when_it_knows_describe():
    silent = file("silent.sh", "#!/bin/sh\ntouch %s/was-run\n" % WORK)
    knows = file("knows.sh", "#!/bin/sh\n[ \"$1\" = --describe ] && echo '{\"program\": \"knows\", \"ports\": []}'\n")
    for path in (silent, knows):
        os.chmod(path, 0o755)
    text = "weft: 1\nname: s\nnodes:\n  a: {run: ./%s}\n  b: {run: weft-sink}\nlinks:\n" \
           "  - {from: a.out, to: b.in, pattern: push-pull}\n"

    equal(weft("check", file("silent.yaml", text % "silent.sh")).code, 0, "a script that describes nothing")
    check(not os.path.exists(WORK + "/was-run"), "the script was run")
    result = weft("check", file("knows.yaml", text % "knows.sh"))
    equal(result.code, 2, "a script that has no such port")
    contains(result.err, 'has no port "out"', "the sentence")


if __name__ == "__main__":
    main(cases_of(globals()))
