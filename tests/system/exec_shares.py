"""weft-exec: commands share the work by what they have time for, whatever the link promises."""

from weft_support import *

FEED = """weft: 1
name: shares
nodes:
  source: {run: weft-source, with: {count: %d, generator: {kind: counter}}}
  work: {run: weft-exec, replicas: %d, with: %s}
  sink: {run: weft-sink, with: {quiet: true}}
links:
  - {from: source.out, to: work.in, pattern: push-pull, delivery: %s}
  - {from: work.out, to: sink.in, pattern: push-pull}
"""
ASK = """weft: 1
name: asks
nodes:
  source: {run: weft-source, with: {count: %d, timeout: 60s, generator: {kind: counter}}}
  work: {run: weft-exec, replicas: %d, with: %s}
links:
  - {from: source.out, to: work.in, pattern: dealer-router, delivery: %s}
"""
DELIVERIES = ("best-effort", "at-least-once")

# Nobody begins before all are there: who is late at the start rightly gets less.
TOGETHER = """import os, sys, threading
here, others = sys.argv[1], int(sys.argv[2])
open(os.path.join(here, os.environ["WEFT_REPLICA"]), "w").close()
for _ in range(6000):
    if len(os.listdir(here)) == others:
        break
    threading.Event().wait(0.01)
else:
    sys.exit("the other commands have not started")
"""
# Each replica needs a time of its own for a record.
LINES = """import os, sys, threading
work = [%s][int(os.environ["WEFT_REPLICA"])] / 1000
for line in sys.stdin:
    threading.Event().wait(work)
    print(line, end="")
"""
EVENTS = """import asyncio, os, sys
work = [%s][int(os.environ["WEFT_REPLICA"])] / 1000
async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=work)
        print(line.decode(), end="", flush=True)
asyncio.run(main())
"""


def _shares(text, count, body, times, delivery, **options):
    replicas = times.count(",") + 1
    started = tempfile.mkdtemp(dir=WORK)
    command = ["python3", "-u", file("work.py", TOGETHER + body % times), started, str(replicas)]
    report = up(file("shares.yaml", text % (count, replicas, json.dumps(dict(options, command=command)), delivery)))
    equal((report["code"], report["ok"]), (0, True), "the run: " + report["log"])
    shares = [report["result"]["work/%d" % replica]["lines_in"] for replica in range(replicas)]
    equal(sum(shares), count, "lines of all commands")
    return shares


def equal_commands_get_equal_shares():
    for delivery in DELIVERIES:
        for text in (FEED, ASK):
            shares = _shares(text, 150, LINES, "10, 10", delivery)
            check(min(shares) >= 60, "%s: shares %r" % (delivery, shares))


def a_command_that_is_ten_times_as_slow_gets_a_tenth():
    for delivery in DELIVERIES:
        for text in (FEED, ASK):
            shares = _shares(text, 200, LINES, "10, 10, 100", delivery)
            check(shares[2] <= 24 and min(shares[:2]) >= 70, "%s: shares %r" % (delivery, shares))


def a_command_that_answers_is_known_by_its_answers():
    for delivery in DELIVERIES:
        shares = _shares(FEED, 200, EVENTS, "10, 10, 100", delivery, acknowledge="answer")
        check(shares[2] <= 24 and min(shares[:2]) >= 70, "%s: shares %r" % (delivery, shares))


def an_event_loop_is_seen_to_wait():
    for delivery in DELIVERIES:
        shares = _shares(FEED, 20, EVENTS, "1", delivery)
        equal(shares, [20], "lines of the command")


def a_command_that_closes_its_input_holds_nobody_up():
    # Large ones wait at their node until that holds no more.
    for size, pause in (("8B", ""), ("1KiB", "sleep 1;")):
        command = "read line; echo $line; %s exec <&-; exec sleep 600" % pause
        text = FEED % (3000, 1, json.dumps({"command": command}), "best-effort")
        text = text.replace("kind: counter", "kind: counter, size: " + size)
        report = up(file("closed.yaml", text.replace("{run: weft-exec", "{run: weft-exec, grace: 2s")), "-q")
        equal(report["result"]["work/0"]["lines_out"], 1, "what it wrote: " + report["log"])
        check(report["result"]["work/0"]["dropped"] > 2900, "what it did not take is dropped: %r" % report["result"])


if __name__ == "__main__":
    main(cases_of(globals()))
