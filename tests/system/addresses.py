"""Addresses of a file as nodes really use them."""

import socket

from netns import skip
from ports import free_port
from weft_support import *


def _free_port():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        skip("no IPv6 on the loopback interface: %s" % error)
    return free_port("::1")


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


def _where_only_six_is_a_host(script):
    """A shell script's output where one host name has an IPv6 address and no other."""
    hosts = file("hosts", "fd00:77::1 only-six\n127.0.0.1 localhost\n")
    begin = "ip link set lo up; ip -6 addr add fd00:77::1/128 dev lo nodad; mount --bind '%s' /etc/hosts; " % hosts
    inside = ["unshare", "--mount", "--net", "sh", "-ec"]
    if subprocess.run(inside + [begin], capture_output=True).returncode != 0:
        skip("namespaces of the network and of mounts, or IPv6 addresses, are not to be had here")
    environment = dict(ENVIRONMENT, PATH=BIN + ":" + ENVIRONMENT["PATH"])
    result = finish(subprocess.Popen(inside + [begin + script], text=True, cwd=WORK, env=environment,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    equal((result.code, result.out), (0, '"a"\n"b"\n"c"\n'), "lines (%s)" % result.err)
    check("unknown" not in result.err, "a known name is called unknown: " + result.err)


def a_host_name_that_has_no_ipv4_address_is_met_by_ipv6():
    _where_only_six_is_a_host("""
        weft-sink --bind "in=tcp://[fd00:77::1]:5960" --with count=3 &
        printf 'a\\nb\\nc\\n' | weft-source --with input=- --connect out=tcp://only-six:5960
        wait""")


def a_publisher_of_such_a_name_is_followed_with_its_data():
    _where_only_six_is_a_host("""
        printf 'a\\nb\\nc\\n' | weft-source --block out=pub --bind "out=tcp://[::]:5960" --with input=- &
        weft-sink --block in=sub --connect in=tcp://only-six:5960 --with count=3
        wait""")


if __name__ == "__main__":
    main(cases_of(globals()))
