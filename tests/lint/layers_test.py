#!/usr/bin/env python3
"""Plants one violation at a time in a small clean tree and expects the checker to find just that."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKER = Path(__file__).with_name("layers.py")

CLEAN = {
    "CMakeLists.txt": "weft_layer(core THIRD_PARTY fmt::fmt)\n"
    "weft_layer(wire USES core)\n"
    "weft_layer(protocol USES core wire)\n"
    "weft_layer(transport USES core\n  wire THIRD_PARTY weft::zmq)  # two lines\n"
    "weft_layer(program USES core HEADER_ONLY CLI11::CLI11)\n",
    "apps/CMakeLists.txt": "weft_program(weft USES program)\nweft_program(tool USES wire)\n",
    "include/weft/core/error.hpp": "#include <fmt/core.h>\n",
    "include/weft/wire/header.hpp": "#include <weft/core/error.hpp>\n",
    "src/wire/header.cpp": "#include <weft/wire/header.hpp>\n#include \"core/private.hpp\"\n",
    "src/core/private.hpp": "// Nothing sleeps (or reads getenv( ) here.\n",
    "src/protocol/machine.cpp": "#include <vector>\n#include <weft/wire/header.hpp>\n",
    "src/transport/socket.cpp": "#include <zmq.h>\n#include <weft/wire/header.hpp>\n",
    "src/program/main.cpp": "#include <CLI/CLI.hpp>\nauto home = std::getenv(\"HOME\");\n",
    "apps/weft/main.cpp": "#include <CLI/CLI.hpp>\n#include <weft/core/error.hpp>\nauto x = getenv(\"X\");\n",
    "apps/tool/main.cpp": "#include <weft/core/error.hpp>\n",
    "tests/transport/socket_test.cpp": "#include <doctest/doctest.h>\n#include <zmq.hpp>\n"
    "TEST_CASE(\"a sentence\") {\n}\n",
    "tests/system/run.py": "import subprocess  # no time.sleep here\n",
    "tests/system/run.sh": "wait  # not sleep 1\n",
}


def check(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run = subprocess.run([sys.executable, CHECKER, folder], capture_output=True, text=True, check=False)
        return run.returncode, run.stdout


class PlantedViolation(unittest.TestCase):
    def found(self, name, text, expected):
        """The clean tree with `text` appended to the file `name` has one violation, and its line is `expected`."""
        code, output = check({**CLEAN, name: CLEAN.get(name, "") + text})
        self.assertEqual(code, 1, output)
        lines = output.splitlines()
        self.assertEqual(lines[-1], "1 violations", output)
        self.assertIn(expected, lines[0])

    def test_a_clean_tree_passes(self):
        self.assertEqual(check(CLEAN), (0, "no violations\n"))

    def test_an_include_upward(self):
        self.found("src/wire/header.cpp", "#include <weft/protocol/machine.hpp>\n",
                   "src/wire/header.cpp:3: layer: wire must not include weft/protocol/machine.hpp")

    def test_an_include_sideways_below_but_not_named(self):
        self.found("src/program/main.cpp", "#include <weft/wire/header.hpp>\n", "src/program/main.cpp:3: layer: ")

    def test_a_private_header_of_a_layer_above(self):
        self.found("src/core/private.hpp", "#include \"wire/batch.hpp\"\n", "src/core/private.hpp:2: layer: ")

    def test_a_public_header_that_goes_upward(self):
        self.found("include/weft/core/error.hpp", "#include <weft/wire/header.hpp>\n", "error.hpp:2: layer: ")

    def test_a_program_that_reaches_past_its_layers(self):
        self.found("apps/tool/main.cpp", "#include <weft/transport/socket.hpp>\n", "apps/tool/main.cpp:2: layer: ")

    def test_an_include_of_no_layer(self):
        self.found("src/wire/header.cpp", "#include <weft/wrie/header.hpp>\n", "there is no layer wrie")

    def test_a_folder_that_no_call_names(self):
        self.found("src/extra/file.cpp", "\n", "src/extra:1: layer: no weft_layer call names this folder")

    def test_an_order_that_contradicts_itself(self):
        self.found("CMakeLists.txt", "weft_layer(late USES later)\nweft_layer(later)\n", "late uses later")

    def test_a_third_party_outside_its_layer(self):
        for header in ("fmt/core.h", "spdlog/spdlog.h", "nlohmann/json.hpp", "msgpack.hpp", "msgpack/pack.hpp",
                       "xxhash.h", "zmq.hpp", "zmq.h", "yaml-cpp/yaml.h", "zlib.h", "CLI/CLI.hpp",
                       "doctest/doctest.h"):
            with self.subTest(header):
                self.found("apps/tool/main.cpp", f"#include <{header}>\n", "apps/tool/main.cpp:2: third-party: ")

    def test_a_third_party_above_its_layer(self):
        self.found("src/program/main.cpp", "#  include \"zmq.h\"\n", "third-party: libzmq (zmq.h) belongs to transport")

    def test_a_test_that_goes_round_its_layer(self):
        self.found("tests/wire/a_test.cpp", "#include <zmq.h>\n", "tests/wire/a_test.cpp:1: third-party: libzmq")

    def test_sleeping(self):
        for name, text in (("src/core/a.cpp", "std::this_thread::sleep_for(1s);\n"),
                           ("tests/core/a_test.cpp", "usleep (10);\n"),
                           ("apps/tool/a.cpp", "::sleep(1);\n"),
                           ("tests/system/wait.py", "time.sleep(1)\n"),
                           ("tests/system/wait.sh", "until ready; do sleep 0.1; done\n")):
            with self.subTest(name):
                self.found(name, text, f"{name}:1: sleep: ")

    def test_a_leftover(self):
        self.found("src/core/a.cpp", "// TODO: the rest\n", "src/core/a.cpp:1: leftover: ")

    def test_a_file_that_is_too_long(self):
        self.found("include/weft/core/a.hpp", "\n" * 301, "a.hpp:301: length: ")
        self.found("src/core/a.cpp", "\n" * 501, "a.cpp:501: length: ")
        self.assertEqual(check({**CLEAN, "src/core/a.cpp": "\n" * 500})[0], 0)

    def test_an_environment_variable_below_the_programs(self):
        self.found("src/transport/socket.cpp", "auto x = std::getenv(\"X\");\n", "socket.cpp:3: environment: ")

    def test_a_protocol_that_is_not_pure(self):
        for text in ("#include <thread>\n", "#include <fstream>\n", "auto now = Clock::now();\n",
                     "auto now = std::chrono::system_clock::now();\n", "#include <sys/socket.h>\n"):
            with self.subTest(text):
                self.found("src/protocol/machine.cpp", text, "src/protocol/machine.cpp:3: pure: ")

    def test_two_cases_with_one_name(self):
        self.found("tests/transport/other_test.cpp", "\nTEST_CASE(\"A sentence\") {}\n", ": name: ")

    def test_an_allowed_line_passes_only_for_its_rule(self):
        allowed = "// lint: allow(sleep) because the kernel offers no event for this\nusleep(10);\n"
        self.assertEqual(check({**CLEAN, "src/core/a.cpp": allowed})[0], 0)
        self.found("src/core/a.cpp", allowed.replace("allow(sleep)", "allow(length)"), "src/core/a.cpp:2: sleep: ")


if __name__ == "__main__":
    unittest.main()
