#!/usr/bin/env python3
"""Holds a source tree against the order of its layers and the house rules.

    layers.py ROOT      prints one line a violation, "file:line: rule: what", and exits 1 when there is one

The layers and what each may include are read from the weft_layer and weft_program calls of the CMake files, so the
order is declared once. A line that must break a rule says so, with its reason: `lint: allow(rule) because ...`, on the
line itself or the one above. Rules:

    layer         an include goes to a layer that USES does not name
    third-party   a third party outside its layer (table THIRD_PARTIES)
    sleep         a sleeping call; wait for the event, with a deadline
    leftover      a mark that says that something is unfinished
    length        a header over 300 lines, a source over 500 (table LONG_FILES)
    environment   an environment variable read below apps/ and the program layer
    pure          threads, sockets, clocks or files in the protocol layer
    name          two test cases of one layer with one name: ctest could not tell them apart
"""

import re
import sys
from pathlib import Path

# Third party -> (pattern of its headers, the layers that may include it, further folders that may).
THIRD_PARTIES = {
    "fmt": (r"fmt/", {"core"}, ()),
    "spdlog": (r"spdlog/", {"core"}, ()),
    "nlohmann-json": (r"nlohmann/", {"core"}, ()),
    "msgpack-cxx": (r"msgpack(\.hpp$|/)", {"wire"}, ()),
    "xxhash": (r"xxhash\.h$|xxh3\.h$", {"wire"}, ()),
    # The yardstick of the benchmarks is plain libzmq on purpose.
    "libzmq": (r"zmq(_addon)?\.(h|hpp)$", {"transport"}, ("apps/weft-bench-libzmq/",)),
    "librabbitmq": (r"amqp(_\w+)?\.h$", set(), ("apps/weft-bench-rabbitmq/",)),
    "yaml-cpp": (r"yaml-cpp/", {"topology"}, ()),
    "zlib": (r"zlib\.h$", {"ps"}, ()),
    "CLI11": (r"CLI/", {"program"}, ("apps/weft/",)),
    "doctest": (r"doctest/", set(), ("tests/",)),
}

# Files that may be longer, and why. Path -> reason.
LONG_FILES = {}

HEADER_LINES, SOURCE_LINES = 300, 500
CPP = {".hpp", ".cpp", ".h"}
SCRIPTS = {".py", ".sh", ".bash"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
ALLOW = re.compile(r"lint: allow\(([a-z-]+)\)")
SLEEP = re.compile(
    r"\bsleep_(for|until)\b|\b(u|nano|clock_nano)?sleep\s*\(|\bclock_nanosleep\b|\btime\.sleep\b|\basyncio\.sleep\b"
)
SHELL_SLEEP = re.compile(r"(^|[;&|(`]|\bdo\b|\bthen\b|\belse\b|\bwhile\b|\buntil\b|\$\()\s*sleep\s+[\d.$\"']")
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
ENVIRONMENT = re.compile(r"\b(secure_)?getenv\s*\(")
IMPURE_INCLUDE = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|stop_token|semaphore|latch|barrier|fstream|iostream"
    r"|filesystem|cstdio|stdio\.h|ctime|time\.h|unistd\.h|fcntl\.h|pthread\.h|poll\.h)$|^(sys|netinet|arpa)/|^zmq"
)
IMPURE_CALL = re.compile(
    r"\bClock::now\b|\b(system|steady|high_resolution)_clock::now\b|\bclock_gettime\b|\bgettimeofday\b|\btime\s*\(\s*(0|NULL|nullptr)"
    r"|\bwall_micros\b|\bfopen\s*\(|\bgetpid\s*\(|\brandom_device\b"
)
TEST_CASE = re.compile(r'^\s*(TEST_CASE|SCENARIO|TEST_CASE_TEMPLATE|TEST_CASE_FIXTURE)\s*\(\s*(?:[\w:]+\s*,\s*)?"((?:[^"\\]|\\.)*)"')


class Layers:
    """What the CMake files declare: the layers in order, and what each layer and program may include."""

    def __init__(self, root):
        self.uses = {}
        for name, arguments in self._calls(root / "CMakeLists.txt", "weft_layer"):
            self.uses[name] = self._keyword(arguments, "USES")
        self.program_uses = {}
        for name, arguments in self._calls(root / "apps" / "CMakeLists.txt", "weft_program"):
            self.program_uses[name] = self._keyword(arguments, "USES")

    @staticmethod
    def _calls(path, function):
        if not path.exists():
            return
        text = re.sub(r"#[^\n]*", "", path.read_text())
        for call in re.finditer(rf"\b{function}\s*\(([^)]*)\)", text):
            words = call.group(1).split()
            if words:
                yield words[0], words[1:]

    @staticmethod
    def _keyword(arguments, keyword):
        found, inside = set(), False
        for word in arguments:
            if word.isupper():
                inside = word == keyword
            elif inside:
                found.add(word)
        return found

    def reached(self, names):
        """The layers that linking `names` brings along."""
        found, open_ = set(), list(names)
        while open_:
            name = open_.pop()
            if name not in found:
                found.add(name)
                open_ += self.uses.get(name, ())
        return found


