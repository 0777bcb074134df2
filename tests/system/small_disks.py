"""Journals on disks with less room than what goes through them: dead room is reclaimed, also when the disk is full."""

import json
import shutil
import subprocess
import sys
import threading

from netns import SmallDisk, hold
from weft_support import *

MIB = 1 << 20
RECORD = 4096


def _topology(name, count, delivery, journal, capacity="2MiB", rate=0, sink=""):
    return file(name + ".yaml", """
weft: 1
name: %s
nodes:
  source: {run: weft-source, with: {count: %d, rate: %d, generator: {kind: counter, size: %dB}}}
  sink: {run: weft-sink, lifetime: finite, with: {quiet: true, check-field: n, count: %d%s}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: %s, capacity: %s, journal: %s}
""" % (name, count, rate, RECORD, count, sink, delivery, capacity, journal))


def _all_arrive(path, count):
    report = up(path)
    check(report["ok"], "the run: %s" % report["log"])
    result = report["result"]["sink/0"]
    equal((result["distinct"], result["missing"]), (count, 0), "records, and those that are missing")
    return report


def _through(disk_bytes, count, **more):
    for delivery, journal in (("at-least-once", "{from: %s/s}"), ("exactly-once", "{from: %s/s, to: %s/k}"),
                              ("exactly-once", "{to: %s/k}")):
        with SmallDisk(disk_bytes) as disk:
            where = journal.replace("%s", disk.path)
            report = _all_arrive(_topology("through", count, delivery, where, **more), count)
            for name in ("s", "k"):
                path = os.path.join(disk.path, name)
                if os.path.exists(path):
                    equal(weft("journal", "verify", path).code, 0, "the exit code of verify of %s" % name)
            print("%d MiB, %s: %s" % (disk_bytes // MIB, where, report["seconds"] if "seconds" in report else "done"))


def a_small_disk_carries_more_than_it_holds():
    _through(24 * MIB, 9_000)


def a_queue_that_is_longer_than_its_disk_is_held_up_and_goes_on():
    with SmallDisk(24 * MIB) as disk:
        # No receiver takes anything before the disk is full: it starts late, by the ledger of its own making.
        where = "{from: %s/s}" % disk.path
        report = _all_arrive(_topology("long", 9_000, "at-least-once", where, capacity="64MiB"), 9_000)
        contains(report["log"], "there is room for", "the warning of the sender's journal")


def a_disk_that_somebody_else_fills_and_frees_loses_nothing():
    with SmallDisk(24 * MIB) as disk:
        where = "{from: %s/s, to: %s/k}" % (disk.path, disk.path)
        path = _topology("filled", 4_000, "exactly-once", where, rate=2_000)
        process = start("weft", "up", path, "--json")
        wait_for(lambda: os.path.exists(os.path.join(disk.path, "s", "reserve")), "the sender's journal")
        hold(0.5)
        disk.fill()
        hold(1)
        disk.make_room()
        result = finish(process)
        report = result.json()
        check(report["ok"], "the run: %s" % result.err)
        sink = report["result"]["sink/0"]
        equal((sink["distinct"], sink["missing"]), (4_000, 0), "records, and those that are missing")


def an_output_without_room_is_not_acknowledged():
    count, wide = 20_000, 60
    for delivery in ("at-least-once", "exactly-once"):
        with SmallDisk(MIB) as disk:
            output, journal = os.path.join(disk.path, "out"), os.path.join(WORK, "output-" + delivery)
            to = ", to: %s/k" % journal if delivery == "exactly-once" else ""
            path = file("output.yaml", """
weft: 1
name: output
nodes:
  source: {run: weft-source, with: {count: %d, resume: true, generator: {kind: counter, size: %dB}}}
  sink: {run: weft-sink, with: {append: true, output: %s}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: %s, journal: {from: %s/s%s}}
""" % (count, wide, output, delivery, journal, to))
            failed = up(path)
            check(not failed["ok"] and "No space left" in failed["reason"], "the first run: %s" % failed["reason"])
            check(failed["code"] != 0, "its exit code")
            # As if somebody had made room, with what is there already.
            subprocess.run(["mount", "-o", "remount,size=64M", disk.path], check=True, timeout=PATIENCE)
            report = up(path)
            check(report["ok"], "the second run: %s" % report["log"])
            with open(output) as lines:
                numbers = [json.loads(line)["n"] for line in lines if line.endswith("}\n")]
            equal(len(set(numbers)), count, "records in the output, %s" % delivery)
            if to:
                equal(len(numbers), count, "lines in the output")


def damaged_files_are_listed_and_removed():
    journal = os.path.join(WORK, "j")
    _all_arrive(_topology("made", 100, "at-least-once", "{from: %s}" % journal), 100)
    for name in ("0000000000000001.segment.96.damaged", "0000000000000002.segment.damaged"):
        with open(os.path.join(journal, name), "w") as out:
            out.write("x" * 1000)

    listed = weft("journal", "damaged", journal, "--json").json()
    equal((len(listed["files"]), listed["bytes"], listed["removed"]), (2, 2000, False), "what is listed")
    contains(weft("journal", "damaged", journal).out, "2 damaged files", "the list")
    refused = weft("journal", "damaged", journal, "--remove")
    check(refused.code != 0 and "--yes" in refused.err, "removing needs --yes: %r" % refused.err)
    equal(weft("journal", "damaged", journal, "--remove", "--yes").code, 0, "exit code")
    equal(weft("journal", "damaged", journal, "--json").json()["files"], [], "what is left")
    equal(weft("journal", "verify", journal).code, 0, "the exit code of verify")


def _long():
    """By hand: 60,000 records, disks of several sizes."""
    for size in (24, 70, 100):
        _through(size * MIB, 60_000)
    for size in (100, 140):
        with SmallDisk(size * MIB) as disk:
            _all_arrive(_topology("usual", 60_000, "exactly-once", "{from: %s/s, to: %s/k}" % (disk.path, disk.path),
                                  capacity="64MiB"), 60_000)


SLOW_SINK = """#!/bin/sh
[ "$1" = --describe ] && exec %(sink)s "$@"
exec %(strace)s -f -qq -o %(trace)s -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=%(delay)d %(sink)s "$@"
"""


def a_slow_disk_does_not_keep_a_sink_from_its_start():
    """Three syncs come before the first record, and together take longer than the start may."""
    strace = shutil.which("strace")
    if not strace:
        print("skipped: there is no strace")
        sys.exit(77)
    script = file("slow_sink.sh", SLOW_SINK % {"sink": program("weft-sink"), "strace": strace, "delay": 4000000,
                                               "trace": os.path.join(WORK, "syncs")})
    os.chmod(script, 0o755)
    sink = ", ledger: %s" % WORK
    path = _topology("slow", 100, "exactly-once", "{from: %s/slow-from, to: %s/slow-to}" % (WORK, WORK), sink=sink)
    with open(path) as opened:
        text = opened.read().replace("run: weft-sink", "run: ./slow_sink.sh")
    report = up(file("slow.yaml", text + "limits: {start: 9s, drain: 60s}\n"))
    if "ptrace" in report["log"]:
        print("skipped: strace may not trace here")
        sys.exit(77)
    check(report["ok"], "the run: %s" % report["log"])
    equal(report["result"]["sink/0"]["distinct"], 100, "records")


if __name__ == "__main__":
    if sys.argv[1:] == ["long"]:
        _long()
    else:
        main(cases_of(globals()))
