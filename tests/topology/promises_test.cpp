// What links promise: which keys fit which patterns, the links of dead letters, and who opens which journal.
#include <doctest/doctest.h>

#include <weft/core/json.hpp>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;

namespace {

const std::string kThree =
    "weft: 1\nname: t\nnodes:\n  a: {run: x, replicas: 2}\n  b: {run: x}\n  c: {run: x}\nlinks:\n";

std::string push_pull(const std::string& keys) {
  return problem_of(two_nodes(", pattern: push-pull, " + keys));
}

}  // namespace

TEST_CASE("the keys of acknowledged delivery reach the plan") {
  const Plan plan = plan_of(two_nodes(
      ", pattern: push-pull, delivery: at-least-once, priority: 9, ttl: 5s, delay: 20ms, max-attempts: 3, "
      "capacity: {bytes: 2MiB, records: 77}, journal: {from: out.j}"));

  const LinkPlan& link = plan.links.at(0);
  CHECK(link.delivery == Delivery::at_least_once);
  CHECK(link.priority == 9);
  CHECK(link.ttl == std::chrono::seconds(5));
  CHECK(link.delay == std::chrono::milliseconds(20));
  CHECK(link.max_attempts == 3);
  CHECK(link.capacity_bytes == 2ULL << 20);
  CHECK(link.capacity_records == 77);
  CHECK(end_of(plan, "a/0", "out").journal == "out.j");
  CHECK(end_of(plan, "b/0", "in").journal.empty());
}

TEST_CASE("the sizes of a journal reach the plan, agree where it is shared, and have room for the capacity") {
  const std::string sized =
      "delivery: at-least-once, capacity: 2MiB, journal: {from: j, segment: 1MiB, max: 8MiB}";
  const LinkPlan link = plan_of(two_nodes(", pattern: push-pull, " + sized)).links.at(0);
  CHECK(link.journal_segment == 1ULL << 20);
  CHECK(link.journal_max == 8ULL << 20);
  CHECK(node_plan_from_value(to_value(plan_of(two_nodes(", pattern: push-pull, " + sized)).nodes.at(0)))
            .links.at(0)
            .journal_max == 8ULL << 20);
  const std::string start = "delivery: at-least-once, journal: {from: j, ";
  CHECK(push_pull(start + "max: 8MiB}").find("needs 132MiB") != std::string::npos);
  CHECK(push_pull(start + "segment: 1GiB}") == "");
  CHECK(push_pull(start + "segment: 2GiB}") != "");
  CHECK(push_pull(start + "segment: 64MiB, max: 132MiB}").find("make the segment at most 33MiB") !=
        std::string::npos);
  CHECK(push_pull("delivery: at-least-once, journal: {max: 8MiB}").find("whose journal it is") !=
        std::string::npos);
  CHECK(problem_of(
            kThree +
            "  - {from: a.o, to: b.i, pattern: push-pull, delivery: exactly-once, journal: {to: j}}\n" +
            "  - {from: b.o, to: c.i, pattern: push-pull, delivery: at-least-once, journal: {from: j, max: "
            "1GiB}}\n")
            .find("shares it at node b") != std::string::npos);
  // One log for all subscribers of a publisher.
  CHECK(problem_of(
            kThree +
            "  - {from: c.o, to: b.i, pattern: pub-sub, delivery: at-least-once, retain: 4MiB, journal: "
            "{from: j, "
            "max: 12MiB}}\n  - {from: c.o, to: a.i, pattern: pub-sub, delivery: at-least-once, retain: 4MiB, "
            "journal: {from: j, max: 12MiB}}\n") == "");
}

