"""weft-exec under a promise: what its command has not done is offered again, and how the command is ended."""

from weft_support import *

FEED = """weft: 1
name: feed
nodes:
  source: {run: weft-source, with: {count: %d, rate: %d, generator: {kind: counter}}}
  work: {run: weft-exec, restart: on-failure, with: %s}
  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}
links:
  - {from: source.out, to: work.in, pattern: push-pull, delivery: at-least-once%s}
"""
ONCE = """weft: 1
name: once
nodes:
  source: {run: weft-source, with: {count: %d, generator: {kind: counter}}}
  work: {run: weft-exec, with: %s}
  sink: {run: weft-sink, with: {output: %s/once.jsonl, append: true, field: n}}
links:
  - {from: source.out, to: work.in, pattern: push-pull, delivery: exactly-once, journal: {from: %s/js, to: %s/jw}}
  - {from: work.out, to: sink.in, pattern: push-pull, delivery: exactly-once, journal: {from: %s/jw, to: %s/jk}}
"""
MAKE = """weft: 1
name: make
nodes:
  gen: {run: weft-exec, with: %s}
  sink: {run: weft-sink, with: {quiet: true}}
links: [{from: gen.out, to: sink.in, pattern: push-pull}]
"""


def _clean(*names):
    for name in names:
        path = os.path.join(WORK, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.unlink(path)


def _worked():
    with open(WORK + "/worked") as opened:
        return [int(line) for line in opened]


def _worker(name, body, loop="for line in sys.stdin:"):
    return ["python3", "-u", file(name, "import json, os, sys\nf = open(%r, 'a')\n%s\n    n = json.loads(line)['n']\n%s"
                                        "    f.write('%%d\\n' %% n); f.flush()\n" % (WORK + "/worked", loop, body))]


CRASH_ONCE = "    if n == 50 and not os.path.exists(%r): open(%r, 'w'); os._exit(1)\n"


def _crashing(options=None, rate=2000, answer=""):
    _clean("worked", "crashed", "morgue.jsonl")
    mark = WORK + "/crashed"
    body = CRASH_ONCE % (mark, mark)
    command = _worker("w.py", body) if not answer else _worker("w.py", body)
    if answer:
        with open(command[2], "a") as opened:
            opened.write("    print()\n")
    settings = dict({"command": command}, **(options or {}))
    text = FEED % (2000, rate, json.dumps(settings), WORK, "")
    text = text.replace("  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}\n" % WORK, "")
    return up(file("crash.yaml", text))


def a_command_that_crashes_loses_no_record():
    for rate in (2000, 1000000):
        report = _crashing(rate=rate)
        equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
        equal(sorted(set(_worked())), list(range(2000)), "what the command worked on")
        equal(report["result"]["work/0"]["command_restarts"], 1, "restarts of the command")


def a_command_that_answers_is_acknowledged_by_its_answers():
    report = _crashing({"acknowledge": "answer"}, rate=1000000, answer="yes")
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    equal(sorted(set(_worked())), list(range(2000)), "what the command worked on")


def a_record_that_crashes_the_command_is_one_dead_letter():
    for options in ({}, {"acknowledge": "answer"}):
        _clean("worked", "morgue.jsonl")
        command = _worker("p.py", "    if n == 50: os._exit(9)\n")
        if options:
            with open(command[2], "a") as opened:
                opened.write("    print()\n")
        text = FEED % (200, 1000000, json.dumps(dict({"command": command}, **options)), WORK,
                       ", max-attempts: 3, dead-letter: morgue.in")
        report = up(file("poison.yaml", text))
        with open(WORK + "/morgue.jsonl") as opened:
            letters = [json.loads(line) for line in opened]
        equal([(one["record"]["n"], one["attempts"]) for one in letters], [(50, 3)], "dead letters: " + report["log"])
        contains(letters[0]["reason"], "exit code 9", "the reason")
        equal(sorted(set(_worked())), [n for n in range(200) if n != 50], "what the command worked on")


def killed_workers_lose_no_record():
    _clean("worked")
    text = FEED % (1500, 1500, json.dumps({"command": _worker("k.py", "")}), WORK, "")
    text = text.replace("  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}\n" % WORK, "")
    result = weft("chaos", file("k.yaml", text), "--kill", "work", "--every", "300ms", "--for", "1500ms")
    equal(sorted(set(_worked())), list(range(1500)), "what the command worked on: " + result.err + result.out)


def a_shell_loop_and_a_filter_are_done_when_they_come_back():
    _clean("worked")
    text = FEED % (200, 1000000, json.dumps({"command": "while read line; do echo $line >> %s/worked; done" % WORK}), WORK, "")
    text = text.replace("  morgue: {run: weft-sink, with: {output: %s/morgue.jsonl}}\n" % WORK, "")
    report = up(file("loop.yaml", text))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    with open(WORK + "/worked") as opened:
        equal(sorted(json.loads(line)["n"] for line in opened), list(range(200)), "what the loop took")


def exactly_once_needs_an_answer():
    _clean("js", "jw", "jk", "once.jsonl")
    paths = (WORK,) * 5
    refused = weft("check", file("once.yaml", ONCE % ((10, json.dumps({"command": "cat"})) + paths)))
    equal(refused.code, 2, "exit code of check")
    contains(refused.err, "acknowledge: answer", "what it says")


def a_filter_that_answers_keeps_exactly_once():
    _clean("js", "jw", "jk", "once.jsonl")
    text = ONCE % ((3000, json.dumps({"command": "cat", "acknowledge": "answer"})) + (WORK,) * 5)
    text = text.replace(", append: true, field: n", "")
    result = weft("chaos", file("once.yaml", text), "--kill", "work", "--every", "300ms", "--for", "1s")
    equal(result.code, 0, "exit code: " + result.out + result.err)
    with open(WORK + "/once.jsonl") as opened:
        equal(sorted(json.loads(line)["n"] for line in opened), list(range(3000)), "what arrived")


def a_command_that_only_writes_is_ended_in_order():
    numbers = file("num", "1\n2\n3\n")
    for command in ("tail -n 3 -F " + numbers, "i=0; while :; do echo $((i=i+1)); sleep 0.05; done | cat", "exec sleep 100",
                    "trap 'exit 0' TERM; while :; do sleep 0.05; done"):
        report = up(file("make.yaml", MAKE % json.dumps({"command": command})), "--for", "300ms", "-q")
        equal((report["code"], report["ok"]), (0, True), "the run of %r: %s" % (command, report["log"]))


def a_command_that_ignores_sigterm_is_killed_and_named():
    text = MAKE % json.dumps({"command": "trap '' TERM; while :; do sleep 0.05; done"})
    report = up(file("deaf.yaml", text.replace("{run: weft-exec", "{run: weft-exec, grace: 2s")), "--for", "300ms", "-q")
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["reason"], "did not end after SIGTERM", "the reason")
    contains(report["reason"], "while :", "the reason")


def a_command_is_told_which_node_it_is():
    command = "echo \\\"$WEFT_NODE/$WEFT_REPLICA\\\""
    text = MAKE.replace("quiet: true", "output: %s/who" % WORK) % json.dumps({"command": "echo \"\\\"$WEFT_NODE/$WEFT_REPLICA\\\"\""})
    report = up(file("who.yaml", text.replace("{run: weft-exec", "{run: weft-exec, replicas: 2, lifetime: finite")), "-q")
    equal(report["code"], 0, "exit code: " + report["log"])
    with open(WORK + "/who") as opened:
        equal(sorted(json.loads(line) for line in opened), ["gen/0", "gen/1"], "what the commands know")


if __name__ == "__main__":
    main(cases_of(globals()))
