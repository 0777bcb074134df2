"""Acknowledged links whose connections are reset, late, dark for a while, or dead without anybody having been told."""

import random
import re
import time

from fault_proxy import FaultProxy
from ledger import Ledger, Taken
from netns import hold
from ports import free_address
from weft_support import *

SOURCE_AND_SINK = """
weft: 1
name: broken
nodes:
  source:
    run: weft-source
    with: {count: %(count)d, rate: %(rate)d, generator: {kind: counter, size: 100B}, ledger: "%(folder)s"}
  sink:
    run: weft-sink
    lifetime: finite
    with: {count: %(count)d, quiet: true, check-field: n, ledger: "%(folder)s"}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, transport: tcp, endpoint: "%(endpoint)s"%(more)s}
"""


class _Broken:
    """A source, a proxy with faults, and a sink behind it, which both are nodes of one topology."""

    def __init__(self, name, count, rate=0, more="", **faults):
        self._name = name
        self._values = {"count": count, "rate": rate, "more": more, "folder": os.path.join(WORK, name)}
        self._faults = faults
        os.mkdir(self._values["folder"])
        self._taken = Taken(os.path.join(self._values["folder"], "sink-0.taken"))

    def __enter__(self):
        address = free_address()
        self.proxy = FaultProxy(address, **self._faults).__enter__()
        self._nodes = [self._node("sink", address), self._node("source", self.proxy.endpoint)]
        return self

    def __exit__(self, kind, value, trace):
        for node in self._nodes:
            if node.poll() is None:
                node.kill()
                node.communicate()
        self.proxy.__exit__(kind, value, trace)

    def _node(self, name, endpoint):
        path = file("%s-%s.yaml" % (self._name, name), SOURCE_AND_SINK % dict(self._values, endpoint=endpoint))
        return start("weft", "run", path, "--node", name, "--log-level", "debug")

    def wait_for(self, records):
        wait_for(lambda: self._taken.count() >= records, "%d records" % records)

    def until_next(self):
        """Seconds until the sink takes one more record."""
        began, before = time.monotonic(), self._taken.count()
        wait_for(lambda: self._taken.count() > before, "a record after the fault", pause=0.002)
        return time.monotonic() - began

    def longest_pause(self, records):
        """The longest time in seconds without a new record, until the sink has so many."""
        last = [time.monotonic(), self._taken.count(), 0]

        def look():
            now, count = time.monotonic(), self._taken.count()
            if count != last[1]:
                last[:] = now, count, max(last[2], now - last[0])
            return count >= records
        wait_for(look, "%d records" % records, pause=0.002)
        return last[2]

    def finish(self):
        """Waits for the end, which takes all records; what the two ports counted."""
        counted = []
        for node in reversed(self._nodes):
            result = finish(node)
            equal(result.code, 0, "exit code of %s (%s)" % (node.args[-3], result.err))
            counted.append(json.loads(re.search(r"port \w+ counted (.*)", result.err).group(1)))
        ledger = Ledger(self._values["folder"])
        equal((len(ledger.accepted), ledger.lost, ledger.unexpected), (self._values["count"], 0, 0), str(ledger))
        check(ledger.in_order_but_for_repeats, "the sink has taken records out of their order")
        _check_what_was_sent_again(*counted)
        return counted


def _check_what_was_sent_again(out, into):
    """Each batch that left either arrived (as news or as a copy) or was lost; how many were is the difference."""
    left = out["sent_batches"] + out["retransmitted_batches"]
    lost = left - into["received_batches"] - into["duplicate_batches"]
    print("batches: %d, sent again %d, lost %d, copies %d, refused %d" % (
        out["sent_batches"], out["retransmitted_batches"], lost, into["duplicate_batches"],
        into["rejected_messages"]))
    check(out["retransmitted_batches"] <= 1.5 * lost, "%d batches were lost, and %d were sent again" % (
        lost, out["retransmitted_batches"]))


def _report(what, times):
    print("%s: %s ms" % (what, ", ".join("%.0f" % (1000 * one) for one in times)))


def connections_that_are_reset_lose_nothing():
    with _Broken("reset", 40000, 10000, reset="2%") as link:
        _report("longest pause", [link.longest_pause(18000)])
        # A sink that has all it wants goes, and a source that did not hear its last word would wait for another.
        link.proxy("clear")
        link.finish()
        check(link.proxy.counts()["resets"] > 3, "hardly anything was reset: %r" % link.proxy.counts())


def a_reset_is_over_at_once():
    pauses = []
    with _Broken("resets", 15000, 5000) as link:
        for i in range(4):
            link.wait_for(3000 * i + 1000)
            link.proxy("reset")
            pauses.append(link.longest_pause(3000 * i + 3500))
        link.finish()
    _report("pauses after a reset", pauses)


def a_latency_of_twenty_milliseconds_loses_nothing():
    with _Broken("late", 40000, latency="20ms") as link:
        out, into = link.finish()
        equal((out["retransmitted_batches"], into["duplicate_batches"]), (0, 0), "sent again, and copies")


def blackholes_of_up_to_a_second_lose_nothing():
    times = []
    chance = random.Random(1)
    with _Broken("dark", 16000, 3000) as link:
        for i in range(4):
            link.wait_for(2000 * (i + 1))
            span = chance.uniform(0, 1)
            link.proxy("blackhole", **{"for": "1h"})
            hold(span)
            link.proxy("heal")
            times.append(link.until_next())
        link.finish()
    _report("records again after a blackhole", times)


def _silent(direction):
    """A connection swallows what one or both ends send, for ever; neither is told."""
    with _Broken("silent-" + direction, 8000, 2000, more=", dead-after: 4s", drop_for="1h") as link:
        link.wait_for(1000)
        link.proxy("drop", direction=direction)
        _report("pause until a new connection is there", [link.longest_pause(8000)])
        link.finish()
        equal(link.proxy.counts()["resets"], 0, "connections that somebody was told of")


def a_connection_that_is_silently_dead_is_replaced():
    _silent("both")


def a_connection_that_swallows_what_is_sent_is_replaced():
    _silent("up")


def a_connection_that_swallows_acknowledgements_is_replaced():
    _silent("down")


if __name__ == "__main__":
    main(cases_of(globals()))
