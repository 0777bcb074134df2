"""How the training tests start a run and look at its report."""

import json
import os
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("WEFT_SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BIN = os.environ.get("WEFT_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
DATA = os.environ.get("WEFT_DATA_DIR", os.path.join(SOURCE, "..", "shared", "data"))
PATIENCE = 300.0 if os.environ.get("WEFT_SANITIZE") else 60.0  # seconds; a deadline, not an expectation


def data_file(name):
    path = os.path.join(DATA, name)
    if not os.path.exists(path):
        print("skipped: there is no %s; set WEFT_DATA_DIR to the folder of the data" % path)
        sys.exit(77)
    return path


def check(holds, what):
    if not holds:
        raise SystemExit("FAILED: " + what)


class Run:
    """One `weft up TOPOLOGY --json` with --set options, in a run directory of its own."""

    def __init__(self, topology, settings):
        self.base = tempfile.mkdtemp(prefix="weft-train-")
        command = [os.path.join(BIN, "weft"), "up", os.path.join(SOURCE, "topologies", topology + ".yaml")]
        command += ["--json", "--run-dir", self.base]
        for key, value in settings.items():
            command += ["--set", "%s=%s" % (key, value)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        """(exit code, report). The report is None when there is none."""
        try:
            out, self.errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            out, self.errors = self.process.communicate(timeout=30)
            raise SystemExit("FAILED: the run did not end within %g s\n%s" % (PATIENCE, self.errors))
        sys.stderr.write(self.errors)
        return self.process.returncode, json.loads(out) if out.strip() else None

    def state(self):
        """What the launcher says of the run now, or None."""
        for name in os.listdir(self.base):
            try:
                with open(os.path.join(self.base, name, "state.json")) as file:
                    return json.load(file)
            except (OSError, ValueError):
                continue
        return None

    def wait_for_node(self, name, holds):
        """Looks until holds(node) is true for the node's state; the state is written about once a second."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            for node in (self.state() or {}).get("nodes", []):
                if node["name"] == name and holds(node):
                    return node
            try:
                self.process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                pass
        self.process.terminate()
        raise SystemExit("FAILED: %s never came to the state that was waited for\n%s" % (name, self.process.communicate()[1]))


def train(topology, **settings):
    """A run that must succeed: its report."""
    code, report = Run(topology, settings).end()
    check(report is not None, "no report, exit code %d" % code)
    check(code == 0 and report["ok"], "exit code %d: %s" % (code, report.get("reason")))
    for link in report["links"]:
        check(link["sent"] == link["received"] and link["dropped"] == 0, "requests were lost: %s" % link)
    return report


def results(report, node):
    """The results of all replicas of a node, by index."""
    found = sorted((name, value) for name, value in report["result"].items() if name.startswith(node + "/"))
    return [value for _, value in found]
