"""Networks that a test can cut: two namespaces joined by a cable of their own, and disks that it can fill.

    with Network() as net:
        server = net.start("a", program("weft"), "run", path, "--node", "sink")     # net.address("a") is 10.77.0.1
        net.cut("a")
        net.heal("a")

Both need root, which builds that are not so run leave out: they exit with 77, which ctest shows as skipped.
"""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading

from weft_support import ENVIRONMENT, PATIENCE, WORK, check

SKIPPED = 77


def skip(why):
    print("skipped: " + why)
    sys.exit(SKIPPED)


def hold(seconds):
    """Keeps a fault up for so long: how long it lasts is what the test is about."""
    threading.Event().wait(seconds)


def _run(*command, may_fail=False):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    if done.returncode != 0 and not may_fail:
        raise OSError("%s: %s" % (" ".join(command), done.stdout.strip()))
    return done.stdout


class Network:
    """Namespaces "a" and "b" with one cable between them. Everything that start() started in them is killed at the end
    of the block, whatever happened in it. A namespace has no name, only a process that holds it and dies with this
    one, so that nothing stays behind even when the test is killed."""

    ENDS = ("a", "b")
    _DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]

    def __init__(self):
        if os.geteuid() != 0:
            skip("making network namespaces needs root")
        for tool, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("setpriv", "util-linux")):
            if not shutil.which(tool):
                skip("there is no program %s (Debian: %s)" % (tool, package))
        self._holders = {}
        self._started = []

    def __enter__(self):
        try:
            self._make()
        except OSError as error:
            self._remove()
            skip("no network namespaces here: %s" % error)
        return self

    def __exit__(self, kind, value, trace):
        self._remove()

    def _make(self):
        for end in self.ENDS:
            # It says a word once it is where it belongs, and ends with its standard input.
            holder = subprocess.Popen(self._DIES_WITH_US + ["unshare", "--net", "sh", "-c", "echo here; exec cat"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self._holders[end] = holder
            if holder.stdout.readline() != "here\n":
                raise OSError(holder.stderr.read().strip())
            self._ip(end, "link", "set", "lo", "up")
        # Made inside, where its names disturb nobody.
        self._ip("a", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
                 str(self._holders["b"].pid))
        for end in self.ENDS:
            self._ip(end, "address", "add", self.address(end) + "/24", "dev", "cable")
            self._ip(end, "link", "set", "cable", "up")

    def _remove(self):
        for process in self._started:
            if process.poll() is None:
                process.kill()
        for process in self._started + list(self._holders.values()):
            process.communicate()

    def _inside(self, end, command):
        return ["nsenter", "--target", str(self._holders[end].pid), "--net"] + [str(word) for word in command]

    def _ip(self, end, *words):
        _run(*self._inside(end, ("ip",) + words))

    @staticmethod
    def address(end):
        return "10.77.0.%d" % (1 + Network.ENDS.index(end))

    @staticmethod
    def other(end):
        return "b" if end == "a" else "a"

    def start(self, end, *command, **options):
        """A process in a namespace, as weft_support.start."""
        process = subprocess.Popen(self._inside(end, self._DIES_WITH_US + list(command)), text=True, cwd=WORK,
                                   env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self._started.append(process)
        return process

    def run(self, end, *command):
        """Its output; raises OSError when it fails."""
        return _run(*self._inside(end, command))

    def cut(self, end="a"):
        """Pulls the cable: nothing arrives, nobody is told."""
        self._ip(end, "link", "set", "cable", "down")

    def heal(self, end="a"):
        self._ip(end, "link", "set", "cable", "up")

    def blackhole(self, end):
        """What this end sends to the other is thrown away; the other direction stays, as far as TCP lets it."""
        self._ip(end, "route", "add", "blackhole", self.address(self.other(end)) + "/32")

    def heal_blackhole(self, end):
        self._ip(end, "route", "del", "blackhole", self.address(self.other(end)) + "/32")


class SmallDisk:
    """A file system of its own of so many bytes (a multiple of 4,096), at `path`, that fill() leaves without room."""

    def __init__(self, size):
        if os.geteuid() != 0:
            skip("mounting a small file system needs root")
        self._size = size
        self.path = tempfile.mkdtemp(prefix="disk-", dir=WORK)

    def __enter__(self):
        try:
            _run("mount", "-t", "tmpfs", "-o", "size=%d" % self._size, "weft-test", self.path)
        except OSError as error:
            os.rmdir(self.path)
            skip("no file system can be mounted here: %s" % error)
        return self

    def __exit__(self, kind, value, trace):
        # Lazily: what still has a file open there must not keep the test from its end.
        _run("umount", "-l", self.path, may_fail=True)

    @property
    def _filler(self):
        return os.path.join(self.path, "filler")

    def fill(self):
        with open(self._filler, "ab", buffering=0) as out:
            for size in (65536, 4096, 1):
                try:
                    while out.write(b"\0" * size):
                        pass
                except OSError as error:
                    check(error.errno == errno.ENOSPC, "filling %s: %s" % (self.path, error))

    def make_room(self):
        os.unlink(self._filler)
