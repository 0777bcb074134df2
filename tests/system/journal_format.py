"""A second reader of the journal's format, from docs/reference/journal.md alone, against weft's own."""

import ctypes
import ctypes.util
import fcntl
import glob
import struct

from weft_support import *

library = ctypes.util.find_library("xxhash")
if not library:
    print("skipped: there is no libxxhash to load")
    sys.exit(77)
XXH3 = ctypes.CDLL(library).XXH3_64bits
XXH3.restype, XXH3.argtypes = ctypes.c_uint64, (ctypes.c_char_p, ctypes.c_size_t)


def xxh3(data):
    return XXH3(data, len(data))


def ops_of(data):
    at = 0
    while at < len(data):
        checksum, kind, space, key, value = struct.unpack_from("<QBBHI", data, at)
        size = 16 + space + key + value
        assert checksum == xxh3(data[at + 8:at + size]), "an op's checksum"
        names = at + 16
        yield checksum, kind, data[names:names + space], data[names + space:names + space + key], \
            data[at + size - value:at + size]
        at += size


def read(folder):
    content, due = {}, None
    for path in sorted(glob.glob(os.path.join(folder, "*.segment"))):
        data = open(path, "rb").read()
        magic, version, zero, number, first, salt, checksum = struct.unpack_from("<8sIIQQQQ", data)
        assert (magic, version, zero) == (b"WEFTJRNL", 1, 0) and data[:48] == data[48:96], "the headers"
        assert checksum == xxh3(data[:40]) and os.path.basename(path) == "%016x.segment" % number, "the header"
        assert due is None or due == first, "the first entry"
        at, due = 96, first
        while data[at:].strip(b"\0"):
            mark, tag, checksum, entry, durable, length, count = struct.unpack_from("<IIQQQII", data, at)
            assert (mark, tag, entry) == (0x9D4AE757, salt & 0xFFFFFFFF, due) and durable <= entry, "an entry"
            ops, chain = list(ops_of(data[at + 40:at + 40 + length])), 0
            for op in ops:
                chain = xxh3(struct.pack("<QQ", chain, op[0]))
            assert count == len(ops) and checksum == xxh3(data[at + 16:at + 40] + struct.pack("<QQ", salt, chain))
            for _, kind, space, key, value in ops:
                if kind == 1:
                    content[space, key] = value
                elif kind == 2:
                    content.pop((space, key), None)
            at, due = at + 40 + length, due + 1
    return content


def write(folder, commits):
    """And a writer: each commit is a list of (space, key, value)."""
    os.mkdir(folder)
    salt = 0x0123456789ABCDEF
    head = struct.pack("<8sIIQQQ", b"WEFTJRNL", 1, 0, 1, 1, salt)
    out = 2 * (head + struct.pack("<Q", xxh3(head)))
    for number, puts in enumerate(commits, 1):
        chain, ops = 0, b""
        for space, key, value in puts:
            rest = struct.pack("<BBHI", 1, len(space), len(key), len(value)) + space + key + value
            chain = xxh3(struct.pack("<QQ", chain, xxh3(rest)))
            ops += struct.pack("<Q", xxh3(rest)) + rest
        covered = struct.pack("<QQII", number, number, len(ops), len(puts))
        out += struct.pack("<IIQ", 0x9D4AE757, salt & 0xFFFFFFFF,
                           xxh3(covered + struct.pack("<QQ", salt, chain))) + covered + ops
    with open(os.path.join(folder, "%016x.segment" % 1), "wb") as file:
        file.write(out)


def a_second_reader_agrees_with_the_page():
    folder = os.path.join(WORK, "written.journal")
    write(folder, [[(b"outbox/a", b"%08d" % i, b"value %d" % i * 20), (b"marks", b"peer", b"%d" % i)] for i in range(40)])

    listed = weft("journal", "ls", folder, "--json").json()

    equal(listed["spaces"], [{"space": "marks", "values": 1, "bytes": 2},
                             {"space": "outbox/a", "values": 40, "bytes": sum(len(b"value %d" % i * 20) for i in range(40))}],
          "what weft reads of the other writer's journal")
    equal(weft("journal", "verify", folder).code, 0, "verify")
    # Now weft writes, and the other reader reads.
    equal(weft("journal", "purge", folder, "marks", "--yes").code, 0, "purge")
    content = read(folder)
    equal(len(content), 40, "values left")
    equal(content[b"outbox/a", b"00000007"], b"value 7" * 20, "one of them")


