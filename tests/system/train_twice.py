#!/usr/bin/python3
"""A worker that is started twice by hand: the older one ends at once, with a sentence, not after its `timeout`."""

from weft_support import *

endpoint = "params=ipc://" + os.path.join(WORK, "params")
server = start("weft-server", "--node", "server/0", "--with", 'tables={"weights": {}}', "--with", "workers=1",
               "--bind", endpoint)
worker = ["weft-worker", "--node", "worker/0", "--with", "builtin={\"rows\": 1000}", "--connect", endpoint]
older = start(*worker, "--with", "slow=10ms", "--with", "epochs=100000", "--log-level", "debug")
heard = next((line for line in older.stderr if "peer server/0 up" in line), None)
check(heard, "the older worker meets the server")
newer = finish(start(*worker, "--with", "epochs=1"))
equal(newer.code, 0, "exit code of the newer worker (%s)" % newer.err)
replaced = finish(older)
equal(replaced.code, 1, "exit code of the older worker (%s)" % replaced.err)
contains(replaced.err, "it has been replaced", "its last words")
check("joining again" not in replaced.err, "it does not try what cannot be: " + replaced.err)
server.terminate()
finish(server)
