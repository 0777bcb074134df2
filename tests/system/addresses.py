"""Addresses of a file as nodes really use them."""

import socket

from netns import skip
from weft_support import *


def _free_port():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return probe.getsockname()[1]
    except OSError as error:
        skip("no IPv6 on the loopback interface: %s" % error)


def _run(name, link, rest=""):
    path = file(name + ".yaml", """
weft: 1
name: %s
nodes:
  source: {run: weft-source, with: {count: 200, generator: {kind: counter}}}
  sink: {run: weft-sink, lifetime: finite, with: {quiet: true, check-field: n, count: 200}}
links:
  - {from: source.out, to: sink.in, %s}
%s""" % (name, link, rest))
    equal(weft("check", path).code, 0, "exit code of check")
    report = up(path)
    check(report["ok"], "the run: %s" % report["log"])
    equal(report["result"]["sink/0"]["distinct"], 200, "records")


def an_ipv6_address_of_a_file_joins_its_nodes():
    _run("six", 'pattern: push-pull, endpoint: "tcp://[::1]:%d"' % _free_port())
    _run("wire", 'pattern: push-pull, wire: native, endpoint: "tcp://[::1]:%d"' % _free_port())
    _run("ask", 'pattern: dealer-router, transport: tcp, endpoint: "tcp://[::1]:%d"' % _free_port())


def an_ipv6_host_of_a_file_takes_a_publisher_with_its_data():
    _run("hosts", "pattern: pub-sub, transport: tcp", 'hosts: {source: "[::1]:%d"}\n' % _free_port())


if __name__ == "__main__":
    main(cases_of(globals()))
