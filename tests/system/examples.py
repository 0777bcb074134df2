"""Each example of apps/examples with its partner, and node programs started by hand."""

from weft_support import *

NUMBER = iter(range(100))


def _endpoint():
    return "ipc://%s/e%d" % (WORK, next(NUMBER))


def _pair(server, client):
    """Both, started together: the order must not matter."""
    first, second = start(*server), start(*client)
    results = finish(second), finish(first)
    for result, command in zip(results, (client, server)):
        equal(result.code, 0, "exit code of %s (%s%s)" % (command[0], result.out, result.err))
    return results[1].out, results[0].out


def typed_records_with_and_without_a_handler():
    at = _endpoint()
    equal(_pair(["examples/pull_handler", at, 100], ["examples/push_typed", at, 100])[0], "received 100, mean 20.5\n",
          "pull_handler")


def raw_records_by_asking_and_by_room():
    at = _endpoint()
    received, sent = _pair(["examples/pull_receive", at, 5000], ["examples/push_room", at, 5000])
    equal((received, sent), ("first: a line of text\nreceived 5000\n", "sent 5000\n"), "lines")


def published_records_with_a_handler():
    at = _endpoint()
    equal(_pair(["examples/pub", at, 10], ["examples/sub_handler", at, "orders/eu"])[1], "received 5, gaps 0\n",
          "sub_handler")


def published_records_by_asking():
    at = _endpoint()
    lines = _pair(["examples/pub", at, 10], ["examples/sub_receive", at, "orders", 3])[1].splitlines()
    equal([line.split()[1:] for line in lines], [["0", "tea"], ["2", "tea"], ["4", "tea"]], "sub_receive")


def requests_with_handlers_and_an_error():
    at = _endpoint()
    equal(_pair(["examples/router_handler", at], ["examples/dealer_many", at, 10])[1], "answered 9, refused 1\n",
          "dealer_many")


def requests_by_asking():
    at = _endpoint()
    equal(_pair(["examples/router_next", at, 2], ["examples/dealer_ask", at, 2])[1],
          "echo question 0\necho question 1\n", "dealer_ask")


def tensors_arrive_as_views():
    at = _endpoint()
    equal(_pair(["examples/tensor_pull", at, 3], ["examples/tensor_push", at, 3])[0], "received 3, sum 196608\n",
          "tensor_pull")


def a_node_program_in_a_topology():
    path = file("double.yaml", """weft: 1
name: double
nodes:
  source: {run: weft-source, with: {count: 100, generator: {kind: template, template: ["{n}"]}}}
  double: {run: %s, with: {factor: 3}}
  sink: {run: weft-sink, with: {output: %s/doubled.jsonl}}
links:
  - {from: source.out, to: double.in, pattern: push-pull}
  - {from: double.out, to: sink.in, pattern: push-pull}
""" % (program("examples/node_doubler"), WORK))
    report = up(path)
    equal((report["code"], report["ok"]), (0, True), "the run")
    with open(WORK + "/doubled.jsonl") as opened:
        equal([json.loads(line) for line in opened], [[3 * n] for n in range(100)], "numbers")


def programs_run_by_hand():
    at = _endpoint()
    sink = start("weft-sink", "--bind", "in=" + at, "--with", "count=3")
    source = run("weft-source", "--with", "input=-", "--connect", "out=" + at, text="a\nb\nc\n")
    equal((source.code, finish(sink).out), (0, '"a"\n"b"\n"c"\n'), "lines (%s)" % source.err)


def a_wrong_command_line_is_one_sentence():
    for arguments, sentence in (
            (["--with", "rate=fast", "--connect", "out=ipc:///x"], "weft-source: rate: expected a number"),
            (["--with", "rat=1", "--connect", "out=ipc:///x"], 'did you mean "rate"?'),
            (["--connect", "oud=ipc:///x"], 'there is no port "oud"'),
            ([], 'its port "out" needs a peer'),
            (["--spec", "/absent"], "cannot read the spec file /absent"),
            (["--nonsense"], "see weft-source --help")):
        result = run("weft-source", *arguments)
        equal(result.code, 2, "exit code of %r (%s)" % (arguments, result.err))
        contains(result.err, sentence, "the sentence")
        equal(result.err.count("\n"), 1, "lines of %r" % result.err)


if __name__ == "__main__":
    main(cases_of(globals()))
