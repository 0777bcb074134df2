"""Links that break between their ends: by namespaces with a cable that is pulled, by the fault proxy, by full disks."""

import time

from fault_proxy import FaultProxy
from ledger import Ledger, numbers
from netns import Network, SmallDisk, hold
from ports import free_address
from weft_support import *

DELIVERY = "at-least-once"  # with a delivery that promises more, LOST_AT_MOST is 0
LOST_AT_MOST = {"best-effort": None, "at-least-once": 0, "exactly-once": 0}[DELIVERY]


def _topology(name, endpoint, folder, count, rate):
    return file(name + ".yaml", """
weft: 1
name: cut
nodes:
  source:
    run: weft-source
    with: {count: %d, rate: %d, generator: {kind: counter, size: 100B}, ledger: "%s"}
  sink:
    run: weft-sink
    lifetime: finite
    with: {count: %d, quiet: true, check-field: n, ledger: "%s"}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: %s, transport: tcp, endpoint: "%s"}
""" % (count, rate, folder, count, folder, DELIVERY, endpoint))


def _folder(name):
    folder = os.path.join(WORK, name)
    os.mkdir(folder)
    return folder


def _taken(folder):
    return len(numbers(os.path.join(folder, "sink-0.taken")))


def _check(folder):
    ledger = Ledger(folder)
    equal(ledger.unexpected, 0, "records that nobody sent (%s)" % ledger)
    if LOST_AT_MOST is not None:
        check(ledger.lost <= LOST_AT_MOST, "lost records: %s" % ledger)
    return ledger


def _two_ends(net, name, count, rate):
    folder = _folder(name)
    path = _topology(name, "tcp://%s:5555" % net.address("a"), folder, count, rate)
    sink = net.start("a", program("weft"), "run", path, "--node", "sink")
    source = net.start("b", program("weft"), "run", path, "--node", "source")
    return folder, source, sink


def _finish(source, sink):
    for process in (source, sink):
        result = finish(process)
        equal(result.code, 0, "exit code of %s (%s)" % (process.args[-1], result.err))


def data_flows_between_two_namespaces():
    with Network() as net:
        folder, source, sink = _two_ends(net, "flow", 20000, 0)
        _finish(source, sink)
        ledger = _check(folder)
        equal((len(ledger.processed), ledger.lost, ledger.duplicated), (20000, 0, 0), str(ledger))
        check(ledger.in_order, "records out of order")


def a_partition_of_three_seconds_heals():
    with Network() as net:
        folder, source, sink = _two_ends(net, "partition", 12000, 2000)
        wait_for(lambda: _taken(folder) > 1000, "the first records")
        net.cut("a")
        hold(3)
        before = _taken(folder)
        check(before < 12000, "everything arrived before the cable was pulled")
        net.heal("a")
        healed = time.monotonic()
        wait_for(lambda: _taken(folder) > before, "records after the cable is back")
        print("records again %.0f ms after the cable is back" % (1000 * (time.monotonic() - healed)))
        _finish(source, sink)
        ledger = _check(folder)
        check(ledger.in_order_but_for_repeats, "records out of order")


def a_blackhole_heals():
    with Network() as net:
        folder, source, sink = _two_ends(net, "hole", 6000, 2000)
        wait_for(lambda: _taken(folder) > 1000, "the first records")
        net.blackhole("b")
        hold(1)
        before = _taken(folder)
        net.heal_blackhole("b")
        wait_for(lambda: _taken(folder) > before, "records after the hole")
        _finish(source, sink)
        _check(folder)


def a_network_leaves_nothing_behind():
    with Network() as net:
        process = net.start("a", "tail", "-f", "/dev/null")
        contains(net.run("b", "ip", "address"), net.address("b"), "addresses of b")
        inside = net.run("a", "readlink", "/proc/self/ns/net")
        check(inside.strip() != os.readlink("/proc/self/ns/net"), "the namespace is our own")
    check(process.returncode is not None, "the process lives on")


def _through_proxy(name, count, rate, **faults):
    """Both ends at once, the source through a proxy; what the proxy counted, and the folder of the ledger."""
    folder = _folder(name)
    address = free_address()
    with FaultProxy(address, **faults) as proxy:
        here = _topology(name, address, folder, count, rate)
        there = _topology(name + "-far", proxy.endpoint, folder, count, rate)
        sink = start("weft", "run", here, "--node", "sink")
        source = start("weft", "run", there, "--node", "source")
        yield proxy, folder
        _finish(source, sink)
        yield proxy.counts(), folder


def late_and_sliced_bytes_lose_nothing():
    run = _through_proxy("late", 2000, 0, latency="20ms", jitter="10ms", slice=1)
    next(run)
    counts, folder = next(run)
    ledger = _check(folder)
    equal((len(ledger.processed), ledger.lost, ledger.duplicated), (2000, 0, 0), str(ledger))
    check(ledger.in_order, "records out of order")
    check(counts["writes"] > 100 * counts["chunks"], "bytes did not pass one by one: %r" % counts)
    run.close()


def a_blackhole_in_the_proxy_holds_everything_back_and_loses_nothing():
    run = _through_proxy("proxy-hole", 4000, 2000)
    proxy, folder = next(run)
    wait_for(lambda: _taken(folder) > 500, "the first records")
    proxy("blackhole", **{"for": "1s"})
    counts, folder = next(run)
    ledger = _check(folder)
    equal((len(ledger.processed), ledger.lost, counts["blackholes"]), (4000, 0, 1), str(ledger))
    run.close()


def a_disk_that_is_full_fails_a_sink_with_its_place():
    with SmallDisk(1 << 20) as disk:
        disk.fill()
        result = weft("up", _pair(disk.path), "--quiet")
        equal(result.code, 1, "exit code")
        contains(result.err, "the ledger %s/sink-0.taken: No space left on device" % disk.path, "why")
        disk.make_room()
        contains(weft("up", _pair(disk.path, count=10), "--json").out, '"distinct":10', "once there is room")


def _pair(folder, count=10):
    return file("disk.yaml", """
weft: 1
name: disk
nodes:
  source: {run: weft-source, with: {count: %d}}
  sink: {run: weft-sink, lifetime: finite, with: {count: %d, quiet: true, check-field: n, ledger: "%s"}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull}
""" % (count, count, folder))


if __name__ == "__main__":
    main(cases_of(globals()))
