#!/usr/bin/python3
"""Softmax regression on images.

    train_mnist.py real     MNIST itself reaches the reference
    train_mnist.py made     small images that are made here: what the topology does without any download
"""

import gzip
import os
import random
import struct
import sys
import tempfile

from train_support import DATA, check, data_file, results, train


def write_images(folder, part, rows, compress):
    """Images of 4 x 4 pixels with a bright row; the label is which row that is."""
    chance = random.Random(part)
    labels = [i % 4 for i in range(rows)]
    pixels = bytearray()
    for label in labels:
        for row in range(4):
            pixels += bytes(chance.randrange(150, 256) if row == label else chance.randrange(0, 120) for _ in range(4))
    files = {
        "images-idx3-ubyte": struct.pack(">IIII", 0x803, rows, 4, 4) + bytes(pixels),
        "labels-idx1-ubyte": struct.pack(">II", 0x801, rows) + bytes(labels),
    }
    for name, content in files.items():
        path = os.path.join(folder, "%s-%s" % (part, name))
        with gzip.open(path + ".gz", "wb") if compress else open(path, "wb") as file:
            file.write(content)


if sys.argv[1] == "made":
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder, "train", 2000, compress=True)
        write_images(folder, "t10k", 500, compress=False)
        scores = results(train("mnist", data=folder, rows=17, classes=4), "worker")[0]
    check(scores["test_rows"] == 500 and scores["accuracy"] >= 0.98, "accuracy %g" % scores["accuracy"])
else:
    data_file("train-images-idx3-ubyte.gz")
    report = train("mnist", data=DATA)
    workers = results(report, "worker")
    scores = workers[0]
    check(sum(w["rows"] for w in workers) == 3 * 60000, "every image is read three times")
    check(scores["test_rows"] == 10000, "all test images are used")
    check(scores["accuracy"] >= 0.912, "accuracy %g, expected at least 0.912" % scores["accuracy"])
check("auc" not in scores, "there is no AUC of many classes")
print(scores)
