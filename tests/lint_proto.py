#!/usr/bin/python3
"""Judges the schemas: no message contains itself (protobuf-c's parser has no limit of its own), none nests deeper than
docs/protocol.md says, numbers of fields ascend from 1 without gaps or repetition, every message, enum and field says in
a comment what it is, and every request has a seed in the corpus of fuzz_request."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ("proto/rules/payload.proto", "proto/rules/notice.proto", "proto/rules/ceremony.proto", "proto/wire/poc.proto")
DEPTH_MAX = 6
FIELD = re.compile(r"\t+(?P<repeated>repeated )?(?:(?P<type>[\w.]+) )?(?P<name>\w+) = (?P<number>\d+)(?: \[packed = true\])?;(?P<comment> *//.*)?$")
SCALARS = {"bytes", "string", "bool", "uint32", "uint64", "int64", "fixed32"}


def read(path):
    """Yields (block, name, first line, [field matches], whether it has a comment above it or explains its fields)."""
    name, fields, above = None, [], False
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        start = re.match(r"(message|enum) (\w+) \{(\})?", line)
        if start:
            kind, name, fields, first = start.group(1), start.group(2), [], number
            if start.group(3):
                yield kind, name, first, fields
                name = None
        elif name and line == "}":
            yield kind, name, first, fields
            name = None
        elif name and (match := FIELD.match(line)):
            fields.append((number, match, above))
        elif name and "=" in line.split("//")[0]:
            raise SystemExit(f"{path}, line {number}: not understood: {line.strip()}")
        above = re.match(r"\s*//", line) is not None


# How many levels of submessages a message has below it.
def depth_of(name, messages, trail=()):
    if name in trail:
        raise SystemExit("a ring: " + " -> ".join([*trail, name]))
    return max((1 + depth_of(inner, messages, (*trail, name)) for inner in messages[name]), default=0)


def main():
    faults, messages, enums = [], {}, set()
    for path in SCHEMAS:
        for kind, name, first, fields in read(path):
            numbers = [int(match["number"]) for _, match, _ in fields]
            least = 1 if kind == "message" else 0
            if numbers != list(range(least, least + len(numbers))):
                faults.append(f"{path}, line {first}: numbers of {name} do not ascend from {least} one by one")
            for line, match, above in fields:
                if not match["comment"] and not above:
                    faults.append(f"{path}, line {line}: {name}.{match['name']} says nothing about itself")
            if name == "Request":
                seeds = {match["name"].replace("_", "-") for _, match, _ in fields if match["type"] not in SCALARS}
                faults += [f"tests/fuzz/corpus/request/{seed} is missing" for seed in sorted(seeds)
                           if not (ROOT / "tests/fuzz/corpus/request" / seed).exists()]
            if kind == "enum":
                enums.add(name)
            else:
                messages[name] = [match["type"] for _, match, _ in fields]
    for name, types in messages.items():
        unknown = [word for word in types if word not in SCALARS | enums | set(messages)]
        faults += [f"{name}: unknown type {word}" for word in unknown]
        messages[name] = [word for word in types if word in messages]
    deepest = max(depth_of(name, messages) for name in messages)
    if deepest > DEPTH_MAX:
        faults.append(f"messages nest {deepest} deep")
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    if f"no message needs more than {DEPTH_MAX}" not in text:
        faults.append("docs/protocol.md gives another depth")
    for fault in faults:
        print(fault)
    print(f"{len(messages)} messages, {len(enums)} enums, {deepest} deep, {len(faults)} faults")
    return 1 if faults or not messages else 0


if __name__ == "__main__":
    sys.exit(main())
