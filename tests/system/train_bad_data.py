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


def idx(name, dimensions, content):
    return write(name, bytes([0, 0, 8, len(dimensions)]) + b"".join(d.to_bytes(4, "big") for d in dimensions) + content)


made = os.path.join("made", "")
os.mkdir(os.path.join(folder, "made"))
idx(made + "train-images.idx3-ubyte", [4, 2, 2], bytes(range(16)))
idx(made + "train-labels.idx1-ubyte", [4], bytes([0, 1, 4, 2]))
small = idx("small-images-idx3-ubyte", [1, 1, 1], b"a")
idx("small-labels-idx1-ubyte", [1], b"\1")
data = os.path.join(folder, "made")
cases += [
    ("train-ssp", {"data": write("behind.gz", packed + b"more")}, ["behind.gz", "neither more of it nor padding"]),
    ("train-ssp", {"data": write("nbsp", b"1\xc2\xa01:1\n")}, ["nbsp:1:", "no-break space"]),
    ("mnist", {"data": data, "rows": 5, "classes": 3}, ["train-labels.idx1-ubyte: label 3", "found 4", "width: 5"]),
    ("mnist", {"data": data, "rows": 785, "classes": 5}, ["4 pixels (2 x 2)", "rows: 5"]),
    ("mnist", {"data": write("many", b"1 1:1\n3 1:1\n"), "rows": 5, "classes": 3}, ["many:2:", "width: 4"]),
    ("mnist", {"data": data, "rows": 5, "classes": 5, "nodes.worker.with.test": small}, ["1 x 1", "2 x 2"]),
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
