"""How the system tests run weft: in a run directory of their own, with deadlines and without sleeping."""

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = os.environ.get("WEFT_SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BIN = os.environ.get("WEFT_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
SLOW = 4 if os.environ.get("WEFT_SANITIZE") else 1
PATIENCE = 45 * SLOW  # seconds; a deadline, not an expectation

WORK = tempfile.mkdtemp(prefix="weft-t-")
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
_STARTED = []
ENVIRONMENT = dict(os.environ, WEFT_RUN_DIR=os.path.join(WORK, "r"))


def program(name):
    return os.path.join(BIN, name)


def topology(name):
    return os.path.join(SOURCE, "topologies", name + ".yaml")


def check(holds, what):
    if not holds:
        raise SystemExit("FAILED: " + what)


def equal(found, expected, what):
    check(found == expected, "%s: expected %r, found %r" % (what, expected, found))


def contains(text, part, what):
    check(part in text, "%s: expected %r in:\n%s" % (what, part, text))


def file(name, text):
    path = os.path.join(WORK, name)
    with open(path, "w" if isinstance(text, str) else "wb") as out:
        out.write(text)
    return path


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        check(self.out.strip(), "no JSON on standard output; standard error:\n" + self.err)
        return json.loads(self.out)

    def lines(self):
        return self.out.splitlines()


def start(*command, **options):
    process = subprocess.Popen([program(command[0])] + [str(word) for word in command[1:]], text=True, cwd=WORK,
                               env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    _STARTED.append(process)
    return process


@atexit.register
def _end_what_was_started():
    """A check that fails behind start() leaves no run behind."""
    for process in _STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()


def finish(process, text=None, patience=PATIENCE):
    try:
        out, err = process.communicate(input=text, timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise SystemExit("FAILED: %s did not end within %d s\n%s\n%s" % (process.args, patience, out, err))
    return Result(process.returncode, out, err)


def run(*command, text=None):
    return finish(start(*command, stdin=subprocess.PIPE), text or "")


def weft(*arguments, text=None):
    return run("weft", *arguments, text=text)


def up(name, *arguments):
    """A run to its end; its report."""
    result = weft("up", topology(name) if "/" not in name else name, "--json", *arguments)
    report = result.json()
    report["code"], report["log"] = result.code, result.err
    return report


def wait_for(condition, what, patience=PATIENCE, pause=0.02):
    """The first true value of condition()."""
    end = time.monotonic() + patience
    never = threading.Event()
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        never.wait(pause)
    raise SystemExit("FAILED: %s did not happen within %d s" % (what, patience))


def live_runs():
    return weft("ps", "--json").json()["runs"]


def state(run_directory):
    try:
        with open(os.path.join(run_directory, "state.json")) as opened:
            return json.load(opened)
    except (OSError, ValueError):
        return None


def node(report, name):
    for one in report["nodes"]:
        if one["name"] == name:
            return one
    raise SystemExit("FAILED: no node %s in %r" % (name, report["nodes"]))


def link(report, start_of):
    for one in report["links"]:
        if one["from"] == start_of:
            return one
    raise SystemExit("FAILED: no link from %s in %r" % (start_of, report["links"]))


class Detached:
    """`weft up --detach`, taken down at the end of the block."""

    def __init__(self, path, *arguments):
        result = weft("up", path, "--detach", *arguments)
        equal(result.code, 0, "exit code of up --detach (%s)" % result.err)
        self.run = result.out.strip()
        self.directory = os.path.join(ENVIRONMENT["WEFT_RUN_DIR"], self.run)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        result = weft("down", self.run)
        if kind is None:
            equal(result.code, 0, "exit code of down (%s)" % result.err)

    def pid(self, name):
        def find():
            found = state(self.directory)
            return found and node(found, name).get("pid")
        return wait_for(find, "the process of " + name)


def main(cases):
    """Runs the case that the command line names, or all of them."""
    wanted = sys.argv[1:] or list(cases)
    for name in wanted:
        cases[name]()
        print("ok: " + name.replace("_", " "))


def cases_of(module):
    return {name: value for name, value in module.items()
            if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == "__main__"}


def interrupt(process):
    process.send_signal(signal.SIGINT)