TEST_CASE("a publisher says what it retains, and each subscriber where it begins") {
  const std::string log = ", pattern: pub-sub, delivery: at-least-once, journal: {from: j}, retain: 3MiB";
  const Plan plan = plan_of(two_nodes(log + ", replay: 120"));

  CHECK(plan.links.at(0).retain_bytes == 3ULL << 20);
  CHECK(plan.links.at(0).replay == From::sequence);
  CHECK(plan.links.at(0).replay_sequence == 120);
  CHECK(plan_of(two_nodes(log + ", replay: earliest")).links.at(0).replay == From::earliest);
  CHECK(plan_of(two_nodes(log)).links.at(0).replay == From::latest);
  CHECK(problem_of(two_nodes(", pattern: pub-sub, delivery: at-least-once, replay: latest")) == "");
}

TEST_CASE("exactly-once needs the receiver's journal, and is not needed for pub-sub") {
  CHECK(
      push_pull("delivery: exactly-once") ==
      "7:59: links[0].delivery is exactly-once, which needs a journal at the receiving end, where marks and "
      "results are committed together; add journal: {to: path}");
  CHECK(push_pull("delivery: exactly-once, journal: {from: j}").find("add journal: {to: path}") !=
        std::string::npos);
  CHECK(push_pull("delivery: exactly-once, journal: {to: j}") == "");
  CHECK(problem_of(two_nodes(", pattern: dealer-router, delivery: exactly-once")).find("add journal: {to") !=
        std::string::npos);
  CHECK(problem_of(two_nodes(", pattern: pub-sub, delivery: exactly-once")) ==
        "7:57: links[0].delivery does not fit here: with pub-sub, at-least-once already applies every update "
        "once "
        "and in order, since duplicates are dropped; set delivery: at-least-once");
}

TEST_CASE("best-effort and native links refuse what needs acknowledgements") {
  for (const std::string key : {"journal: {from: j}", "priority: 3", "ttl: 1s", "delay: 1s",
                                "max-attempts: 3", "dead-letter: b.dead", "capacity: {records: 9}"}) {
    CAPTURE(key);
    CHECK(push_pull(key).find("and this link is best-effort; set delivery: at-least-once") !=
          std::string::npos);
    CHECK(push_pull("delivery: best-effort, " + key).find("set delivery: at-least-once") !=
          std::string::npos);
    CHECK(push_pull("wire: native, " + key).find("plain sockets, which acknowledge nothing") !=
          std::string::npos);
  }
  CHECK(push_pull("wire: native, delivery: at-least-once").find("leave out wire") != std::string::npos);
}

TEST_CASE("each key is refused once, with the reason of its pattern") {
  const auto refused = [](const std::string& keys, const std::string& reason) {
    CAPTURE(keys);
    const auto problems = problems_of(two_nodes(", pattern: " + keys));
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find(reason) != std::string::npos);
  };
  refused("pub-sub, priority: 3", "leave in their order");
  refused("pub-sub, delivery: at-least-once, ttl: 3s", "retain bounds what is kept");
  refused("pub-sub, delivery: at-least-once, dead-letter: b.dead", "no receiver is tried");
  refused("pub-sub, delivery: at-least-once, journal: {to: j}", "the publisher keeps the log");
  refused("pub-sub, delivery: at-least-once, capacity: {records: 3}", "give the bytes");
  refused("pub-sub, delivery: at-least-once, replay: earliest", "add journal: {from: path}");
  refused("pub-sub, retain: 1MiB", "this link is best-effort");
  refused("dealer-router, ttl: 3s", "a deadline of its own");
  refused("dealer-router, delivery: at-least-once, journal: {from: j}", "ends with its asker");
  refused("dealer-router, journal: {from: j}", "ends with its asker");
  refused("dealer-router, delivery: at-least-once, dead-letter: b.dead", "ends in a reply or an error");
  refused("push-pull, delivery: at-least-once, replay: latest", "the pattern must be pub-sub");
  refused("push-pull, delivery: sometimes, ttl: 1s", "must be \"best-effort\"");
}

