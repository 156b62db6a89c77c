"""The manual pages and the documents say what the programs do: every configuration key, command and flag has its line, and
nothing else has one; every file, room and table that a document names is there.  (That the defaults given are the true ones
is test_config's matter.)"""
import os
import re
import shutil
import subprocess
import unittest

from harness import POC, POCADM, POCD, ROOT, World, main, run

PROGRAMS = {"poc": POC, "pocadm": POCADM}


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def page(name):
    return read("docs", "man", name).replace("\\\n", "")


def keys_of_code(path):
    """The rows of a table of configuration keys."""
    rows = re.search(r"(?s)static const struct setting rows\[\] = \{(.*?)\n\};", read(path)).group(1)
    return re.findall(r'\{"([a-z]+)", "([a-z_]+)"', rows)


def entries_of_page(text):
    """Of a manual page of a configuration: [(section, key, text)]."""
    found = []
    for section, body in re.findall(r"(?ms)^\.Ss \[([a-z]+)\]\n(.*?)(?=^\.Ss|^\.Sh)", text):
        found += [(section, key, rest) for key, rest in re.findall(r"(?ms)^\.It Cm ([a-z_]+)(.*?)(?=^\.It|^\.El)", body)]
    return found


def help_of(program, *words):
    return run(program, *words, "--help").out


def commands_of(program, *words):
    """Every command with its own flags, [(words, {flags})]."""
    text = help_of(program, *words)
    if "\ncommands:\n" not in text:
        own = text.split("flags of every command:")[0]
        return [(" ".join(words), set(re.findall(r"(?m)^  (?:-\w,|   ) --([a-z-]+)", own)))]
    below = re.findall(r"(?m)^  ([a-z]+) ", text.split("\ncommands:\n")[1].split("\nflags:\n")[0])
    return [command for word in below for command in commands_of(program, *words, word)]


class Configuration(unittest.TestCase):
    def check(self, source, name):
        code, entries = keys_of_code(source), entries_of_page(page(name))
        self.assertEqual(code, [(section, key) for section, key, _ in entries])
        self.assertGreater(len(code), 10)
        for section, key, text in entries:
            given = re.findall(r"(?m)^(?:Default:$|Default: none\b|Required[.,])", text)
            self.assertEqual(len(given), 1, f"{name}: [{section}] {key} needs one default, or \"Required.\"")

    def test_pocd(self):
        self.check("pocd/config.c", "pocd.conf.5")

    def test_poc(self):
        self.check("clients/cli/conf.c", "poc.conf.5")


class Commands(unittest.TestCase):
    def check(self, name):
        text = page(name + ".1")
        documented = {}
        for command, rest in re.findall(r"(?ms)^\.It Ic ((?:[a-z]+ ?)+)(.*?)(?=^\.It|^\.El)", text):
            documented[command.strip()] = set(re.findall(r"Fl -([a-z-]+)", rest))
        real = dict(commands_of(PROGRAMS[name]))
        self.assertEqual(sorted(documented), sorted(real))
        for command, flags in real.items():
            # a flag of every command may be mentioned with one
            self.assertEqual(documented[command] - self.global_flags(), flags, f"{name} {command}")

    def global_flags(self):
        return set(re.findall(r"(?m)^  (?:-\w,|   ) --([a-z-]+)", help_of(POC).split("\nflags:\n")[1]))

    def test_poc(self):
        self.check("poc")

    def test_pocadm(self):
        self.check("pocadm")

    def test_global_flags(self):
        part = page("poc.1").split(".Ss Flags of every command")[1].split(".Ss ")[0]
        self.assertEqual(set(re.findall(r"(?m)^\.It .*Fl -([a-z-]+)", part)), self.global_flags())

    def test_pocd(self):
        flags = set(re.findall(r"--([a-z-]+)", help_of(POCD)))
        self.assertEqual(set(re.findall(r"(?m)^\.It .*Fl -([a-z-]+)", page("pocd.8"))), flags)

    def test_events(self):
        """Each event of the daemon's log has its line in pocd(8), and nothing else has one."""
        events = set()
        for folder, _, names in os.walk(os.path.join(ROOT, "pocd")):
            for name in names:
                if name.endswith(".c"):
                    text = read(folder, name)
                    events |= set(re.findall(r'\bdiag\([^;"]*"([a-z_]+\.[a-z_]+)"', text))
                    events |= set(re.findall(r'\bdiag\([^;"]*"[a-z_.]+" : "([a-z_.]+)"', text))
                    events |= set(re.findall(r'\b(?:note_trouble|log_malformed)\([^;"]*"([a-z_.]+)"', text))
        documented = re.findall(r"(?m)^\.It Ic (.*)$", page("pocd.8").split(".Sh LOG")[1].split(".Sh ")[0])
        self.assertEqual({event for line in documented for event in line.split(" , ")}, events)

    def test_exit_statuses(self):
        """0 to 8, as proto/wire/status.h has them."""
        part = page("poc.1").split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
        used = {int(exit_status) for exit_status in re.findall(r'X\(\w+, \d+, "[a-z-]+", (\d)', read("proto/wire/status.h"))}
        self.assertEqual([int(number) for number in re.findall(r"(?m)^\.It (\d)$", part)], sorted(used))

    def test_error_codes(self):
        """Each code that an error in JSON can have, under its exit status."""
        part = page("poc.1").split(".Ss Errors in JSON")[1].split(".Ss ")[0]
        shown = {(code, number) for number, line in re.findall(r"(?m)^\.It (\d)\n\.Cm (.*)$", part) for code in line.split(" , ")}
        rows = set(re.findall(r'X\(\w+, \d+, "([a-z-]+)", (\d)', read("proto/wire/status.h")))
        self.assertEqual(shown, rows - {("ok", "0")})


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _poc_complete; printf "%s\\n" "${COMPREPLY[@]}"')
        file = os.path.join(ROOT, "clients/completion/poc.sh")
        return run("bash", "-c", script, "bash", file, *words).out.split()

    def test_bash(self):
        self.assertEqual(self.complete(POC, "ver"), ["verify"])
        self.assertEqual(self.complete(POC, "-c", "x.conf", "user", ""), ["invite", "add", "remove", "list"])
        self.assertEqual(self.complete(POC, "lookup", "BR", "--sa"), ["--save"])
        self.assertEqual(self.complete(POC, "search", "--o"), ["--open-now", "--output", "--offline", "--online"])
        self.assertEqual(self.complete(POCADM, "state", "e"), ["enrol"])
        self.assertEqual(self.complete(POC, "verify", os.path.join(ROOT, "READ")), [os.path.join(ROOT, "README.md")])


