#!/usr/bin/env python3
"""Writes the seeds of the header and batch fuzz targets into the folders beside this file.

Needs msgpack (Debian: python3-msgpack). The seeds are kept in the tree; run this after the wire has grown an option.
"""
import pathlib
import struct

import msgpack

HERE = pathlib.Path(__file__).parent


def header(kind, stream, epoch, seq, options):
    return msgpack.packb([0x5746, kind, stream, epoch, seq, options])


def body(*records):
    packed = b"".join(msgpack.packb(r) for r in records)
    return struct.pack(">H", len(records)) + packed


STREAM = "train/worker/2.updates>server/1"
HEADERS = {
    "hello": header(1, STREAM, 1700000000000000, 0, {
        19: "Update", 20: 0xE0EC3D85EADADD6C, 21: 1000, 23: [1, 1], 24: "worker/2", 25: "updates", 27: "push",
        35: "train"}),
    "hello_publisher": header(1, "train/pub/0.out", 7, 9, {
        22: 3, 23: [1, 1], 24: "pub/0", 25: "out", 27: "pub", 28: "tcp://127.0.0.1:40001", 29: "Reply", 30: 5}),
    "data": header(2, STREAM, 1700000000000000, 70000, {1: 1024, 20: 0xE0EC3D85EADADD6C}),
    "data_full": header(2, "train/pub/0.out#orders/eu/", 3, 4, {
        1: 1, 2: 1700000000000000, 3: 5000, 4: 10, 5: 9, 6: b"key", 7: b"correlation", 8: bytes(25), 9: 2,
        10: 2**64 - 1, 15: "group", 16: "origin", 17: 5, 18: [0, 2]}),
    "ack": header(3, STREAM, 5, 10, {11: [12, 12, 14, 20], 12: [1 << 20, 64], 31: 9, 32: 15}),
    "nack": header(4, STREAM, 5, 10, {4: 100, 13: 4, 14: "too large: 3 MiB, at most 1 MiB"}),
    "sync": header(5, "train/pub/0.out", 5, 10, {17: 1, 33: ["orders/eu/", "orders/us/"]}),
    "ping": header(6, "train/pub/0.out", 5, 10, {33: ["a/", "b/"], 34: [17, 2**40]}),
    "bye": header(7, STREAM, 5, 10, {14: "drained", 17: 8}),
    "request": header(8, "q/ask/0.jobs>work/0", 5, 1, {1: 1, 26: 5000, 9: 1}),
    "reply_error": header(9, "q/work/0.jobs>ask/0", 5, 1, {13: 10, 14: "no such table"}),
    "cancel": header(10, "q/ask/0.jobs>work/0", 5, 1, {}),
    "unknown_positive": header(2, "s", 1, 2, {1: 1, 100: ["x", 1, b"y"], 101: {1: 2}, 102: msgpack.ExtType(9, b"z")}),
    "unknown_negative": header(2, "s", 1, 2, {-5: 1}),
    "too_deep": header(2, "s", 1, 2, {100: [[1]]}),
    "claim": bytes.fromhex("96cd574602a173010281 64ddffffffff"),
    "not_utf8": bytes.fromhex("96cd574602a2ff73010280"),
}


def tensor(frame, dtype, shape):
    return msgpack.ExtType(1, msgpack.packb([frame, dtype, shape]))


def sample(ref):
    return [7, "text", [[1, 2.5], [-1, None]], {"a": 1, "b": -70000}, ref]


DEEP = 1
for _ in range(31):
    DEEP = [DEEP]
BODIES = {
    "bins": body(b"", b"x" * 10, b"y" * 300),
    "texts": body("", "short", "l" * 40),
    "samples": body(sample(tensor(0, "F32", [3])), sample(tensor(1, "U8", [0]))),
    "sample_without_frame": body(sample(tensor(2, "F32", [3]))),
    "numbers": body(0, 1, -1, 127, 128, -128, 70000, -70000, 2**64 - 1, -2**63, 1.5),
    "floats": body([[1.0, 2.0], [], [3]]),
    "tree": body({"a": [None, True, False, {"b": b"c"}], 5: "five", None: 1, True: 2}),
    "ext": body(msgpack.ExtType(5, b"12345"), msgpack.ExtType(127, bytes(16))),
    "equal_keys": struct.pack(">H", 1) + bytes.fromhex("83a16101a16102a16103"),
    "deep": body(DEEP),
    "too_deep": body([[DEEP]]),
    "claim": struct.pack(">H", 1) + bytes.fromhex("ddffffffff"),
    "claims_within_claims": struct.pack(">H", 1) + bytes.fromhex("dc0020" * 8) + bytes(32),
    "count_too_large": struct.pack(">H", 9) + msgpack.packb(1),
    "tensor_reference": b"\x00\x01" + msgpack.packb([1, "BF16", [2, 3]]),
    "never_used": struct.pack(">H", 1) + b"\xc1",
}

for folder, seeds in (("header", HEADERS), ("batch", BODIES)):
    (HERE / folder).mkdir(exist_ok=True)
    for name, data in seeds.items():
        (HERE / folder / name).write_bytes(data)
