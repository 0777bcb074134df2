"""A parameter server and its workers, each started by hand: what one of them does when another one ends or refuses it."""

import re
import signal

from weft_support import *

TRAINING = """
weft: 1
name: by-hand
nodes:
  server:
    run: weft-server
    replicas: 2
    with: {tables: {weights: {optimizer: {name: adagrad}}}}
  worker: {run: weft-worker, with: {slow: 20ms, slow-replica: -1, epochs: 1000}}
links:
  - from: worker.params
    to: server.params
    pattern: dealer-router
    bind: to
    dead-after: 60s
    endpoint: ["ipc://%(work)s/%(name)s-0", "ipc://%(work)s/%(name)s-1"]
limits: {drain: 2s}
"""


class _Training:
    """Two servers and a worker that has pushed something."""

    def __init__(self, name):
        self.address = "%s/%s-" % (WORK, name)
        self.path = file(name + ".yaml", TRAINING % {"work": WORK, "name": name})
        self.servers = [self.node("server", index) for index in range(2)]
        self.log = open(os.path.join(WORK, name + ".log"), "w+")
        self.worker = subprocess.Popen([program("weft"), "run", self.path, "--node", "worker", "--log-level", "debug"],
                                       stderr=self.log, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        wait_for(lambda: "worker/0 is running" in self.said(), "the start of the training")

    def node(self, name, replica=0):
        return start("weft", "run", self.path, "--node", name, "--replica", str(replica))

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def end(self, *others):
        """Ends what is left, in order."""
        for process in others:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in others:
            finish(process)
        self.log.close()


def a_worker_whose_server_stops_ends_with_its_name():
    training = _Training("stops")
    training.servers[1].terminate()
    equal(finish(training.servers[1]).code, 0, "exit code of the server")
    equal(training.worker.wait(PATIENCE), 2, "exit code of the worker")
    contains(training.said(), "server/1 has stopped before this worker was done, and its rows are gone", "its last words")
    training.end(training.servers[0])


def a_worker_that_is_refused_for_good_ends_with_the_reason():
    training = _Training("refused")
    training.servers[1].kill()
    finish(training.servers[1])
    stranger = start("weft-sink", "--node", "server/1", "--scope", "by-hand", "--bind", "in=ipc://%s1" % training.address)
    equal(training.worker.wait(PATIENCE), 2, "exit code of the worker")
    contains(training.said(), "server/1 refuses worker/0 for good: ", "its last words")
    contains(training.said(), "is a pull and needs a push (denied)", "the reason")
    check(training.said().count("joining again") <= 1, "it went on trying: " + training.said())
    training.end(training.servers[0], stranger)


def a_server_whose_workers_are_silent_stops_within_its_limit_and_names_them():
    training = _Training("silent")
    training.worker.send_signal(signal.SIGSTOP)
    training.servers[0].terminate()
    result = finish(training.servers[0])
    equal(result.code, 4, "exit code of the server (%s)" % result.err)
    check(re.search(r"not drained after 2s: .*\(worker/0 (has not ended|is silent)\)", result.err), "whom it names: " + result.err)
    training.worker.kill()
    training.worker.wait(PATIENCE)
    training.end(training.servers[1])


def a_worker_that_was_done_before_says_that_there_was_nothing_to_do():
    address = "ipc://%s/again" % WORK
    text = """weft: 1
name: again
nodes:
  server: {run: weft-server, with: {tables: {weights: {}}}}
  worker: {run: weft-worker, replicas: 2, with: {builtin: {rows: 1000}, epochs: 2}}
links: [{from: worker.params, to: server.params, pattern: dealer-router, bind: to, endpoint: "%s"}]
""" % address
    path = file("again.yaml", text)
    # The server lives on: it waits for worker 0.
    server = start("weft", "run", path, "--node", "server")
    worker = ["weft", "run", path, "--node", "worker", "--replica", "1"]
    first = finish(start(*worker))
    equal(first.code, 0, "exit code of the first start: " + first.err)
    check("nothing to do" not in first.err, "the first start trains: " + first.err)
    again = finish(start(*worker))
    equal(again.code, 0, "exit code of the second start: " + again.err)
    contains(again.err, "there was nothing to do: it joined at clock 10, and all 10 batches of its 500 rows were over", "its log")
    contains(again.err, '"note":"there was nothing to do', "its result")
    contains(again.err, '"resumed":10', "its result")
    server.terminate()
    finish(server)


if __name__ == "__main__":
    main(cases_of(globals()))
