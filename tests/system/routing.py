"""Who gets a record: keys, names, topics, and requests through a relay."""

from weft_support import *


def _lines(name):
    with open(os.path.join(WORK, name)) as opened:
        return [json.loads(line) for line in opened]


def one_key_goes_to_one_receiver():
    report = up(file("hash.yaml", """weft: 1
name: hash
nodes:
  source: {run: weft-source, with: {count: 3000, key-field: key, generator: {kind: random, keys: 40}}}
  sink: {run: weft-relay, replicas: 3}
  all: {run: weft-sink, with: {output: %s/hash.jsonl, with-origin: true}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, distribute: hash}
  - {from: sink.out, to: all.in, pattern: push-pull}
""" % WORK))
    equal((report["code"], report["ok"]), (0, True), "the run")
    owners = {}
    for line in _lines("hash.jsonl"):
        owners.setdefault(line["record"]["key"], set()).add(line["from"])
    equal(len(owners), 40, "keys")
    equal({len(names) for names in owners.values()}, {1}, "receivers of a key")
    equal(len(set.union(*owners.values())), 3, "receivers that got something")


def a_record_can_name_its_receiver():
    path = file("named.jsonl", "".join('{"to": "sink/%d", "n": %d}\n' % (n % 3, n) for n in range(300)))
    report = up(file("named.yaml", """weft: 1
name: named
nodes:
  source: {run: weft-source, with: {input: %s, format: json, to-field: to}}
  sink: {run: weft-sink, replicas: 3, with: {quiet: true}}
links: [{from: source.out, to: sink.in, pattern: push-pull, distribute: explicit}]
""" % path))
    equal((report["code"], report["ok"]), (0, True), "the run")
    equal([report["result"]["sink/%d" % i]["received"] for i in range(3)], [100, 100, 100], "records")


def a_record_that_names_nobody_fails_the_run():
    path = file("nobody.jsonl", '{"to": "sink/0"}\n{"n": 1}\n')
    report = up(file("nobody.yaml", """weft: 1
name: nobody
nodes:
  source: {run: weft-source, with: {input: %s, format: json, to-field: to}}
  sink: {run: weft-sink, with: {quiet: true}}
links: [{from: source.out, to: sink.in, pattern: push-pull, distribute: explicit}]
""" % path))
    equal((report["code"], report["ok"]), (1, False), "the run")
    contains(report["log"], "1 records lack the field", "the log")


def a_relay_keeps_topics():
    path = file("orders.jsonl", "".join('{"region": "%s", "n": %d}\n' % ("eu" if n % 2 else "us", n) for n in range(200)))
    report = up(file("topics.yaml", """weft: 1
name: topics
nodes:
  source: {run: weft-source, with: {input: %s, format: json, topic: "orders/{region}"}}
  relay: {run: weft-relay}
  sink: {run: weft-sink, with: {quiet: true, topics: [orders/eu]}}
links:
  - {from: source.out, to: relay.in, pattern: pub-sub}
  - {from: relay.out, to: sink.in, pattern: pub-sub}
""" % path))
    equal((report["code"], report["ok"]), (0, True), "the run")
    equal((report["result"]["relay/0"]["relayed"], report["result"]["sink/0"]["received"]), (200, 100), "records")


def requests_and_errors_pass_through_a_relay():
    script = file("odd.py", "import json, sys\n"
                            "for line in sys.stdin:\n"
                            "    n = json.loads(line)['n']\n"
                            "    print(json.dumps({'n': n} if n % 2 else {'error': 'even'}))\n")
    report = up(file("proxy.yaml", """weft: 1
name: proxy
nodes:
  asker: {run: weft-source, with: {count: 100, generator: {kind: counter}}}
  proxy: {run: weft-relay}
  answers: {run: weft-exec, with: {command: [python3, -u, %s]}}
  gather: {run: weft-sink, with: {output: %s/odd.jsonl}}
links:
  - {from: asker.out, to: proxy.in, pattern: dealer-router}
  - {from: proxy.out, to: answers.in, pattern: dealer-router}
  - {from: asker.replies, to: gather.in, pattern: push-pull}
""" % (script, WORK)))
    asker = report["result"]["asker/0"]
    equal((report["code"], asker["answered"], asker["failed"]), (1, 50, 50), "the run")
    contains(report["log"], "said: even", "the log")
    equal(sorted(line["n"] for line in _lines("odd.jsonl")), list(range(1, 100, 2)), "replies")


if __name__ == "__main__":
    main(cases_of(globals()))