def the_verbs_show_verify_and_purge():
    folder = os.path.join(WORK, "verbs.journal")
    write(folder, [[(b"s", b"key\x00", b"\x93\x01\x02\x03\xa2hi")], [(b"s", b"l", b"text")], [(b"t", b"m", b"more")]])

    peeked = weft("journal", "peek", folder, "s", "--json").json()["values"]
    equal(peeked[0], {"key": "0x6b657900", "bytes": 7, "objects": 2, "beginning": ".....hi"}, "a batch")
    equal(weft("journal", "peek", folder, "s", "--json", "--hex").json()["values"][1]["hex"], "74657874", "hex")
    contains(weft("journal", "peek", folder, "s", "--count", "1").out, "and 1 more", "what --count leaves out")
    equal(weft("journal", "peek", folder, "nothing").code, 3, "no such space")
    equal(weft("journal", "ls", folder + "x").code, 3, "no such journal")
    equal(weft("journal", "purge", folder, "s").code, 2, "purge without --yes")
    contains(weft("journal", "--help").out, "Examples:", "help")

    # A flipped bit in the second entry is named with its place.
    path = os.path.join(folder, "%016x.segment" % 1)
    data = bytearray(open(path, "rb").read())
    data[data.index(b"text")] ^= 1
    open(path, "wb").write(data)
    result = weft("journal", "verify", folder, "--json")
    equal(result.code, 1, "verify of a damaged journal")
    equal(len(result.json()["damage"]), 1, "damage")
    contains(result.json()["damage"][0]["what"], "the entries behind it are whole", "what is damaged")
    equal(bytes(data), open(path, "rb").read(), "verify changes nothing")

    # Somebody owns it.
    with open(os.path.join(folder, "lock"), "w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
        refused = weft("journal", "purge", folder, "s", "--yes")
        equal(refused.code, 1, "purge of an owned journal")
        contains(refused.err, "process 4711 owns this journal", "the owner")
        equal(weft("journal", "ls", folder, "--json").json()["owner"], "4711", "the owner in ls")
        equal(weft("journal", "verify", folder).code, 1, "verify beside the owner")
    equal(weft("journal", "purge", folder, "s", "--yes").code, 0, "purge when nobody owns it")
    equal(len(weft("journal", "ls", folder, "--json").json()["spaces"]), 1, "spaces left")


def a_failing_write_or_sync_of_the_system_is_named():
    strace = shutil.which("strace")
    if not strace:
        print("skipped: there is no strace")
        sys.exit(77)
    folder = os.path.join(WORK, "failing.journal")
    write(folder, [[(b"s", b"%d" % i, b"value")] for i in range(5)])
    # The first sync is that of what is there, the second that of the erasures.
    for call, nth, what in (("fdatasync", 1, "cannot sync it"), ("fdatasync", 2, "cannot sync it"),
                            ("pwritev", 1, "cannot write ")):
        inject = "inject=%s:error=EIO:when=%d" % (call, nth)
        result = subprocess.run([strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", inject,
                                 program("weft"), "journal", "purge", folder, "s", "--yes"],
                                capture_output=True, text=True, timeout=PATIENCE)
        if "ptrace" in result.stderr:
            print("skipped: strace may not trace here")
            sys.exit(77)
        equal(result.returncode, 1, "exit code with %s" % inject)
        contains(result.stderr, what, "the error with " + inject)
        contains(result.stderr, "Input/output error", "the reason with " + inject)
        if nth == 1 and call == "fdatasync":
            equal(weft("journal", "ls", folder, "--json").json()["spaces"][0]["values"], 5, "values left")
        shutil.rmtree(folder)
        write(folder, [[(b"s", b"%d" % i, b"value")] for i in range(5)])


if __name__ == "__main__":
    main(cases_of(globals()))
