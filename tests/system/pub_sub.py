"""Pub-sub without gaps between real processes that are stopped, killed, restarted and late."""

import signal
import threading
import time

from weft_support import SLOW, cases_of, check, equal, finish, main, start

PROBE = "pub_sub_probe"
TOPICS = 100


def _publisher(rate, seconds):
    process = start(PROBE, "pub", rate, seconds, TOPICS)
    return process, process.stdout.readline().strip()


def _subscriber(endpoint, node):
    process = start(PROBE, "sub", endpoint, node)
    equal(process.stdout.readline().strip(), "follows", "the first line of " + node)
    return process


def _figures(process):
    result = finish(process, patience=150)
    line = result.out.strip().splitlines()[-1] if result.out.strip() else ""
    equal(result.code, 0, "exit code (%s %s)" % (result.out, result.err))
    return dict(word.split("=") for word in line.split())


def _pause(seconds):
    threading.Event().wait(max(0, seconds))


def _joins(count, rate):
    publisher, endpoint = _publisher(rate, 3600)
    try:
        found = _figures(start(PROBE, "join", endpoint, count))
    finally:
        publisher.kill()
        publisher.communicate()
    print("%5d updates/s: %s" % (rate, " ".join("%s=%s" % item for item in found.items())))
    equal(found["joins"], str(count), "joins")
    equal(found["silent"], "0", "silent gaps at %d updates/s" % rate)
    equal(found["missed"], "0", "missed batches at %d updates/s" % rate)


def a_hundred_joins_see_no_silent_gap():
    _joins(100 // SLOW, 10000)


def a_thousand_joins_see_no_silent_gap_at_any_rate():
    for rate in (1000, 10000, 50000):
        _joins(1000, rate)


def _run(seconds, disturbed):
    """A publisher at full speed with two subscribers that nobody touches; with `disturbed` also one that is stopped
    for 5 s, one that is killed and started again, and one that comes late."""
    publisher, endpoint = _publisher(0, seconds)
    steady = [_subscriber(endpoint, "steady/%d" % i) for i in range(2)]
    others = []
    if disturbed:
        stopped = _subscriber(endpoint, "stopped/0")
        killed = _subscriber(endpoint, "killed/0")
        stopped.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        killed.kill()
        killed.communicate()
        others = [_subscriber(endpoint, "killed/0"), _subscriber(endpoint, "late/0")]
        _pause(since + 5 - time.monotonic())  # the fault itself
        stopped.send_signal(signal.SIGCONT)
        others.append(stopped)
    published = _figures(publisher)
    print("publisher%s: %s" % (", disturbed" if disturbed else "", published))
    for process in steady + others:
        found = _figures(process)
        print("  %s: %s" % (process.args[-1], found))
        equal(found["state"], published["state"], "the state of " + process.args[-1])
        equal(found["silent"], "0", "silent gaps of " + process.args[-1])
    return float(published["rate"])


def all_end_with_the_same_state_whoever_is_stopped_killed_or_late():
    before = _run(8, False)
    disturbed = _run(8, True)
    print("rate without a stopped subscriber %.0f/s, with one, one killed and one late %.0f/s" % (before, disturbed))
    check(disturbed > 0, "the publisher stands still")


def a_stopped_subscriber_does_not_slow_its_publisher():
    """As many subscribers in both cases, so that only the stop makes the difference: five seconds each, in turn."""
    rates = {False: [], True: []}
    for stop in (False, True) * 3:
        publisher, endpoint = _publisher(0, 5)
        subscribers = [_subscriber(endpoint, "sub/%d" % i) for i in range(2)]
        if stop:
            subscribers[0].send_signal(signal.SIGSTOP)
        rates[stop].append(int(publisher.stdout.readline().strip().split("=")[1]))
        if stop:
            subscribers[0].send_signal(signal.SIGCONT)
        published = _figures(publisher)
        for process in subscribers:
            equal(_figures(process)["state"], published["state"], "the state of " + process.args[-1])
    print("records/s with both running %s, with one stopped %s" % (rates[False], rates[True]))


if __name__ == "__main__":
    main(cases_of(globals()))
