"""Ports for files that have to name one, each for this process alone while it lives."""

import random
import socket

# Below what the system hands out by itself (net.ipv4.ip_local_port_range): nobody who connects or binds to a wildcard
# gets one between our look at it and its use.
_LOWEST, _HIGHEST = 10000, 32000
_claims = []  # held until the process ends


def _claim(port):
    """Keeps other test programs of this machine from it, also while nothing is bound to it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind("\0weft-test-port-%d" % port)
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((host, port))
            return True
        except OSError:
            return False


def free_port(host="127.0.0.1"):
    for port in random.sample(range(_LOWEST, _HIGHEST), 200):
        if _claim(port) and _is_free(host, port):
            return port
    raise RuntimeError("none of 200 ports from %d to %d is free at %s" % (_LOWEST, _HIGHEST, host))


def free_address():
    return "tcp://127.0.0.1:%d" % free_port()
