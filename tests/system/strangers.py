"""A node that is bound where anybody can connect: mute peers, and too few descriptors."""

import resource
import socket

from ports import free_address
from weft_support import *

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


class _Node:
    """A sink started by hand, whose standard error is read as it comes. It takes COUNT records after a first one, which
    shows that it has opened all that it works with: who listens may still be starting."""

    def __init__(self, count):
        self.endpoint = free_address()
        self.process = start("weft-sink", "--bind", "in=" + self.endpoint, "--with", "count=%d" % (count + 1))
        self.log = ""
        threading.Thread(target=self._read, daemon=True).start()
        self.at = ("127.0.0.1", int(self.endpoint.rpartition(":")[2]))
        self._send(1)
        self._hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)[1]

    def _read(self):
        for line in self.process.stderr:
            self.log += line

    def descriptors(self):
        return [int(name) for name in os.listdir("/proc/%d/fd" % self.process.pid)]

    def bound_descriptors(self, most):
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (most, self._hard))

    def wait_for(self, condition, what):
        wait_for(lambda: condition() or self.process.poll() is not None, what)
        check(condition(), "%s; the sink %s and said: %s" % (what, self.process.poll(), self.log))

    def _send(self, count):
        text = "".join("%d\n" % n for n in range(count))
        source = run("weft-source", "--with", "input=-", "--connect", "out=" + self.endpoint, text=text)
        equal(source.code, 0, "exit code of the source (%s)" % source.err)

    def send_the_rest(self, count):
        self._send(count)
        self.process.wait(timeout=PATIENCE)
        equal(len(self.process.stdout.read().splitlines()), 1 + count, "records (%s)" % self.log)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _ended(connection):
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def a_node_without_descriptors_says_so_and_takes_peers_again():
    node = _Node(20)
    try:
        most = max(node.descriptors()) + 3
        node.bound_descriptors(most)
        connections = [socket.create_connection(node.at) for _ in range(60)]
        node.wait_for(lambda: "cannot take connections at " + node.endpoint in node.log, "a line of the log")
        contains(node.log, "all %d descriptors" % most, "the log")
        contains(node.log, "ulimit -n", "the log")
        node.wait_for(lambda: sum(map(_ended, connections)) >= 20, "connections that are turned away")
        node.bound_descriptors(most + 100)
        node.wait_for(lambda: "takes connections at %s again" % node.endpoint in node.log, "another line of the log")
        node.send_the_rest(20)
    finally:
        node.end()


def mute_peers_do_not_keep_others_out():
    node = _Node(20)
    try:
        node.bound_descriptors(max(node.descriptors()) + 30)
        mute = []
        for _ in range(100):
            connection = socket.create_connection(node.at)
            connection.sendall(GREETING + READY)
            mute.append(connection)
        node.send_the_rest(20)
    finally:
        node.end()


if __name__ == "__main__":
    main(cases_of(globals()))
