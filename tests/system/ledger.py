"""The files in which sources and sinks write down the numbers of their records (`ledger:`), counted."""

import array
import os

MARK = 1 << 63
NONE = (1 << 63) - 2


def numbers(path, marked=False):
    """All numbers of a file in their order; with `marked` only those that were accepted (source)."""
    words = array.array("Q")
    try:
        with open(path, "rb") as opened:
            data = opened.read()
    except FileNotFoundError:
        return []
    words.frombytes(data[:len(data) // 8 * 8])
    out = []
    for word in words:
        if word == 0:
            break
        if not marked or word & MARK:
            out.append((word & ~MARK) - 1)
    return out


class Taken:
    """How many numbers a file has that grows, without reading all of it each time."""

    def __init__(self, path):
        self._path, self._count = path, 0

    def count(self):
        try:
            with open(self._path, "rb") as opened:
                opened.seek(8 * self._count)
                while True:
                    words = opened.read(65536)
                    new = next((i for i in range(0, len(words), 8) if words[i:i + 8] == bytes(8)), len(words)) // 8
                    self._count += new
                    if not words or 8 * new < len(words):
                        break
        except FileNotFoundError:
            pass
        return self._count


class Ledger:
    """What a folder says, over all sources and sinks that wrote there."""

    def __init__(self, folder):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        sent = [os.path.join(folder, name) for name in names if name.endswith(".sent")]
        taken = [os.path.join(folder, name) for name in names if name.endswith(".taken")]
        self.attempted = set().union(*map(numbers, sent))
        self.accepted = set().union(*(numbers(path, marked=True) for path in sent))
        self.taken = [number for path in taken for number in numbers(path)]
        self.processed = set(self.taken)

    @property
    def lost(self):
        return len(self.accepted - self.processed)

    @property
    def duplicated(self):
        return len(self.taken) - len(self.processed)

    @property
    def unexpected(self):
        return len(self.processed - self.attempted)

    @property
    def in_order_but_for_repeats(self):
        firsts = list(dict.fromkeys(self.taken))
        return firsts == sorted(firsts)

    @property
    def in_order(self):
        return self.taken == sorted(self.taken)

    def __str__(self):
        return "attempted %d, accepted %d, processed %d, lost %d, duplicated %d, unexpected %d" % (
            len(self.attempted), len(self.accepted), len(self.processed), self.lost, self.duplicated, self.unexpected)
