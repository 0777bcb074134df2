#!/usr/bin/env python3
"""Counts the instructions a record of each part of the hot path, and compares them with budgets.json.

A count does not depend on the load of the machine, and with the pinned code paths of the C library below
hardly on its processor. It does depend on the compiler: budgets hold for the packages of Debian 12. After
a change that is meant: run with --update and commit the new budgets.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SKIPPED = 77
ALLOWED = 1.10
BUDGETS = pathlib.Path(__file__).with_name("budgets.json")
# The C library picks its copying loops by the processor, and its limits by the caches: one choice for all.
TUNABLES = ":".join([
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2",
    "glibc.cpu.x86_rep_movsb_threshold=0x10000000",
    "glibc.cpu.x86_rep_stosb_threshold=0x10000000",
    "glibc.cpu.x86_non_temporal_threshold=0x10000000",
    "glibc.cpu.x86_shared_cache_size=0x2000000",
    "glibc.cpu.x86_data_cache_size=0x8000",
])


def count(valgrind, driver):
    """Instructions a record, by case."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [valgrind, "--tool=callgrind", "--collect-atstart=no", "--quiet", "--fair-sched=yes",
             f"--callgrind-out-file={folder}/out", driver],
            env={**os.environ, "GLIBC_TUNABLES": TUNABLES}, capture_output=True, text=True,
            check=False)
        if run.returncode != 0:
            sys.exit(f"{driver} ended with {run.returncode} under valgrind:\n{run.stderr}")
        totals = {}
        for dump in pathlib.Path(folder).iterdir():
            text = dump.read_text(encoding="utf-8", errors="replace")
            name = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.M)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            if name and total:
                totals[name[1]] = int(total[1])
    found = {}
    for line in run.stdout.splitlines():
        case, records = line.split()
        found[case] = totals[case] / int(records)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valgrind")
    parser.add_argument("--driver")
    parser.add_argument("--update", action="store_true", help="write what was counted as the new budgets")
    args = parser.parse_args()
    if not args.valgrind or not args.driver:
        print("skipped: valgrind (Debian package valgrind) was not found when this build was configured")
        return SKIPPED
    counts = count(args.valgrind, args.driver)
    budgets = json.loads(BUDGETS.read_text(encoding="utf-8")) if BUDGETS.exists() else {}
    over = []
    for case, value in counts.items():
        budget = budgets.get(case)
        note = ""
        if budget is None:
            note = "no budget"
        elif value > budget * ALLOWED:
            note = f"over its budget by {100 * (value / budget - 1):.0f} %"
        elif value * ALLOWED < budget:
            note = "well below its budget: lower it, so that it guards what was gained"
        if not args.update and (budget is None or value > budget * ALLOWED):
            over.append(case)
        print(f"{case:20} {value:10.1f} instructions, budget {budget if budget is not None else '-'}  {note}".rstrip())
    if args.update:
        rounded = {case: round(value, 1) if value < 100 else round(value) for case, value in counts.items()}
        BUDGETS.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {BUDGETS}")
        return 0
    gone = sorted(set(budgets) - set(counts))
    if gone:
        print("budgets without a case: " + ", ".join(gone))
    if over or gone:
        print(f"\nIf that is meant, say so in a commit of new budgets:\n  {sys.argv[0]} --valgrind {args.valgrind} "
              f"--driver {args.driver} --update")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