class Checker:
    def __init__(self, root):
        self.root = root
        self.layers = Layers(root)
        self.violations = []

    def run(self):
        if not self.layers.uses:
            self.report("CMakeLists.txt", 1, "layer", "no weft_layer call found")
        self.check_order()
        self.check_folders()
        cases = {}
        for path in self.files():
            self.check_file(path, cases)
        return self.violations

    def report(self, path, line, rule, what):
        self.violations.append(f"{path}:{line}: {rule}: {what}")

    def files(self):
        for top in ("include", "src", "apps", "tests"):
            for path in sorted((self.root / top).rglob("*")):
                if path.is_file() and path.suffix in CPP | SCRIPTS and "corpus" not in path.parts:
                    # The checker and its test spell out what they look for.
                    if path.relative_to(self.root).parts[:2] != ("tests", "lint"):
                        yield path

    def check_order(self):
        seen = set()
        for name, uses in self.layers.uses.items():
            for used in sorted(uses - seen):
                self.report("CMakeLists.txt", 1, "layer", f"{name} uses {used}, which is not declared before it")
            seen.add(name)

    def check_folders(self):
        for top in (self.root / "src", self.root / "include" / "weft"):
            for folder in sorted(top.glob("*")):
                if folder.is_dir() and any(folder.iterdir()) and folder.name not in self.layers.uses:
                    self.report(folder.relative_to(self.root), 1, "layer", "no weft_layer call names this folder")

    @staticmethod
    def place(parts):
        """Path inside the tree -> (kind, name): a layer, a program, the tests of a layer, or ('', '')."""
        if parts[0] == "include" and len(parts) > 3:
            return "layer", parts[2]
        if parts[0] == "src" and len(parts) > 2:
            return "layer", parts[1]
        if parts[0] == "apps" and len(parts) > 2:
            return "program", parts[1]
        if parts[0] == "tests" and len(parts) > 2:
            return "tests", parts[1]
        return "", ""

    def check_file(self, path, cases):
        relative = path.relative_to(self.root)
        kind, name = self.place(relative.parts)
        text = path.read_text(errors="replace")
        lines = text.splitlines()
        if path.suffix in CPP:
            self.check_length(relative, len(lines))
        previous_allowed = set()
        for number, line in enumerate(lines, 1):
            own_allowed = set(ALLOW.findall(line))
            allowed = own_allowed | previous_allowed
            previous_allowed = own_allowed

            def report(rule, what, number=number, allowed=allowed):
                if rule not in allowed:
                    self.report(relative, number, rule, what)

            if LEFTOVER.search(line):
                report("leftover", line.strip())
            if path.suffix in SCRIPTS:
                self.check_script_line(path, line, report)
            else:
                self.check_cpp_line(relative, kind, name, line, report)
                self.check_case(relative, name, number, line, cases)

    def check_length(self, relative, count):
        limit = HEADER_LINES if relative.suffix != ".cpp" else SOURCE_LINES
        if count > limit and str(relative) not in LONG_FILES:
            self.report(relative, count, "length", f"{count} lines, at most {limit}: do two things live here?")

    @staticmethod
    def check_script_line(path, line, report):
        code = line.split("#", 1)[0]
        if SLEEP.search(code) or (path.suffix != ".py" and SHELL_SLEEP.search(code)):
            report("sleep", line.strip())

    def check_cpp_line(self, relative, kind, name, line, report):
        include = INCLUDE.match(line)
        if include:
            self.check_include(relative, kind, name, include.group(1), include.group(2), report)
        code = line.split("//", 1)[0]
        if SLEEP.search(code):
            report("sleep", line.strip())
        if ENVIRONMENT.search(code) and kind == "layer" and name != "program":
            report("environment", line.strip())
        if kind == "layer" and name == "protocol" and IMPURE_CALL.search(code):
            report("pure", line.strip())

    def check_include(self, relative, kind, name, quote, target, report):
        if kind == "layer" and name == "protocol" and IMPURE_INCLUDE.search(target):
            report("pure", f"<{target}>")
        self.check_third_party(relative, kind, name, target, report)

        parts = target.split("/")
        if parts[0] == "weft" and len(parts) > 2:
            to = parts[1]
        elif quote == '"' and len(parts) > 1 and parts[0] in self.layers.uses:
            to = parts[0]
        else:
            return
        if to not in self.layers.uses:
            report("layer", f"{target}: there is no layer {to}")
        elif kind == "layer" and to != name and to not in self.layers.uses.get(name, ()):
            report("layer", f"{name} must not include {target}: its USES does not name {to}")
        elif kind == "program" and name in self.layers.program_uses:
            if to not in self.layers.reached(self.layers.program_uses[name]):
                report("layer", f"the program {name} must not include {target}: its USES does not reach {to}")

    def check_third_party(self, relative, kind, name, target, report):
        for party, (pattern, owners, folders) in THIRD_PARTIES.items():
            if not re.match(pattern, target):
                continue
            if kind == "layer" and name in owners:
                continue
            # The tests of a layer may look at it through the third party that it, or a layer below it, wraps.
            if kind == "tests" and (owners & self.layers.reached({name}) or name in ("support", "system", "bench")):
                continue
            if str(relative).startswith(tuple(folders)):
                continue
            report("third-party", f"{party} ({target}) belongs to {', '.join(sorted(owners)) or ', '.join(folders)}")

    def check_case(self, relative, name, number, line, cases):
        case = TEST_CASE.match(line)
        if case and relative.parts[0] == "tests":
            key = (name, case.group(2).casefold())
            if key in cases:
                self.report(relative, number, "name", f"\"{case.group(2)}\" is also in {cases[key]}")
            cases.setdefault(key, f"{relative}:{number}")


def main(arguments):
    if len(arguments) != 2 or not Path(arguments[1]).is_dir():
        print(f"usage: {arguments[0]} ROOT", file=sys.stderr)
        return 2
    violations = Checker(Path(arguments[1]).resolve()).run()
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations" if violations else "no violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