TEST_CASE("a mistake in one link does not hide those of the next") {
  const auto problems =
      problems_of(two_nodes(", pattern: push-pull, ttl: 1s") +
                  "  - {from: a.more, to: b.more, pattern: pub-sub, delivery: exactly-once}\n"
                  "  - {from: a.ask, to: b.answer, pattern: dealer-router, priority: 1}\n");

  REQUIRE(problems.size() == 3);
}

TEST_CASE("batches and prefetch reach the plan, and the plan of a node gives them back") {
  const Plan plan = plan_of(two_nodes(
      ", pattern: push-pull, batch: {records: 100, bytes: 32KiB, linger: 3ms}, prefetch: {records: 1}"));
  const NodePlan node = node_plan_from_value(to_value(plan.nodes.at(0)));
  const LinkPlan& link = node.links.at(0);
  CHECK(link.batch_records == 100);
  CHECK(link.batch_bytes == 32ULL << 10);
  CHECK(link.linger == std::chrono::milliseconds(3));
  CHECK(link.prefetch_records == 1);
  CHECK(link.prefetch_bytes == 4ULL << 20);
}

TEST_CASE("keys are held to their types and bounds") {
  const auto expects = [](const std::string& keys, const std::string& part) {
    CAPTURE(keys);
    CHECK(push_pull("delivery: at-least-once, " + keys).find(part) != std::string::npos);
  };
  expects("priority: 10", "must be a whole number from 0 to 9, found the number 10");
  expects("ttl: 5", "did you mean \"5s\"?");
  expects("ttl: 0s", "must be from 1ms to 8760h");
  expects("ttl: 5s, delay: 5s", "a record may not leave before 5s (delay): all of them would expire");
  expects("max-attempts: many", "must be a whole number from 1 to 1000000");
  expects("dead-letter: morgue", "a node and its port with a dot between");
  expects("journal: here", "must say whose journal it is: {from: path}, {to: path} or both");
  expects("journal: {form: here}", "did you mean \"from\"?");
  expects("journal: {from: ''}", "must be a path of 1 to 1024 bytes, found nothing");
  expects("capacity: {records: 0}", "links[0].capacity.records must be a whole number from 1");
  expects("capacity: {bytes: 10}", "links[0].capacity.bytes must be a size with its unit");
  expects("prefetch: {records: 0}", "links[0].prefetch.records must be a whole number from 1");
  expects("prefetch: {batches: 1}", "links[0].prefetch");
  expects("batch: {records: 2000000}", "links[0].batch.records must be a whole number from 1 to 1048576");
  expects("batch: {bytes: 1B}", "links[0].batch.bytes");
  expects("batch: 64KiB", "links[0].batch must be a map with records, bytes or linger");
}

TEST_CASE("a dead letter makes a link of its own, which everything shows") {
  const Plan plan =
      plan_of(kThree +
              "  - {from: a.out, to: b.in, pattern: push-pull, delivery: exactly-once, journal: {from: "
              "x, to: y}, dead-letter: c.in, dead-after: 3s}\n");

  REQUIRE(plan.links.size() == 2);
  const LinkPlan& letters = plan.links[1];
  CHECK(plan.links[0].dead_letter == "c.in");
  CHECK(letters.id == "a.out-dead>c.in");
  CHECK(letters.dead_letters_of == "a.out>b.in");
  CHECK(letters.pattern == Pattern::push_pull);
  CHECK(letters.delivery == Delivery::at_least_once);
  CHECK(letters.dead_letter.empty());
  CHECK(letters.from_replicas == 2);
  CHECK(letters.dead_after == std::chrono::seconds(3));
  CHECK(end_of(plan, "a/1", "out-dead").journal == end_of(plan, "a/1", "out").journal);
  CHECK(end_of(plan, "c/0", "in").peers.size() == 2);
  CHECK(draw(plan, GraphFormat::ascii).find("dead letters of a.out") != std::string::npos);
  CHECK(draw(plan, GraphFormat::mermaid).find("exactly-once, journal at both ends, dead letters to c.in") !=
        std::string::npos);
}

