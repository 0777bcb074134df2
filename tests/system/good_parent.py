"""The launcher as a parent: signals, streams that nobody reads, what nodes leave behind, logs, hangs."""

import errno
import pty

from weft_support import *

PAIR = """weft: 1
name: pair
nodes:
  a: %s
  b: {run: /bin/sleep, args: [600], lifetime: service}
links: [{from: a.out, to: b.in, pattern: push-pull}]
"""
FLOW = """weft: 1
name: flow
nodes:
  source: {run: weft-source, with: {count: %d, rate: %d, generator: {kind: counter}}}
  relay: {run: weft-relay}
  sink: {run: weft-sink, with: %s}
links:
  - {from: source.out, to: relay.in, pattern: push-pull}
  - {from: relay.out, to: sink.in, pattern: push-pull}
"""


def _script(name, text):
    path = file(name, "#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def _pair(name, node):
    return file(name + ".yaml", PAIR % json.dumps(node))


def _read(path):
    try:
        with open(path) as opened:
            return opened.read()
    except FileNotFoundError:
        return ""


def _alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as opened:
            return opened.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _gone(pid, what):
    wait_for(lambda: not _alive(pid), "the end of " + what)


def _pid_in(path):
    return int(wait_for(lambda: _read(path).strip(), "a process id in " + path))


def _live(running=None):
    def find():
        for one in live_runs():
            if running is None or one["running"] == running:
                return one
        return None
    return wait_for(find, "a live run")


def _app(name):
    """A program that says what it was told, and takes its time."""
    said = WORK + "/" + name + ".said"
    if os.path.exists(said):
        os.unlink(said)
    inner = _script(name + ".app", "trap 'echo told >> %s; sleep 0.3; echo saved >> %s; exit 0' TERM HUP\n"
                                   "echo start >> %s\nwhile :; do sleep 0.05; done\n" % (said, said, said))
    return inner, said


def a_program_behind_a_shell_is_told_to_stop_and_has_its_grace():
    for name, line in (("waits", "%s"), ("background", "%s & wait")):
        inner, said = _app(name)
        wrapped = _script(name + ".wrap", (line % inner) + "\n")
        running = start("weft", "up", _pair(name, {"run": wrapped, "lifetime": "service"}), "-q", "--json")
        wait_for(lambda: "start" in _read(said), "the start of the program")
        running.send_signal(signal.SIGTERM)
        report = finish(running)
        equal((report.code, report.json()["ok"]), (0, True), "the run (%s)" % report.err)
        equal(_read(said).split(), ["start", "told", "saved"], "what the program said")


def what_outlives_its_grace_behind_a_shell_fails_the_run():
    deaf = _script("deaf", "trap '' TERM\necho start\nwhile :; do sleep 0.05; done\n")
    wrapped = _script("deaf.wrap", deaf + "\n")
    running = start("weft", "up", _pair("deaf", {"run": wrapped, "lifetime": "service", "grace": "300ms"}), "-q", "--json")
    wait_for(lambda: "start" in "".join(_read(one["directory"] + "/logs/a-0.log") for one in live_runs()), "its start")
    running.send_signal(signal.SIGTERM)
    report = finish(running)
    equal((report.code, report.json()["ok"]), (1, False), "the run")
    contains(report.json()["reason"], "did not end within 300ms of SIGTERM", "the reason")


def a_reader_that_reads_nothing_does_not_stop_the_launcher():
    noisy = FLOW % (30000, 15000, json.dumps({}))
    reader, writer = os.pipe()
    running = subprocess.Popen([program("weft"), "up", file("noisy.yaml", noisy)], cwd=WORK, env=ENVIRONMENT,
                               stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    directory = _live(3)["directory"]
    wait_for(lambda: (state(directory) or {}).get("state") == "over", "the end of the run")
    ended = state(directory)
    equal((ended["ok"], link(ended, "source.out")["left"], link(ended, "relay.out")["left"]), (True, 0, 0), "the run")
    # The reader is back: what it missed is said, and the report is there.
    with os.fdopen(reader) as opened:
        text = opened.read()
    equal(running.wait(PATIENCE), 0, "exit code (%s)" % running.stderr.read())
    contains(text, "is done after", "the report")


def a_launcher_whose_output_is_stuck_ends_when_it_is_told_to():
    noisy = FLOW % (10000000, 15000, json.dumps({}))
    reader, writer = os.pipe()
    running = subprocess.Popen([program("weft"), "up", file("stuck.yaml", noisy)], cwd=WORK, env=ENVIRONMENT,
                               stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    run_id = _live(3)["run"]
    log = ENVIRONMENT["WEFT_RUN_DIR"] + "/" + run_id + "/logs/sink-0.log"
    wait_for(lambda: os.path.getsize(log) > 300000, "more output than a pipe holds")
    down = weft("down", run_id)
    equal(down.code, 0, "exit code of down (%s)" % down.err)
    running.wait(PATIENCE)
    os.close(reader)


def closed_standard_streams_do_no_harm():
    text = PAIR.replace("%s", "{run: /usr/bin/seq, args: [1, 5]}").replace("/bin/sleep, args: [600], lifetime: service",
                                                                          "/usr/bin/seq, args: [1, 5]")
    path = file("closed.yaml", text)
    for closed in ("<&- >&- 2>&-", ">&-", "2>&-", "<&-"):
        ended = subprocess.run("exec %s up %s -q %s" % (program("weft"), path, closed), shell=True, cwd=WORK,
                               env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        equal(ended.returncode, 0, "exit code with " + closed)


def a_hang_up_drains():
    inner, said = _app("hangup")
    running = start("weft", "up", _pair("hangup", {"run": inner, "lifetime": "service"}), "-q", "--json")
    wait_for(lambda: "start" in _read(said), "the start of the program")
    running.send_signal(signal.SIGHUP)
    running.send_signal(signal.SIGHUP)
    equal(finish(running).code, 0, "exit code")
    equal(_read(said).split(), ["start", "told", "saved"], "what the program said")


def a_closed_terminal_drains():
    inner, said = _app("terminal")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(WORK)
        os.execve(program("weft"), ["weft", "up", _pair("terminal", {"run": inner, "lifetime": "service"})], ENVIRONMENT)
    wait_for(lambda: "start" in _read(said), "the start of the program")
    os.close(terminal)
    os.waitpid(pid, 0)
    equal(_read(said).split(), ["start", "told", "saved"], "what the program said")


def a_signal_to_all_processes_at_once_drains():
    path = file("all.yaml", FLOW % (100000000, 20000, json.dumps({"quiet": True})))
    for _ in range(3):
        running = start("weft", "up", path, "-q", "--json")
        found = _live(3)
        state_of = wait_for(lambda: state(found["directory"]), "the state")
        pids = [one["pid"] for one in state_of["nodes"] if one["pid"]]
        for pid in [running.pid] + pids:
            os.kill(pid, signal.SIGTERM)
        report = finish(running)
        result = report.json()
        equal((report.code, result["interrupted"]), (143, "SIGTERM"), "the run: " + report.out + report.err)
        equal([one["exit_code"] for one in result["nodes"]], [0, 0, 0], "exit codes")
        equal([one["left"] for one in result["links"]], [0, 0], "records left")


def a_node_that_is_signalled_alone_drains():
    path = file("alone.yaml", FLOW % (100000000, 1000, json.dumps({"quiet": True})))
    with Detached(path) as run:
        os.kill(run.pid("source/0"), signal.SIGTERM)
        wait_for(lambda: node(state(run.directory), "source/0")["state"] == "stopped", "the end of the source")
        # It was the run's only work, which ends without it: to be taken down amid that is another matter.
        wait_for(lambda: not live_runs(), "the end of the run")


def an_interrupted_start_of_a_detached_run_is_cancelled():
    slow = _script("slow", "echo $$ > %s/slow.pid\nexec sleep 600\n" % WORK)
    text = """weft: 1
name: slow
nodes:
  a: {run: %s, lifetime: service}
  b: {run: weft-exec, with: {command: cat}}
  c: {run: weft-sink}
links:
  - {from: a.out, to: b.in, pattern: push-pull}
  - {from: b.out, to: c.in, pattern: push-pull}
limits: {start: 60s}
""" % slow
    running = start("weft", "up", file("slow.yaml", text), "--detach", start_new_session=True)
    pid = _pid_in(WORK + "/slow.pid")
    os.killpg(running.pid, signal.SIGINT)
    ended = finish(running)
    equal(ended.code != 0, True, "it failed")
    contains(ended.err, "cancelled", "what it says")
    _gone(pid, "the node")
    equal(live_runs(), [], "live runs")


def _pending(pid):
    """Signals that a process has not heard of yet."""
    found = dict(line.split(":", 1) for line in _read("/proc/%d/status" % pid).splitlines())
    return any(int(found.get(key, "0"), 16) for key in ("SigPnd", "ShdPnd"))


def a_start_whose_terminal_hangs_up_twice_ends_in_order():
    patient = _script("patient", ("cd %s\ntrap 'echo told > patient.told' TERM\necho $$ > patient.pid\n"
                                  "while [ ! -e patient.go ]; do sleep 0.05; done\necho done > patient.done\n") % WORK)
    text = """weft: 1
name: patient
nodes:
  a: {run: %s, lifetime: service, grace: 60s}
  b: {run: weft-sink}
links:
  - {from: a.out, to: b.in, pattern: push-pull}
limits: {start: 60s}
""" % patient
    running = start("weft", "up", file("patient.yaml", text), "--detach", start_new_session=True)
    launcher = int(_read("/proc/%d/stat" % _pid_in(WORK + "/patient.pid")).rpartition(")")[2].split()[1])
    for _ in range(2):
        running.send_signal(signal.SIGHUP)
        wait_for(lambda: _read(WORK + "/patient.told"), "that the node is told to end")
        for pid in (running.pid, launcher):
            wait_for(lambda: not _pending(pid), "that the signal is heard")
    file("patient.go", "")
    ended = finish(running)
    contains(ended.err, "cancelled", "what it says")
    equal(_read(WORK + "/patient.done"), "done\n", "what the node did last")


def a_detached_run_holds_no_file_of_its_shell():
    lock = file("lock", "")
    with open(lock) as opened:
        result = subprocess.run([program("weft"), "up", _pair("holder", {"run": "/bin/sleep", "args": [600], "lifetime": "service"}),
                                 "--detach"], cwd=WORK, env=ENVIRONMENT, pass_fds=[opened.fileno()],
                                stdout=subprocess.PIPE, text=True, check=True)
    found = live_runs()[0]
    names = os.listdir("/proc/%d/fd" % found["pid"])
    held = [os.readlink("/proc/%d/fd/%s" % (found["pid"], name)) for name in names
            if os.path.islink("/proc/%d/fd/%s" % (found["pid"], name))]
    equal([one for one in held if one == lock], [], "what it holds")
    weft("down", result.stdout.strip())


def exit_code_2_means_nothing_in_a_program_that_does_not_describe_itself():
    report = up(_pair("two", {"run": "/bin/sh", "args": ["-c", "exit 2"], "restart": "on-failure", "max-restarts": 2}))
    equal(node(report, "a/0")["restarts"], 2, "restarts")


def what_took_itself_away_ends_with_its_node():
    marks = [WORK + "/away%d" % i for i in range(4)]
    for mark in marks:
        if os.path.exists(mark):
            os.unlink(mark)
    body = ("setsid sh -c 'echo $$ > %s; exec sleep 600' &\n"
            "(setsid sh -c 'echo $$ > %s; exec sleep 600' &)\n"
            "setsid env -i sh -c 'echo $$ > %s; exec sleep 600' >/dev/null 2>&1 &\n"
            "sh -c 'echo $$ > %s; exec sleep 600' &\n") % tuple(marks)
    body += "".join("while [ ! -s %s ]; do sleep 0.02; done\n" % mark for mark in marks)
    away = _script("away", body)
    report = up(_pair("away", {"run": away}), "-q")
    equal(report["ok"], True, "the run: " + report["log"])
    for mark in marks:
        equal(_alive(_pid_in(mark)), False, "alive after the run (%s)" % mark)


def a_killed_launcher_leaves_no_grandchild():
    mark, other = WORK + "/orphan", WORK + "/orphan2"
    away = _script("orphan.sh", "setsid sh -c 'echo $$ > %s; exec sleep 600' &\nwait\n" % mark)
    text = """weft: 1
name: orphan
nodes:
  a: {run: %s, lifetime: service}
  b: {run: weft-exec, with: {command: "sh -c 'echo $$$$ > %s; exec sleep 600' & cat"}}
links: [{from: b.out, to: a.in, pattern: push-pull, wire: native}]
""" % (away, other)
    running = start("weft", "up", file("orphan.yaml", text.replace(", wire: native", "")), "-q")
    pids = [_pid_in(mark)]
    running.kill()
    finish(running)
    for pid in pids:
        _gone(pid, "what the node had started")


def the_dead_are_reaped():
    many = _script("many", "for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 &) ; done\nsleep 600\n")
    running = start("weft", "up", _pair("many", {"run": many, "lifetime": "service"}), "-q")
    _live()

    def zombies():
        out = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            fields = _read("/proc/%s/stat" % name).rpartition(")")[2].split()
            if fields and fields[0] == "Z" and int(fields[1]) == running.pid:
                out.append(name)
        return out
    log = wait_for(lambda: [one for one in live_runs() if one["running"] >= 2 or one["nodes"] == 2], "the run")
    equal(len(log), 1, "runs")
    wait_for(lambda: not zombies(), "that no zombies are left")
    running.send_signal(signal.SIGTERM)
    equal(finish(running).code, 0, "exit code")


def a_log_is_bounded_and_appended_and_opened_again():
    lines = _script("lines", "i=0\nwhile [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done\necho end > %s/lines.done\n"
                             "while [ ! -e %s/lines.go ]; do sleep 0.02; done\necho after\nsleep 600\n" % (WORK, WORK))
    node_of = {"run": lines, "lifetime": "service", "log": {"max": "8KiB", "keep": 2}}
    with Detached(_pair("lines", node_of)) as run:
        logs = run.directory + "/logs"
        wait_for(lambda: _read(WORK + "/lines.done"), "its lines")
        wait_for(lambda: "line 2999" in _read(logs + "/a-0.log"), "the last line")
        names = sorted(name for name in os.listdir(logs) if name.startswith("a-0"))
        equal(names, ["a-0.log", "a-0.log.1", "a-0.log.2"], "the files")
        equal([os.path.getsize(logs + "/" + name) <= 8192 for name in names], [True] * 3, "their sizes")
        last = [line for name in reversed(names) for line in _read(logs + "/" + name).splitlines()]
        equal(last, ["line %d" % i for i in range(3000 - len(last), 3000)], "what is kept")
        shown = weft("logs", run.run, "a").lines()
        equal([line.partition("| ")[2] for line in shown], last, "what weft logs shows")
        with open(logs + "/a-0.log", "w"):
            pass  # as copytruncate does
        os.rename(logs + "/a-0.log", logs + "/moved")
        file("lines.go", "")
        wait_for(lambda: "after" in _read(logs + "/a-0.log") + _read(logs + "/moved"), "the line after it")
        equal("\0" in _read(logs + "/a-0.log") + _read(logs + "/moved"), False, "zero bytes in it")


def a_run_directory_that_is_removed_is_made_again():
    with Detached(file("gone.yaml", FLOW % (100000000, 1000, json.dumps({"quiet": True})))) as run:
        os.rename(run.directory, WORK + "/removed")
        wait_for(lambda: [one for one in live_runs() if one["run"] == run.run], "the run to be found again")
        wait_for(lambda: os.path.exists(run.directory + "/control"), "its control socket")


def a_node_that_hangs_is_started_again_or_fails_the_run():
    text = FLOW % (100000000, 1000, json.dumps({"quiet": True}))
    path = file("hang.yaml", text.replace("{run: weft-relay}", "{run: weft-relay, hang-after: 2s, restart: on-failure}"))
    with Detached(path) as run:
        os.kill(run.pid("relay/0"), signal.SIGSTOP)
        wait_for(lambda: node(state(run.directory), "relay/0").get("hangs") == 1, "its end")
        wait_for(lambda: node(state(run.directory), "relay/0")["state"] == "running", "its return")
    path = file("hang.yaml", text.replace("{run: weft-relay}", "{run: weft-relay, hang-after: 2s}"))
    running = start("weft", "up", path, "-q", "--json")
    found = _live(3)
    pid = wait_for(lambda: node(state(found["directory"]), "relay/0").get("pid"), "its process")
    os.kill(pid, signal.SIGSTOP)
    report = finish(running)
    equal(report.code, 1, "exit code")
    contains(report.json()["reason"], "hung: nothing was heard of it for 2s", "the reason")


def no_run_of_another_folder_is_taken_down_unnamed():
    with Detached(_pair("other", {"run": "/bin/sleep", "args": [600], "lifetime": "service"})) as run:
        elsewhere = subprocess.run([program("weft"), "down"], cwd="/", env=ENVIRONMENT, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, check=False)
        equal(elsewhere.returncode, 3, "exit code of down elsewhere")
        contains(elsewhere.stderr, "weft down " + run.run, "what it says")
        equal(len(live_runs()), 1, "live runs")


def nodes_know_their_numbers_and_own_their_files():
    text = """weft: 1
name: own
nodes:
  source: {run: weft-source, with: {count: 300, generator: {kind: counter}}}
  sink: {run: weft-sink, replicas: 2, with: {output: "%s"}}
  view: {run: /bin/sh, args: [-c, 'echo ${node} ${replica} $$MINE'], env: {MINE: "me-${replica}"}}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, distribute: round-robin}
  - {from: view.out, to: sink.in2, pattern: push-pull}
"""
    text = text.replace("  - {from: view.out, to: sink.in2, pattern: push-pull}\n", "").replace(
        "  view: {run: /bin/sh, args: [-c, 'echo ${node} ${replica} $$MINE'], env: {MINE: \"me-${replica}\"}}\n", "")
    refused = weft("check", file("own.yaml", text % (WORK + "/out.jsonl")))
    equal(refused.code, 2, "exit code of check")
    contains(refused.err, "${replica}", "what it says")
    report = up(file("own.yaml", text % (WORK + "/out-${replica}.jsonl")))
    equal(report["ok"], True, "the run")
    records = sum(len(_read(WORK + "/out-%d.jsonl" % i).splitlines()) for i in range(2))
    equal(records, 300, "records in both files")


def odd_places_for_runs():
    plain = _pair("plain", {"run": "/bin/true"}).replace("\n", "")
    text = PAIR.replace("%s", "{run: /bin/true}").replace("/bin/sleep, args: [600], lifetime: service", "/bin/true")
    plain = file("plain.yaml", text)
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "WEFT_RUN_DIR"}
    missing = dict(environment, XDG_RUNTIME_DIR=WORK + "/no-such-folder")
    ended = subprocess.run([program("weft"), "ps"], env=missing, stdout=subprocess.PIPE, text=True, check=False)
    contains(ended.stdout + "/tmp/weft-", "/tmp/weft-", "where it looks")
    equal(os.path.exists(WORK + "/no-such-folder"), False, "the folder was made")
    tight = subprocess.run("umask 0177; exec %s up %s -q --run-dir %s/tight/r" % (program("weft"), plain, WORK), shell=True,
                           cwd=WORK, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False)
    equal(tight.returncode, 0, "exit code with a tight umask (%s)" % tight.stderr)
    lost = os.path.join(WORK, "lost")
    os.mkdir(lost)
    gone = subprocess.run("cd %s && rmdir %s && exec %s up %s --run-dir r" % (lost, lost, program("weft"), plain), shell=True,
                          env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False)
    contains(gone.stderr, "working directory", "what it says of a folder that is gone")
    equal("defect" in gone.stderr, False, "called a defect")
    long = weft("up", plain, "-q", "--run-dir", WORK + "/" + "x" * 100)
    equal(long.code, 0, "exit code in a folder that is too long for sockets (%s)" % long.err)
    impossible = weft("up", plain, "--run-dir", WORK + "/" + "x" * 300)
    contains(impossible.err, "--run-dir ", "the option that it names")


def colours_are_left_out_where_they_are_not_wanted():
    text = PAIR.replace("%s", "{run: /bin/echo, args: [hello]}").replace("/bin/sleep, args: [600], lifetime: service", "/bin/true")
    path = file("colours.yaml", text)
    for extra, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        pid, terminal = pty.fork()
        if pid == 0:
            environment = {name: value for name, value in ENVIRONMENT.items() if name != "NO_COLOR"}
            os.execve(program("weft"), ["weft", "up", path], dict(environment, **extra))
        text = b""
        while True:
            try:
                got = os.read(terminal, 4096)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break
            if not got:
                break
            text += got
        os.waitpid(pid, 0)
        os.close(terminal)
        contains(text.decode(), "hello", "what it shows")
        equal(b"\x1b[3" in text, coloured, "colours with %r" % extra)


def a_node_by_hand_leaves_colours_out_where_they_are_not_wanted():
    for extra, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        pid, terminal = pty.fork()
        if pid == 0:
            environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("NO_COLOR", "COLORTERM")}
            os.execve(program("weft-sink"), ["weft-sink", "--bind", "in=tcp://127.0.0.1:*", "--log-level", "debug"],
                      dict(environment, **extra))
        text = b""
        while b"is bound" not in text:
            text += os.read(terminal, 4096)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
        equal(b"\x1b[3" in text, coloured, "colours with %r in %r" % (extra, text))


if __name__ == "__main__":
    main(cases_of(globals()))