class Pages(unittest.TestCase):
    NAMES = ("poc.1", "pocadm.1", "libpoc.3", "poc.conf.5", "poc-record.5", "poc-notice.5", "pocd.conf.5", "pocd.8")

    def test_sections(self):
        self.assertEqual(sorted(os.listdir(os.path.join(ROOT, "docs/man"))), sorted(self.NAMES))
        for name in self.NAMES:
            text = page(name)
            wanted = {"NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"}
            wanted |= {"SYNOPSIS", "EXIT STATUS"} if name[-1] in "18" else set()
            self.assertLessEqual(wanted, set(re.findall(r"(?m)^\.Sh (.*)$", text)), name)
            for other, section in re.findall(r"(?m)^\.Xr (\S+) (\d)", text):
                self.assertIn(f"{other}.{section}", self.NAMES, name)

    def test_lint(self):
        tools = [tool for tool in (["mandoc", "-T", "lint", "-W", "warning"], ["man", "--warnings", "-l", "-Tutf8"])
                 if shutil.which(tool[0])]
        if not tools:
            self.skipTest("neither mandoc nor man is installed")
        for name in self.NAMES:
            for tool in tools:
                done = subprocess.run([*tool, os.path.join(ROOT, "docs/man", name)], capture_output=True, text=True, check=False)
                if tool[0] == "mandoc":
                    self.assertEqual((done.returncode, done.stdout), (0, ""), name)
                else:
                    self.assertEqual(done.returncode, 0, done.stderr)


class Notice(unittest.TestCase):
    """poc-notice(5)."""

    def test_fields(self):
        """Every field that a form can have is named."""
        table = re.search(r"(?s)static const struct field fields\[\] = {(.*?)\n};", read("clients/cli/form.c")).group(1)
        names = re.findall(r'(?m)^    {"(\w+)",', table)
        words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"(?m)^\.It Ic (.*)$", page("poc-notice.5")))))
        self.assertGreater(len(names), 30)
        self.assertEqual(set(names), words)


