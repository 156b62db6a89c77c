"""Static analysis of proto/, pocd/ and clients/: every finding is mended, or explained in a list beside this script.

usage: findings.py gcc-analyzer|clang-tidy BUILD_FOLDER [--list]

Fails on a finding that is not explained, and (with the version of the tool that the list was made for) on an explanation
whose finding is gone.  A line of a list: FILE FUNCTION CHECK: why it is no fault.
"""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ROOMS = ("proto/", "pocd/", "clients/")
FINDING = re.compile(r"^(?P<file>/?[^:\s]+\.[ch]):(?P<line>\d+):\d+: (?:warning|error): (?P<text>.*)"
                     r" \[(?:-W)?(?P<check>[a-zA-Z.,-]+)\]$")
DEFINITION = re.compile(r"^[a-zA-Z_].*?\**(\w+)\(")
MADE_FOR = {"gcc-analyzer": (["gcc", "-dumpversion"], "12"), "clang-tidy": (["clang-tidy", "--version"], "14")}


def commands(folder):
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as listing:
        for entry in json.load(listing):
            source = os.path.relpath(os.path.join(folder, entry["file"]), ROOT)
            if source.startswith(ROOMS):
                yield source, entry


def gcc_analyzer(_folder, source, entry):
    words = [word for word in shlex.split(entry["command"]) if word not in ("ccache", "-Werror", "-MD")]
    for option in ("-o", "-MF", "-MQ"):
        if option in words:
            at = words.index(option)
            del words[at:at + 2]
    words += ["-fanalyzer", "-o", "/dev/null", "-fdiagnostics-color=never", "-fdiagnostics-path-format=none"]
    done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{source}: {done.stderr}")
    return done.stderr


def clang_tidy(folder, source, _entry):
    done = subprocess.run(["clang-tidy", "-p", folder, "--quiet", os.path.join(ROOT, source)], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0 and not done.stdout:
        raise RuntimeError(f"{source}: {done.stderr}")
    return done.stdout


def function_at(path, line):
    """The function that holds a line: the last definition that starts in the first column above it."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        lines = source.readlines()[:line]
    for text in reversed(lines):
        if (match := DEFINITION.match(text)) and not text.rstrip().endswith(";"):
            return match[1]
    return "-"


def analyze(tool, folder, job):
    source, entry = job
    findings = {}
    for line in tool(folder, source, entry).splitlines():
        if (match := FINDING.match(line)):
            path = os.path.relpath(os.path.join(entry["directory"], match["file"]), ROOT)
            check = match["check"].replace(",-warnings-as-errors", "")
            function = function_at(path, int(match["line"]))
            findings.setdefault((path, function, check), f"{path}:{match['line']}: {match['text']}")
    return findings


def explained(name):
    known = {}
    with open(os.path.join(HERE, name + ".txt"), encoding="utf-8") as listing:
        for line in listing:
            if line.strip() and not line.startswith("#"):
                subject, reason = line.rstrip("\n").split(": ", 1)
                known[tuple(subject.split())] = reason
    return known


def has_made_for_version(name):
    command, version = MADE_FOR[name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(rf"(^|version ){version}(\.|$)", said, re.MULTILINE) is not None


def main():
    name, folder = sys.argv[1], os.path.abspath(sys.argv[2])
    tool = {"gcc-analyzer": gcc_analyzer, "clang-tidy": clang_tidy}[name]
    os.environ["LC_ALL"] = "C"
    findings = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda job: analyze(tool, folder, job), commands(folder)):
            findings.update(found)
    if "--list" in sys.argv:
        for (path, function, check), text in sorted(findings.items()):
            print(f"{path} {function} {check}: {text}")
        return 0
    known = explained(name)
    bad = 0
    for subject, text in sorted(findings.items()):
        if subject not in known:
            print(f"{text} [{subject[2]}, in {subject[1]}]: neither mended nor explained in tests/lint/{name}.txt")
            bad += 1
    if has_made_for_version(name):
        for subject in sorted(set(known) - set(findings)):
            print(f"{' '.join(subject)}: explained in tests/lint/{name}.txt, but found no more")
            bad += 1
    print(f"{name}: {len(findings)} findings, {bad} of them open")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
