"""A receiver that never acknowledges: what its sender holds stays within its capacity, and the counts add up."""

import signal

from weft_support import *

COUNT = 3000000
CAPACITY = 8 << 20
BATCH = 1 << 20  # more than the one batch that may pass the bound
ALLOWANCE = (40 << 20) * SLOW * SLOW  # the program itself, buffers of sockets, what a batch is copied into

HELD = """
weft: 1
name: held
nodes:
  source:
    run: weft-source
    with: {count: %d, generator: {kind: counter, size: 100B}}
  sink:
    run: weft-sink
    with: {quiet: true}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, capacity: %dB, overflow: %s%s}
"""


def _resident(pid):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    return 0


class _Stopped:
    """A run whose sink is stopped once its source sends."""

    def __init__(self, overflow, more=""):
        self._text = HELD % (COUNT, CAPACITY, overflow, more)
        self._name = overflow + ".yaml"

    def __enter__(self):
        self._up = start("weft", "up", file(self._name, self._text), "--json")
        run = wait_for(lambda: [one for one in live_runs() if one["running"] == 2], "a live run")[0]
        self._directory = run["directory"]
        self.pids = [node(state(self._directory), name)["pid"] for name in ("source/0", "sink/0")]
        os.kill(self.pids[1], signal.SIGSTOP)
        return self

    def __exit__(self, kind, value, trace):
        if self._up.poll() is None:
            os.kill(self.pids[1], signal.SIGKILL)
            interrupt(self._up)
            self._up.communicate()

    def counts(self):
        """What the source said last of its port; {} before that."""
        return node(wait_for(lambda: state(self._directory), "the state"), "source/0").get("ports", {}).get("out", {})

    def settled(self):
        """Its counts, once they do not change any more although it goes on offering records."""
        last = [None, 0]

        def same():
            counts = self.counts()
            last[1] = last[1] + 1 if counts and counts == last[0] else 0
            last[0] = counts
            return last[1] > 40 and counts["queued_records"] + counts["outstanding_records"] > 0
        wait_for(same, "a source that is held up")
        return last[0]

    def check_memory(self):
        resident = _resident(self.pids[0])
        print("resident %.1f MiB, capacity %.1f MiB" % (resident / 2**20, CAPACITY / 2**20))
        check(resident < CAPACITY + ALLOWANCE, "the source holds %d bytes" % resident)

    def finish(self):
        """Lets the sink go on; the report at the end."""
        os.kill(self.pids[1], signal.SIGCONT)
        return finish(self._up)


def _held(counts):
    return counts["queued_records"] + counts["outstanding_records"]


def _offered_millions(overflow, more=""):
    with _Stopped(overflow, more) as run:
        # How many got through before the sink was stopped is a matter of the machine.
        counts = wait_for(lambda: run.counts().get("accepted_records", 0) >= COUNT and run.counts(),
                          "all records to be taken or dropped")
        run.check_memory()
        check(counts["queued_bytes"] < CAPACITY + BATCH, "%r is more than the capacity" % counts)
        report = run.finish().json()
        check(report["ok"], "the run failed: %r" % report)
        path = link(report, "source.out")
        equal((path["processed"] + path["dropped"], path["retained"]), (COUNT, 0), "processed and dropped, retained")
        # At-least-once: what a receiver that was taken for dead had got may come to it again.
        check(path["received"] >= path["processed"], "%(processed)d processed, %(received)d received" % path)


def drop_newest_holds_no_more_than_its_capacity():
    _offered_millions("drop-newest")


def drop_oldest_holds_no_more_than_its_capacity():
    _offered_millions("drop-oldest")


def a_receiver_that_dies_meanwhile_changes_nothing():
    _offered_millions("drop-oldest", ", dead-after: 1s")


def block_holds_its_program_up():
    with _Stopped("block") as run:
        counts = run.settled()
        run.check_memory()
        equal(counts["dropped_records"], 0, "dropped")
        check(counts["processed_records"] + _held(counts) < COUNT, "everything was accepted: %r" % counts)
        report = run.finish().json()
        path = link(report, "source.out")
        equal((path["processed"], path["dropped"], path["retained"]), (COUNT, 0, 0), "processed, dropped, retained")


def fail_ends_its_program_with_the_capacity_full():
    with _Stopped("fail") as run:
        wait_for(lambda: not os.path.exists("/proc/%d" % run.pids[0]), "the end of the source")
        result = run.finish()
        report = result.json()
        equal(result.code, 1, "exit code")
        contains(node(report, "source/0")["reason"], "cannot be sent: full", "why")
        path = link(report, "source.out")
        source = report["result"]["source/0"]
        accepted = source.get("accepted", source["sent"])
        equal(path["processed"] + path["dropped"] + path["retained"], accepted, "the fates of accepted records")
        peak = node(report, "source/0")["peak_memory"]
        check(peak < CAPACITY + ALLOWANCE, "the source held %d bytes" % peak)


if __name__ == "__main__":
    main(cases_of(globals()))
