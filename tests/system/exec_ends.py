"""weft-exec and the ends of its command's input and output."""

from weft_support import *


def _script(name, body):
    return ["python3", "-u", file(name, "import json, os, sys\n" + body)]


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
