"""Writes each whole C++ program of the README and of docs/ to a file: a fenced block with includes and a main."""

import pathlib
import re
import sys

source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True)
found = []
for page in [source / "README.md", *sorted((source / "docs").rglob("*.md"))]:
    programs = [block for block in re.findall(r"^```cpp\n(.*?)^```", page.read_text(), re.S | re.M)
                if "#include" in block and re.search(r"^int main\(", block, re.M)]
    for number, text in enumerate(programs):
        name = "%s_%d" % (page.relative_to(source).with_suffix("").as_posix().replace("/", "_").lower(), number)
        (folder / (name + ".cpp")).write_text(text)
        found.append(name)
assert any(name.startswith("readme") for name in found), "the README shows no whole C++ program"
print(" ".join(found))
