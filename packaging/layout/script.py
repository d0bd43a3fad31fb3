#!/usr/bin/env python3
"""script.py PROGRAM PLAIN HOT WARM: prints the linker script that puts together the functions of PROGRAM that are named in the files
PLAIN (what every host needs while nothing is wrong), HOT (what others need then) and WARM, a line each."""
import collections
import pathlib
import re
import sys

import calls

# A pattern stands for every function that differs only in what it leaves out. What those weigh that never run, bytes for each one that
# does: with more, it stays where it is. The kernel maps 64 KiB around what is called, so it would cost as much.
MOST_OTHERS = 32 * 1024

# What every host needs, as far as the lists cannot say.
ALWAYS = [
    # It ends before functions are noted.
    "*(.text._RNvNtNtCs*_8autoheal4host3raw9give_back)",
    # ring's assembly has no sections of its own for its functions.
    "*libring-*:*(.text)",
]

HEAD = """\
/* Made by packaging/layout/record. Which functions lie beside each other: .text.hot are those that run while nothing is wrong,
   .text.warm those that run only when something is. A pattern that fits nothing is no error. See docs/performance.md. */
SECTIONS {"""


def pattern(name):
    """The name without what another compiler or other code gives it: hashes of crates and of instances, and what LLVM adds."""
    if name.startswith("_R"):
        return re.sub(r"\.(llvm\.)?[0-9]+$", ".*", re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name))
    return re.sub(r"17h[0-9a-f]{16}E.*", "17h*", name)


def sections(path, sizes, taken):
    """The patterns of the functions of a list that are not taken yet, in the order of the calls: what one kind of check calls lies
    together, and a host that has no such check does not need it."""
    names = dict.fromkeys(pathlib.Path(path).read_text().split())
    found = []
    for text in dict.fromkeys(map(pattern, names)):
        wanted = [size for (name, _), size in sizes[text].items() if name in names]
        if text not in taken and sum(sizes[text].values()) - sum(wanted) <= MOST_OTHERS * len(wanted):
            found.append(text)
    taken.update(found)
    # What makes room in a table or a vector is marked as cold: its section is .text.unlikely.NAME.
    return [f"*(.text*.{text})" for text in found]


def main():
    program, *lists = sys.argv[1:]
    sizes = collections.defaultdict(dict)
    for address, (name, size) in calls.functions(program).items():
        sizes[pattern(name)][name, address] = size
    taken = set()
    plain, hot, warm = (sections(path, sizes, taken) for path in lists)
    print(HEAD)
    for output, inputs in ((".text.hot", plain + ALWAYS + hot), (".text.warm", warm)):
        print(f"  {output} : ALIGN(4096) {{", *inputs, sep="\n    ")
        print("  }")
    print("} INSERT BEFORE .text;")


if __name__ == "__main__":
    main()
