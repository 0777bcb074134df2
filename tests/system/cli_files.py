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
