"""weft-fault-proxy as tests use it."""

import json
import subprocess

from weft_support import check, start


class FaultProxy:
    """A proxy before `target`, with faults by name: FaultProxy(target, latency="20ms", reset="2%")."""

    def __init__(self, target, seed=1, **faults):
        words = ["--target", target, "--seed", seed, "--until-end"]
        for name, value in faults.items():
            words += ["--" + name.replace("_", "-"), value]
        self._process = start("weft-fault-proxy", *words, stdin=subprocess.PIPE)
        line = self._process.stdout.readline()
        check(line, "the proxy did not start: " + ("" if line else self._process.stderr.read()))
        self.endpoint = json.loads(line)["endpoint"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._process.stdin.close()
        self._process.stdin = None
        self._process.communicate()

    def __call__(self, do, **arguments):
        """A command; its answer."""
        command = dict({name.replace("_", "-"): value for name, value in arguments.items()}, do=do)
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        check(answer["ok"], "the proxy refused %r: %s" % (command, answer.get("error")))
        return answer

    def counts(self):
        return self("state")["state"]["counts"]