TEST_CASE("dead letters of two links may meet at one port that others use") {
  CHECK(problem_of(
            kThree +
            "  - {from: a.o, to: b.i, pattern: push-pull, delivery: at-least-once, dead-letter: c.in}\n"
            "  - {from: b.o, to: a.i, pattern: pub-sub}\n"
            "  - {from: b.p, to: c.more, pattern: push-pull, delivery: at-least-once, dead-letter: c.in}\n"
            "  - {from: a.direct, to: c.in, pattern: push-pull, delivery: at-least-once, journal: {to: "
            "j}}\n") == "");
}

TEST_CASE("dead letters that lead nowhere good are refused") {
  const auto problem = [](const std::string& letters, const std::string& more = "") {
    return problem_of(
        kThree + "  - {from: a.out, to: b.in, pattern: push-pull, delivery: at-least-once, dead-letter: " +
        letters + "}\n  - {from: b.x, to: c.x, pattern: pub-sub}\n" + more);
  };
  CHECK(problem("d.in").find("\"d.in\" leads to nowhere: there is no node \"d\"") != std::string::npos);
  CHECK(problem("b.in").find("is an end of this very link") != std::string::npos);
  CHECK(problem("a.out").find("is an end of this very link") != std::string::npos);
  CHECK(problem("a.lost").find("would get its own dead letters") != std::string::npos);
  CHECK(problem("c.x").find("a port opens one block") != std::string::npos);
  CHECK(problem("c.in",
                "  - {from: c.out, to: b.in, pattern: push-pull, delivery: at-least-once, dead-letter: "
                "a.in}\n")
            .find("would come back to it") != std::string::npos);
  CHECK(problem("c.in", "  - {from: b.out, to: c.in, pattern: push-pull}\n")
            .find("dead letters come to \"c.in\" with at-least-once, and it is best-effort on line 10") !=
        std::string::npos);
  CHECK(problem("c.in", "  - {from: a.out-dead, to: b.y, pattern: push-pull}\n")
            .find("the push port \"a.out-dead\" has a link") != std::string::npos);
}

TEST_CASE("a program that takes one type of record takes no dead letters") {
  LoadOptions options;
  options.describe = [](const std::string& program, const std::string&) -> std::optional<ProgramDescription> {
    ProgramDescription about;
    about.program = program;
    about.ports = {{"out", BlockKind::push, "Update", 0, false, ""},
                   {"in", BlockKind::pull, "Update", 0, false, ""},
                   {"dead", BlockKind::pull, "any", 0, true, "what could not be processed"},
                   {"news", BlockKind::sub, "any", 0, false, ""}};
    return about;
  };
  const auto problem = [&](const std::string& letters) {
    return problem_of(
        "weft: 1\nname: t\nnodes: {a: {run: x}, b: {run: x}, c: {run: x}}\nlinks:\n"
        "  - {from: a.out, to: b.in, pattern: push-pull, delivery: at-least-once, dead-letter: c." +
            letters + "}\n",
        options);
  };

  // The ports `dead` of a and b are missing: one that only gets dead letters is linked.
  CHECK(problems_of(
            "weft: 1\nname: t\nnodes: {a: {run: x}, b: {run: x}, c: {run: x}}\nlinks:\n"
            "  - {from: a.out, to: b.in, pattern: push-pull, delivery: at-least-once, dead-letter: c.dead}\n",
            options)
            .size() == 2);
  CHECK(problem("in").find("dead letters are maps that hold the record and why it died, and \"c.in\" of "
                           "\"x\" takes \"Update\"") != std::string::npos);
  CHECK(problem("news").find("opens a sub, but at this end of a push-pull link stands a pull") !=
        std::string::npos);
  CHECK(problem("lost").find("has no port \"lost\"") != std::string::npos);
}

