"""weft sim: links in the simulator."""

from weft_support import *

LINK = """weft: 1
name: simulated
nodes:
  source: {run: no-such-program, replicas: 2}
  sink: {run: no-such-program, replicas: 3}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once}
"""

OTHERS = """weft: 1
name: others
nodes:
  client: {run: no-such-program, replicas: 2}
  server: {run: no-such-program, replicas: 2}
  hub: {run: no-such-program}
  view: {run: no-such-program, replicas: 3}
links:
  - from: client.ask
    to: server.answer
    pattern: dealer-router
    delivery: exactly-once
    journal: {to: "no-such-folder/${node}-${replica}"}
  - {from: hub.out, to: view.in, pattern: pub-sub, delivery: at-least-once, keep: last}
"""


def a_seed_of_the_simulator_can_be_run_again():
    many = weft("sim", "--seeds", "20", "--json")
    once = weft("sim", "--seed", "7", "--json").json()
    again = weft("sim", "--seed", "7", "--json").json()

    equal(many.code, 0, "exit code")
    equal(many.json()["broken"], 0, "broken seeds")
    equal(many.json()["seeds"], 20, "seeds")
    for name in ("events", "processed", "duplicated"):
        equal(once[name], again[name], name)
    kinds = many.json()["kinds"]
    equal(sorted(kinds), ["pub-sub", "push-pull", "requests"], "kinds")
    for kind, counts in kinds.items():
        check(counts["seeds"] >= 6, "%s has %r seeds" % (kind, counts["seeds"]))
        check(counts["processed"] > 0, "%s has processed nothing" % kind)


def seeds_of_one_kind_of_link_are_played_alone():
    several = weft("sim", "--seeds", "3", "--kind", "requests", "--json")
    last = weft("sim", "--seed", "7", "--json").json()
    paused = weft("sim", "--seed", "2", "--kind", "pub-sub", "--pauses", "--records", "3", "--json")
    unknown = weft("sim", "--kind", "request")
    of_a_file = weft("sim", file("simulated.yaml", LINK), "--kind", "requests")

    equal(several.code, 0, "exit code")
    said = several.json()
    equal(said["seeds"], 3, "seeds")
    equal(said["kinds"]["requests"]["seeds"], 3, "seeds of requests: 1, 4 and 7")
    check(said["events"] > last["events"], "%r events, of seed 7 alone %r" % (said["events"], last["events"]))
    equal(paused.json()["kinds"]["pub-sub"]["seeds"], 1, "seeds with pauses")
    equal(unknown.code, 2, "exit code of a kind that there is not")
    contains(unknown.err, "push-pull", "what is said of it")
    equal(of_a_file.code, 2, "exit code of a kind with a file")
    contains(of_a_file.err, "--kind", "what is said of it")


def a_process_is_stopped_at_every_moment_of_a_seed():
    many = weft("sim", "--pauses", "--seeds", "3", "--records", "5", "--json")
    text = weft("sim", "--pauses", "--seed", "2", "--records", "5")
    one = weft("sim", "--seed", "2", "--records", "5", "--pause", "1:4:12s", "--json")
    wrong = weft("sim", "--pause", "1:4")

    equal(many.code, 0, "exit code")
    said = many.json()
    equal(said["broken"], 0, "broken seeds")
    check(said["moments"] > 30, "it was stopped at %r moments" % said["moments"])
    check(said["runs"] > 2 * said["moments"], "%r runs for %r moments" % (said["runs"], said["moments"]))
    check(0 < said["longest_seconds"] < 6, "back after %r s" % said["longest_seconds"])
    contains(text.out, "0 broken", "text")
    equal(one.code, 0, "exit code of one")
    equal(one.json()["broken"], 0, "that one")
    equal(wrong.code, 2, "exit code of a pause without a time")
    contains(wrong.err, "PROCESS:MOMENT:TIME", "what is said of it")


def the_links_of_a_file_are_simulated_without_their_programs():
    path = file("simulated.yaml", LINK)

    result = weft("sim", path, "--workers", "50", "--seed", "3", "--json")
    text = weft("sim", path, "--faults", "none")

    equal(result.code, 0, "exit code")
    link = result.json()["links"][0]
    equal(link["receivers"], 50, "receivers")
    equal(link["senders"], 2, "senders")
    equal(link["problems"], [], "problems")
    equal(link["attempted"], 1000, "attempted")
    check(link["faults"].get("lost message", 0) > 0, "no message was lost: %r" % link["faults"])
    contains(text.out, "source.out>sink.in: at-least-once", "the text")
    for word in ("processed", "virtual time", "wall time", "memory"):
        contains(text.out, word, "the text")


def requests_and_pub_sub_are_simulated_as_well():
    path = file("all.yaml", OTHERS)

    result = weft("sim", path, "--json")
    text = weft("sim", path, "--faults", "none")

    equal(result.code, 0, "exit code")
    asks, follows = result.json()["links"]
    equal(asks["problems"] + follows["problems"], [], "problems")
    equal(asks["asked"], 1000, "asked")
    check(asks["replied"] > 500, "only %r were answered" % asks["replied"])
    equal(follows["published"], 1000, "published")
    check(follows["applied"] > 500, "only %r were applied" % follows["applied"])
    contains(text.out, "client.ask>server.answer: exactly-once", "the text")
    contains(text.out, "hub.out>view.in: at-least-once, keeps last values", "the text")
    for word in ("outcome unknown", "snapshots applied"):
        contains(text.out, word, "the text")


def links_that_are_not_simulated_are_named():
    result = weft("sim", topology("pipeline"))

    equal(result.code, 0, "exit code")
    contains(result.out, "source.out>relay.in: not simulated: best-effort", "the reason")


def wrong_faults_and_options_are_refused_by_name():
    path = file("simulated.yaml", LINK)

    for arguments, words in (
        (["--faults", "lost=1"], "unknown fault 'lost'"),
        (["--faults", "loss=2"], "loss: 2 is not in 0 to 1"),
        (["--workers", "1000000"], "receivers 1000000"),
    ):
        result = weft("sim", path, *arguments)
        equal(result.code, 2, "exit code of %r" % arguments)
        contains(result.err, words, "the reason")
    result = weft("sim", "--workers", "3")
    equal(result.code, 2, "exit code of workers without a file")
    contains(result.err, "need a topology file", "the reason")


if __name__ == "__main__":
    main(cases_of(globals()))
