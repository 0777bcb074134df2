#!/usr/bin/python3
"""Data that cannot be read ends the run at once, with the file, the line and the offending text."""

import gzip
import os
import tempfile

from train_support import Run, check

folder = tempfile.mkdtemp(prefix="weft-bad-data-")


def write(name, content):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


good = b"".join(b"%d 1:1 2:%d\n" % (i % 2, i) for i in range(1000))
packed = gzip.compress(good)
cases = [
    ("train-ssp", {"data": os.path.join(folder, "missing")}, ["missing: no such file"]),
    ("train-ssp", {"data": write("empty", b"")}, ["empty"]),
    ("train-ssp", {"data": write("cut.gz", packed[: len(packed) // 2])}, ["cut.gz"]),
    ("train-ssp", {"data": write("text", b"1 1:1\n0 2:x\n")}, ["text:2:", '"2:x"']),
    ("train-ssp", {"data": write("csv", b"a,b,c\n1,2,3\n")}, ["csv:1:", "a,b,c"]),
    ("train-ssp", {"data": write("good", good), "test": write("test", b"1 1:1\n7 1:1\n")}, ["test:2:", '"7"']),
    ("train-ssp", {"test": write("alone", good)}, ["test", "built-in"]),
    ("mnist", {}, ["softmax has no built-in data"]),
    ("mnist", {"data": folder}, [folder, "train-images-idx3-ubyte"]),
]
for topology, settings, expected in cases:
    run = Run(topology, settings)
    code, report = run.end()
    check(code != 0 and not report["ok"], "%s must fail" % settings)
    # What is wrong with options is said before the node is there: on its stderr.
    reason = report["reason"] + "\n" + run.errors
    check(all(text in reason for text in expected), "%s: expected %s in: %s" % (settings, expected, reason))
    check(all(node["restarts"] == 0 for node in report["nodes"]), "nobody is started again for bad data")
    print(report["reason"])