TEST_CASE("links that share a port promise the same there") {
  const auto problem = [](const std::string& first, const std::string& second) {
    return problem_of(two_nodes(", pattern: push-pull, " + first) +
                      "  - {from: a.more, to: b.in, pattern: push-pull, " + second + "}\n");
  };
  CHECK(problem("delivery: at-least-once", "delivery: best-effort") ==
        "8:24: the port \"b.in\" has delivery best-effort here and at-least-once on line 7; a port promises "
        "one "
        "thing to all its links, so make them alike, or use two ports");
  CHECK(problem("delivery: at-least-once, journal: {to: x}", "delivery: at-least-once")
            .find("has the journal none here and \"x\" on line 7") != std::string::npos);
  CHECK(problem("delivery: at-least-once, journal: {from: x}", "delivery: at-least-once") == "");
}

TEST_CASE("each replica has a journal of its own") {
  const auto journals = [](const std::string& path, unsigned replicas) {
    const Plan plan =
        plan_of(two_nodes(", pattern: push-pull, delivery: at-least-once, journal: {from: \"" + path + "\"}",
                          ", replicas: " + std::to_string(replicas)));
    return plan.nodes[0].ends[0].journal + " " + plan.nodes[replicas - 1].ends[0].journal;
  };
  CHECK(journals("out.j", 1) == "out.j out.j");
  CHECK(journals("out.j", 3) == "out.j-a-0 out.j-a-2");
  CHECK(journals("dir/", 3) == "dir-a-0 dir-a-2");
  CHECK(journals("j/${node}/${replica}", 3) == "j/a/0 j/a/2");
  CHECK(journals("${replica}", 2) == "0 1");
  CHECK(journals("${node}", 1) == "a a");
}

TEST_CASE("no two processes open one journal, two ports of one process may") {
  const auto problem = [](const std::string& first, const std::string& second, const std::string& node = "") {
    return problem_of(
        two_nodes(", pattern: push-pull, delivery: at-least-once, journal: " + first, node) +
        "  - {from: b.out, to: a.in, pattern: pub-sub, delivery: at-least-once, journal: " + second + "}\n");
  };
  CHECK(problem("{from: j}", "{from: ./x/../j}") ==
        "8:88: the journal \"j\" would be opened by two processes, a/0 and b/0; one process owns a journal, "
        "so put "
        "${node} and ${replica} into the path, or use two paths");
  CHECK(problem("{from: \"j-${replica}\"}", "{from: j-1}", ", replicas: 2").find("a/1 and b/0") !=
        std::string::npos);
  CHECK(problem("{from: \"${replica}/../j\"}", "{from: x}", ", replicas: 2").find("a/0 and a/1") !=
        std::string::npos);
  CHECK(problem("{from: \"${node}.j\"}", "{from: \"${node}.j\"}") == "");
  CHECK(problem("{to: j}", "{from: j}") == "");
  CHECK(problem("{from: j/}", "{from: j}").find("opened by two processes") != std::string::npos);
}

TEST_CASE("only journals know the names of the process") {
  CHECK(problem_of(two_nodes(", pattern: push-pull, endpoint: \"ipc:///x/${replica}\""))
            .find("names no param") != std::string::npos);
  CHECK(push_pull("delivery: at-least-once, journal: {from: \"${nod}\"}").find("names no param") !=
        std::string::npos);
}

TEST_CASE("a plan with promises reads back from its JSON as it was") {
  const Plan plan = plan_of(
      kThree +
      "  - {from: a.out, to: b.in, pattern: push-pull, delivery: exactly-once, journal: {from: x, to: y}, "
      "dead-letter: c.in, ttl: 3s, delay: 1ms, priority: 0, max-attempts: 9, capacity: {records: "
      "500000000}}\n"
      "  - {from: b.x, to: c.x, pattern: pub-sub, delivery: at-least-once, journal: {from: y}, replay: 12, "
      "retain: "
      "0B}\n");

  for (const NodePlan& node : plan.nodes) {
    const NodePlan back = node_plan_from_value(parse_json(to_json(to_value(node))));
    CHECK(to_json(to_value(back)) == to_json(to_value(node)));
  }
}
