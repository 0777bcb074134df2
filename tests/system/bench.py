"""weft bench: every benchmark with small counts. What is measured here is not judged."""

import math
import xml.etree.ElementTree

from weft_support import *

KEYS = {"case", "size", "transport", "unit", "weft", "libzmq", "ratio", "runs", "spread"}


def _positive(value, what):
    check(isinstance(value, (int, float)) and math.isfinite(value) and value > 0, "%s is %r" % (what, value))


def _sound(report, case, transport, runs=1):
    check(KEYS <= set(report), "keys are missing in %r" % report)
    equal((report["case"], report["transport"], report["runs"]), (case, transport, runs), "the case")
    for key in ("weft", "libzmq", "ratio"):
        _positive(report[key], key)
    for key, value in report.items():
        if key.startswith("ratio"):
            _positive(value, key)
        if key.startswith("spread"):
            equal(len(value), 2, "values of " + key)
            check(0 < value[0] <= value[1] < math.inf, "%s is %r" % (key, value))


def _bench(*arguments):
    """The reports of a benchmark of one round, unless the arguments say otherwise."""
    rounds = () if "--runs" in arguments else ("--runs", "1")
    process = start("weft", "bench", *arguments, "--json", *rounds, stdin=subprocess.DEVNULL)
    result = finish(process, patience=100 * SLOW)
    equal(result.code, 0, "exit code of bench %r (%s)" % (arguments, result.err))
    return [json.loads(line) for line in result.lines()]


def _one(*arguments):
    reports = _bench(*arguments)
    equal(len(reports), 1, "reports")
    return reports[0]


def _nothing_left():
    equal([name for name in os.listdir(WORK) if name.startswith("weft-")], [], "what is left in the folder of journals")


def throughput_is_measured_over_every_transport():
    for transport in ("tcp", "ipc", "inproc", "shm"):
        report = _one("throughput", "--transport", transport, "--count", "3000", "--runs", "2")
        _sound(report, "throughput", transport, runs=2)
        equal((report["size"], report["unit"]), (100, "records/s"), "what was measured")
    _sound(_one("throughput", "--size", "1MiB", "--count", "20"), "throughput", "tcp")
    _sound(_one("throughput", "--size", "13", "--count", "2000"), "throughput", "tcp")


def throughput_is_measured_under_every_delivery_and_typed():
    for delivery in ("at-least-once", "exactly-once"):
        report = _one("throughput", "--delivery", delivery, "--transport", "ipc", "--count", "3000", "--dir", WORK)
        _sound(report, "throughput", "ipc")
        equal(report["delivery"], delivery, "delivery")
        _positive(report["ratio_best_effort"], "ratio to best-effort")
    _nothing_left()
    for transport in ("tcp", "ipc"):
        report = _one("throughput", "--typed", "--transport", transport, "--count", "3000")
        _sound(report, "throughput", transport)
        equal((report["typed"], report["size"]), (True, 104), "the struct")


def latency_is_measured_one_at_a_time_and_at_a_pace():
    for transport in ("tcp", "ipc", "inproc"):
        report = _one("latency", "--transport", transport, "--count", "200")
        _sound(report, "latency", transport)
        equal(report["ratio"], report["ratio_p50"], "the ratio")
        check("ratio_p99" in report, "there is no ratio of the 99th percentiles")
    report = _one("latency", "--rate", "2000", "--count", "200", "--transport", "ipc")
    _sound(report, "latency", "ipc")
    equal(report["rate"], 2000, "rate")
    report = _one("latency", "--rate", "half", "--count", "1000")
    _sound(report, "latency", "tcp")
    _positive(report["rate"], "rate")


def requests_are_measured_with_a_window_and_with_many_clients():
    for transport in ("tcp", "ipc", "inproc"):
        report = _one("requests", "--transport", transport, "--count", "2000", "--window", "100")
        _sound(report, "requests", transport)
        equal((report["window"], report["clients"]), (100, 1), "window and clients")
    report = _one("requests", "--clients", "40", "--count", "2000", "--transport", "ipc")
    _sound(report, "requests", "ipc")
    for key in ("weft_to_10_clients", "libzmq_to_10_clients"):
        _positive(report[key], key)
    check("weft_bytes_a_client" in report and "libzmq_bytes_a_client" in report, "there is no memory a client")


def publishing_is_measured_without_a_loss():
    for transport in ("tcp", "ipc", "inproc"):
        report = _one("pubsub", "--transport", transport, "--count", "2000", "--subscribers", "2")
        _sound(report, "pubsub", transport)
        equal((report["subscribers"], report["size"]), (2, 1024), "subscribers and size")


def a_parameter_server_is_measured_sparse_and_dense():
    cases = ["ps-sparse", "ps-sparse"] + ["ps-dense-push", "ps-dense-pull", "ps-dense-view"] * 2
    for transport in ("tcp", "ipc"):
        reports = _bench("ps", "--transport", transport, "--count", "40", "--keys", "1,100", "--dense", "64KiB,1MiB")
        equal([report["case"] for report in reports], cases, "cases")
        for report, case in zip(reports, cases):
            _sound(report, case, transport)
    reports = _bench("ps", "--keys", "3", "--workers", "2", "--count", "100")
    equal([(report["keys"], report["workers"]) for report in reports], [(3, 2)], "keys and workers")


