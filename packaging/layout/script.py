#!/usr/bin/env python3
"""script.py PROGRAM HOT WARM: prints the linker script that puts together the functions of PROGRAM that are named in the files HOT and
WARM, a line each."""
import collections
import re
import sys

import calls

# A pattern stands for every function that differs only in what it leaves out. What those weigh that never run, bytes for each one that
# does: with more, it stays where it is. The kernel maps 64 KiB around what is called, so it would cost as much.
MOST_OTHERS = 32 * 1024

HEAD = """\
/* Made by packaging/layout/record. Which functions lie beside each other: .text.hot are those that run while nothing is wrong,
   .text.warm those that run only when something is. A pattern that fits nothing is no error. See docs/performance.md. */
SECTIONS {"""


def pattern(name):
    """The name without what another compiler or other code gives it: hashes of crates and of instances, and what LLVM adds."""
    if name.startswith("_R"):
        return re.sub(r"\.(llvm\.)?[0-9]+$", ".*", re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name))
    return re.sub(r"17h[0-9a-f]{16}E.*", "17h*", name)


def section(name, patterns):
    print(f"  {name} : ALIGN(4096) {{")
    for text in patterns:
        print(f"    *(.text.{text})")


def main():
    program, *lists = sys.argv[1:]
    sizes = collections.defaultdict(dict)
    for address, (name, size) in calls.functions(program).items():
        sizes[pattern(name)][name, address] = size
    taken = set()
    print(HEAD)
    for output, path in zip((".text.hot", ".text.warm"), lists, strict=True):
        with open(path) as file:
            names = dict.fromkeys(file.read().split())
        fitting = []
        # In the order of the calls: what one kind of check calls lies together, and a host that has no such check does not need it.
        for text in dict.fromkeys(map(pattern, names)):
            wanted = [size for (name, _), size in sizes[text].items() if name in names]
            if text not in taken and sum(sizes[text].values()) - sum(wanted) <= MOST_OTHERS * len(wanted):
                fitting.append(text)
        taken.update(fitting)
        section(output, fitting)
        if output == ".text.hot":
            # What makes room in a table or a vector is marked as cold. There is little of it, and much of that is needed.
            print("    *(.text.unlikely.*)")
        print("  }")
    print("} INSERT BEFORE .text;")


if __name__ == "__main__":
    main()