class Record(unittest.TestCase):
    """poc-record(5)."""

    def test_fields(self):
        """Every field that a content can have is named."""
        schema, text = read("proto/rules/payload.proto"), page("poc-record.5")
        words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"(?m)^\.(?:It )?(?:Ic|Pq Ic) (.*)$", text))))
        todo, seen = ["Content"], set()
        while todo:
            message = todo.pop()
            seen.add(message)
            for kind, name in re.findall(r"(?m)^\t(?:repeated )?(\w+) (\w+) = \d+", re.search(rf"(?ms)^message {message} {{(.*?)^}}", schema).group(1)):
                if kind[0].isupper():
                    todo += [kind] if kind not in seen else []
                self.assertTrue(name in words or f"dq{name}\\(dq" in text, f"{message}.{name}")
        self.assertGreater(len(seen), 8)

    def test_example(self):
        """The example is published as it stands."""
        example = re.search(r"(?s)\.Sh EXAMPLES\n\.Bd -literal\n(.*?)\.Ed", page("poc-record.5")).group(1)
        with World() as world:
            path = os.path.join(world.root, "example.json")
            with open(path, "w", encoding="utf-8") as out:
                out.write(example)
            world.poc("xa-coordinator", "-y", "publish", path)
            answer = world.poc("xb-operator", "lookup", "XA").out
            self.assertIn("Ana Souza", answer)
            self.assertIn("+999000011", answer)


class Documents(unittest.TestCase):
    def documents(self):
        yield "README.md", read("README.md")
        for name in sorted(os.listdir(os.path.join(ROOT, "docs"))):
            if name.endswith(".md"):
                yield "docs/" + name, read("docs", name)

    def test_links(self):
        for name, text in self.documents():
            prose = re.sub(r"`[^`]*`", "", text)
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
                if "://" not in target:
                    path = os.path.normpath(os.path.join(os.path.dirname(name), target))
                    self.assertTrue(os.path.exists(os.path.join(ROOT, path)), f"{name}: {target}")

    def test_paths(self):
        """What stands between backticks and begins with one of our rooms is there."""
        for name, text in self.documents():
            for path in re.findall(r"`((?:proto|pocd|clients|certs|tests|docs)/[\w./*-]*)`", text):
                if "*" in path:
                    continue
                found = any(os.path.exists(os.path.join(ROOT, path + end)) for end in ("", ".c", ".h", ".py"))
                self.assertTrue(found, f"{name}: {path}")

    def test_verbs(self):
        """Each verb of ./dev that a document shows exists."""
        verbs = set(re.findall(r"(?m)^\./dev (\w+)", run(os.path.join(ROOT, "dev")).out))
        for name, text in self.documents():
            self.assertLessEqual(set(re.findall(r"\./dev (\w+)", text)), verbs, name)

    def test_tables(self):
        """docs/storage.md shows the tables in the order of their numbers, and the names in meta."""
        text = read("docs/storage.md")
        names = re.search(r"(?s)names\[TABLE_COUNT\] = \{(.*?)\}", read("pocd/store/store.c")).group(1)
        self.assertEqual(re.findall(r"(?m)^\| (\d+) \| `(\w+)`", text),
                         [(str(number), name) for number, name in enumerate(re.findall(r'"(\w+)"', names))])
        meta = [name for path in ("pocd/store/schema.h", "pocd/directory/rows.h")
                for name in re.findall(r'#define META_\w+ +"(\w+)"', read(path))]
        self.assertEqual(re.findall(r"(?m)^\| `(\w+)` \|", text.split("| name in `meta` |")[1].split("\n\n")[0]), meta)

    def test_protocol(self):
        """docs/protocol.md has the codes of errors and the largest sizes of requests that the code has."""
        text = read("docs/protocol.md")
        table = text.split("## 3 Errors")[1].split("\n\n")[2]
        shown = {int(code): name for code, name in re.findall(r"\| (\d+) \| ([a-z-]+)", table)}
        codes = {int(code): name for code, name in re.findall(r'X\(\w+, (\d+), "([a-z-]+)"', read("proto/wire/status.h"))}
        self.assertEqual(shown, codes)
        rows = re.findall(r'\{POC__REQUEST__BODY_\w+, "(\w+)", \w+, (\d+),', read("pocd/handlers/dispatch.c"))
        line = re.search(r"any request but Submit.*", text).group(0)
        for name, size in rows:
            word = name.title().replace("_", "")
            self.assertRegex(line, rf"{word} {int(size):,}\b")
        self.assertEqual(len(rows), 12)
        for name in ("SUBMIT", "POST", "ANSWER"):
            size = re.search(rf"FRAME_MAX_{name} = (\d+) \* 1024", read("proto/wire/frame.h")).group(1)
            self.assertRegex(text, rf"\| {'answer' if name == 'ANSWER' else name.title()} \| {int(size) * 1024:,}\b")

    def test_no_secrets(self):
        """No private key is part of the repository, nor what looks like one, wherever in a line."""
        if not os.path.exists(os.path.join(ROOT, ".git")) or not shutil.which("git"):
            self.skipTest("not a git working tree")
        files = run("git", "-C", ROOT, "grep", "-lE", "-----BEGIN ([A-Z]+ )?PRIVATE KEY-----", expect=None).out.split()
        self.assertEqual(files, [])


if __name__ == "__main__":
    main()
