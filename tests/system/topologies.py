"""Each topology of this project's own programs, run to its end."""

from weft_support import *

RECORDS = 20000 if SLOW > 1 else 200000


def pipeline_carries_every_record_once():
    report = up("pipeline", "--set", "records=%d" % RECORDS)
    equal((report["code"], report["ok"]), (0, True), "the run")
    sink = report["result"]["sink/0"]
    equal((sink["received"], sink["distinct"], sink["twice"], sink["missing"]), (RECORDS, RECORDS, 0, 0), "records")
    for start_of in ("source.out", "relay.out"):
        one = link(report, start_of)
        equal((one["sent"], one["received"], one["dropped"], one["lost"], one["left"]), (RECORDS, RECORDS, 0, 0, 0),
              "the link from " + start_of)


def a_slow_pipeline_loses_nothing():
    report = up("pipeline", "--set", "records=2000", "--set", "work=1ms", "--set", "relays=2")
    equal((report["code"], report["result"]["sink/0"]["distinct"]), (0, 2000), "records")


def fanout_reaches_every_subscriber_from_the_first_record():
    report = up("fanout")
    equal((report["code"], report["ok"]), (0, True), "the run")
    for name in ("all/0", "all/1"):
        equal((report["result"][name]["received"], report["result"][name]["missing"]), (3000, 0), name)
    equal(report["result"]["europe/0"]["topics"], {"orders/eu": 1000}, "what europe got")


def scatter_gather_brings_every_reply_back():
    report = up("scatter-gather")
    equal((report["code"], report["ok"]), (0, True), "the run")
    equal(report["result"]["asker/0"]["answered"], 1000, "replies")
    gathered = report["result"]["gather/0"]
    equal((gathered["distinct"], gathered["twice"]), (1000, 0), "gathered")
    working = [name for name, value in report["result"].items() if name.startswith("worker/") and value["answered"]]
    equal(len(working), 3, "workers that answered")


def script_runs_a_python_script_and_a_shell_command_as_nodes():
    report = up("script")
    equal((report["code"], report["ok"]), (0, True), "the run")
    equal(report["result"]["sink/0"]["received"], 500, "even squares")


def logs_collects_the_lines_of_all_hosts_in_one_file():
    path = os.path.join(WORK, "all.jsonl")
    report = up("logs", "--set", "output=" + path, "--set", "lines=100")
    equal((report["code"], report["ok"]), (0, True), "the run")
    with open(path) as opened:
        lines = [json.loads(line) for line in opened]
    equal(len(lines), 800, "lines of the file")
    equal({line["host"] for line in lines}, {"host/%d" % i for i in range(8)}, "hosts in the file")
    equal(len({line["line"] for line in lines}), 800, "different lines")


def four_runs_at_once_do_not_disturb_each_other():
    runs = [start("weft", "up", topology("fanout"), "--json") for _ in range(4)]
    for one in runs:
        report = finish(one).json()
        check(report["ok"], "a run among four failed: " + str(report.get("reason")))
        equal(report["result"]["all/0"]["received"], 3000, "records")


if __name__ == "__main__":
    main(cases_of(globals()))