def journals_are_measured_beside_a_plain_file():
    for transport in ("tcp", "ipc"):
        report = _one("journal", "--transport", transport, "--count", "3000", "--commit", "256", "--dir", WORK)
        _sound(report, "journal", transport)
        for key in ("file", "best_effort", "exactly_once", "ratio_file", "ratio_best_effort",
                    "ratio_exactly_once_libzmq"):
            _positive(report[key], key)
        equal(report["commit"], 256, "commit")
    _nothing_left()


def a_broker_is_measured_where_there_is_one():
    server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    if os.geteuid() != 0 or not os.path.exists(server) or not os.path.exists(program("weft-bench-rabbitmq")):
        print("skipped: it needs root, rabbitmq-server and librabbitmq-dev")
        sys.exit(77)
    script = os.path.join(SOURCE, "apps", "weft-bench-rabbitmq", "with-rabbitmq")
    words = [script, "--dir", WORK, program("weft"), "bench", "journal", "--count", "2000", "--runs", "1",
             "--dir", WORK, "--json", "--rabbitmq", "{}"]
    process = subprocess.Popen(words, text=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    result = finish(process, patience=400 * SLOW)
    equal(result.code, 0, "exit code (%s)" % result.err)
    report = result.json()
    _sound(report, "journal", "tcp")
    _positive(report["rabbitmq"], "rabbitmq")
    _positive(report["ratio_rabbitmq"], "ratio_rabbitmq")
    _nothing_left()


def all_writes_a_table_results_and_a_plot():
    folder = os.path.join(WORK, "results")
    reports = _bench("all", "--count", "20", "--out", folder, "--dir", WORK, "--transport", "ipc")
    with open(os.path.join(folder, "results.json")) as opened:
        results = json.load(opened)
    equal(results["cases"] + results["sizes"], reports, "results.json, beside what was printed")
    for report in reports:
        _sound(report, report["case"], "ipc")
    equal({report["case"] for report in results["cases"]},
          {"throughput", "latency", "requests", "pubsub", "ps-sparse", "ps-dense-push", "ps-dense-pull",
           "ps-dense-view", "journal"},
          "cases")
    equal((results["sizes"][0]["size"], results["sizes"][-1]["size"]), (16, 16 << 20), "sizes")
    with open(os.path.join(folder, "table.md")) as opened:
        rows = [line for line in opened if line.startswith("| ")]
    for title in ("throughput 16B", "throughput 104B, typed", "throughput 100B, at-least-once", "latency 100B, 99th percentile",
                  "requests 100B, window 1,000, clients 1,000", "journal 100B, commit 1,024, exactly-once at both ends"):
        check(any(row.startswith("| %s | ipc | " % title) for row in rows), "there is no row for " + title)
    plot = xml.etree.ElementTree.parse(os.path.join(folder, "rate.svg")).getroot()
    lines = plot.findall("{http://www.w3.org/2000/svg}polyline")
    equal([len(line.get("points").split()) for line in lines], [len(results["sizes"])] * 2, "points of the two lines")


def an_interrupted_benchmark_leaves_nothing_behind():
    process = start("weft", "bench", "throughput", "--delivery", "exactly-once", "--dir", WORK, "--count", "1000000000",
                    stdin=subprocess.DEVNULL)

    def journals():
        return [name for name in os.listdir(WORK) if os.path.exists(os.path.join(WORK, name, "to"))]
    wait_for(journals, "the journal of a receiver")
    interrupt(process)
    result = finish(process)
    equal(result.code, 1, "exit code")
    contains(result.err, "interrupted", "standard error")
    _nothing_left()


def wrong_options_of_a_benchmark_are_refused_by_name():
    wrong = [(("speed",), 'there is no benchmark "speed"'),
             (("throughput", "--transport", "pigeon"), '--transport is "pigeon"'),
             (("throughput", "--size", "4"), "--size is 4B"),
             (("throughput", "--size", "many"), 'expected bytes, like 100 or 64KiB, found "many"'),
             (("throughput", "--typed", "--size", "100"), "--typed has a size of its own"),
             (("throughput", "--delivery", "maybe"), '--delivery is "maybe"'),
             (("throughput", "--window", "10"), "--window is for requests"),
             (("throughput", "--delivery", "exactly-once", "--dir", "/nowhere/at/all"), '--dir is "/nowhere/at/all"'),
             (("latency", "--rate", "fast"), '--rate is "fast"'),
             (("latency", "--runs", "0"), "--runs is 0"),
             (("requests", "--clients", "0"), "--clients is 0"),
             (("pubsub", "--subscribers", "1000"), "--subscribers is 1000"),
             (("ps", "--size", "100"), "--size is for"),
             (("ps", "--dense", "1000001"), "--dense is 1000001B"),
             (("journal", "--dir", "/nowhere/at/all"), '--dir is "/nowhere/at/all"'),
             (("journal", "--rabbitmq", "somewhere"), '--rabbitmq is "somewhere"'),
             (("all",), "all needs --out")]
    for arguments, sentence in wrong:
        result = weft("bench", *arguments)
        equal(result.code, 2, "exit code of bench %r" % (arguments,))
        contains(result.err, sentence, "what bench %r says" % (arguments,))


if __name__ == "__main__":
    main(cases_of(globals()))
