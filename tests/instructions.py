#!/usr/bin/env python3
"""Compares how many instructions parse, plan and response of one in-sync request take with tests/instructions.json.

valgrind counts them, which needs no quiet machine: the same program takes the same instructions each time, but for what
depends on the seeds of hash tables. With `--write` the file is written.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "localstack"))
sys.dont_write_bytecode = True

import valgrind  # noqa: E402
from console import Failure  # noqa: E402

KEPT = REPOSITORY / "tests" / "instructions.json"
PARTS = ("parse", "plan", "respond")
# The difference of two counts is that of the turns alone, without the start of the program.
FEW, MANY = 20, 120
# How far a count may be from the kept one, in either direction: what became cheaper is to be kept too.
TOLERANCE = 0.05
COLLECTED = re.compile(r"Collected : (\d+)")
# The worker's code is optimised, and what it brings of generic code of its dependencies; these stay as in every other
# development build, so that nothing but the worker is built for this.
BUILD = [
    *("cargo", "build", "--locked", "--workspace", "--bench", "instructions"),
    *("--config", "profile.dev.package.extension-worker.opt-level=2", "--message-format=json-render-diagnostics"),
]


def main() -> int:
    """Count, compare or write, and say what was found; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the counts instead of comparing them")
    write = parser.parse_args().write
    # Those of another processor are other instructions.
    machine = platform.machine()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if machine not in kept and not write:
        print(f"0 passed, 0 failed, {len(PARTS)} skipped: no counts are kept for {machine}")
        return 0
    program = built()
    counts = {part: of_one_turn(program, part) for part in PARTS}
    if write:
        kept[machine] = counts
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    failed = [part for part in PARTS if not report(part, counts[part], kept[machine][part])]
    print(f"{len(PARTS) - len(failed)} passed, {len(failed)} failed")
    if failed:
        print("Where the change is meant: make instructions WRITE=1", file=sys.stderr)
    return 1 if failed else 0


def report(part: str, count: int, kept: int) -> bool:
    """Say how far a count is from the kept one; whether that is near enough."""
    change = count / kept - 1
    near = abs(change) <= TOLERANCE
    print(f"{part:8}{count:>9,} instructions, {change:+.1%} to the {kept:,} of {KEPT.name}{'' if near else ': too far'}")
    return near


def built() -> str:
    """Build the program that does a part; where it is."""
    done = subprocess.run(BUILD, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, done.stdout.splitlines())
    return next(message["executable"] for message in messages if message.get("executable"))


def of_one_turn(program: str, part: str) -> int:
    """The instructions of one turn of a part."""
    few, many = (instructions(program, part, turns) for turns in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


def instructions(program: str, part: str, turns: int) -> int:
    """All instructions of the program that does a part so often."""
    counter, variables = valgrind.find(REPOSITORY)
    done = subprocess.run(
        [counter, "--tool=callgrind", "--callgrind-out-file=/dev/null", program, part, str(turns)],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    collected = COLLECTED.search(done.stderr)
    if done.returncode != 0 or collected is None:
        raise Failure(f"valgrind failed (exit code {done.returncode}):\n{done.stderr}")
    return int(collected[1])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError) as failure:
        sys.exit(str(failure))
