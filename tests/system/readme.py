"""Runs every command of the README, in its order, as a reader would: one shell, from the top of the tree."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

source = pathlib.Path(os.environ["WEFT_SOURCE_DIR"])
text = (source / "README.md").read_text()
blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
commands = [line for block in blocks for line in block.splitlines() if line.strip()]
assert len(commands) >= 10, "the README's commands were not found"

# Whatever happens, nothing that a command left running outlives this test.
script = ["set -eu", "trap 'for run in $(ls $XDG_RUNTIME_DIR/weft 2>/dev/null); do weft down $run >/dev/null 2>&1 || true; done' EXIT"]
for command in commands:
    word = command.split()[0]
    if word == "./quickstart":
        # It runs this test; that it is there and knows the command is what can be seen from here.
        assert os.access(source / "quickstart", os.X_OK), "quickstart is not executable"
        continue
    if word == "export":
        command = f'export PATH="{os.environ["WEFT_BIN_DIR"]}:$PATH"'
    script += [f"echo '$ {command}' >&2", command]

with tempfile.TemporaryDirectory(prefix="weft-readme-") as runs:
    # A base of its own: no run of anybody else is seen, and none is stopped.
    environment = {**os.environ, "XDG_RUNTIME_DIR": runs}
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=source, env=environment, timeout=150,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
print(done.stdout)
sys.exit(done.returncode)
