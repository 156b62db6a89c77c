"""Errors for scripts: every command of both programs, used wrongly, without a server, and about what there is not, gives one
document of the form that poc(1) has, and one line for people that names no field as only the code does."""
import os
import re
import unittest

from harness import ROOT, World, main, run
from ports import free_port
from harness import POC, POCADM
from test_docs import commands_of

# Of each command: the user, arguments that are good but for the server, and the exit status without one; and where it is
# about a state or a notice, arguments that name one that there is not, and that exit status.
READER, OPERATOR, COORDINATOR, STAFF = "xa-reader", "xa-operator", "xa-coordinator", "directory-admin"
NONE = "/nonexistent/file"
COMMANDS = {
    "poc": {
        "setup": (READER, [NONE], 5),
        "lookup": (READER, ["XB"], 3, ["XZ"], 5),
        "search": (READER, ["--kind", "cook"], 2),
        "sync": (READER, [], 3),
        "verify": (READER, [NONE], 5),
        "history": (READER, ["XB"], 3, ["XZ"], 5),
        "export": (READER, ["-f", "pdf"], 2),
        "status": (READER, [], 3),
        "edit": (COORDINATOR, ["XA"], 3, ["Atlantis"], 5),
        "publish": (COORDINATOR, ["{record}"], 3, [NONE], 5),
        "confirm": (COORDINATOR, ["XA"], 3, ["XZ"], 4),
        "withdraw": (COORDINATOR, ["XA"], 3, ["XZ"], 4),
        "notice send": (OPERATOR, ["--subject", "s", "--text", "t"], 2, ["--to", "XZ", "--subject", "s", "--text", "t"], 5),
        "notice list": (OPERATOR, [], 3, ["--limit", "none"], 2),
        "notice show": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice ack": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice accept": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice decline": (OPERATOR, ["ABCD", "--reason", "other"], 3, ["ABCD", "--reason", "other"], 5),
        "notice reply": (OPERATOR, ["ABCD", "--text", "t"], 3, ["ABCD", "--text", "t"], 5),
        "notice close": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice take": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice release": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice note": (OPERATOR, ["ABCD", "--text", "t"], 3, ["ABCD", "--text", "t"], 5),
        "notice remind": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice escalate": (OPERATOR, ["ABCD", "--to", "XB"], 3, ["ABCD", "--to", "XB"], 5),
        "notice forward": (OPERATOR, ["ABCD", "--to", "XB"], 3, ["ABCD", "--to", "XB"], 5),
        "notice status": (OPERATOR, ["ABCD"], 3, ["ABCD"], 5),
        "notice timing": (OPERATOR, ["--exercise", "e"], 3, ["--exercise", "No Name"], 2),
        "notice save": (OPERATOR, ["ABCD", "/tmp"], 3, ["ABCD", "/tmp"], 5),
        "notice watch": (OPERATOR, ["--once", "--cursor", "No Name"], 2),
        "notice flush": (OPERATOR, ["--discard", "ABCD"], 5),
        "handover": (OPERATOR, [], 3, ["--since", "lately"], 2),
        "report": (OPERATOR, ["XB", "+999000001", "--reason", "wrong", "--online"], 3, ["XZ", "+1", "--reason", "wrong"], 5),
        "readers": (OPERATOR, [], 3, ["--since", "lately"], 2),
        "user invite": (COORDINATOR, ["duty-7", "--role", "cook"], 2),
        "user add": (COORDINATOR, [NONE], 5),
        "user remove": (COORDINATOR, ["reader"], 3, ["nobody"], 5),
        "user list": (READER, ["XB"], 3, ["XZ"], 5),
        "key new": (READER, [NONE], 1),
        "key show": (READER, ["XB"], 3, ["XZ"], 5),
        "key verified": (READER, ["XB"], 3, ["XZ"], 5),
        "key rotate": (OPERATOR, ["user"], 3, ["mine"], 2),
        "key announce": (OPERATOR, [], 3),
        "state new": (READER, ["XD", "--out", NONE], 1),
        "state draft": (COORDINATOR, ["{new}"], 3, ["{new}", "--state", "XZ"], 5),
        "state sign": (COORDINATOR, [NONE], 2),
        "state show": (COORDINATOR, [NONE], 5),
        "state submit": (COORDINATOR, [NONE], 5),
    },
    "pocadm": {
        "init": (STAFF, ["{world}", "--origin", "x.example"], 1),
        "state enrol": (STAFF, [NONE, "--reference", "r"], 5),
        "state suspend": (STAFF, ["XB", "--reason", "r"], 3, ["XZ", "--reason", "r"], 5),
        "state lift": (STAFF, ["XB"], 3, ["XZ"], 5),
        "state list": (STAFF, [], 3),
        "state replace": (STAFF, ["{new}", NONE], 3, ["{new}", NONE], 5),
        "trust draft": (STAFF, ["{new}", "--quorum", "0"], 3),
        "trust sign": (STAFF, [NONE], 2),
        "trust show": (STAFF, [NONE], 5),
        "trust publish": (STAFF, [NONE], 5),
        "document publish": (STAFF, ["d", NONE], 5),
        "document withdraw": (STAFF, ["d"], 3, ["d"], 5),
        "document list": (STAFF, [], 3),
        "document show": (STAFF, ["d"], 3, ["d"], 5),
        "document history": (STAFF, ["d"], 3, ["d"], 5),
        "key rotate": (STAFF, ["tls"], 3, ["log"], 2),
        "ping start": (STAFF, ["XB"], 3, ["--all", "XB"], 2),
        "ping report": (STAFF, [], 3),
        "ping cancel": (STAFF, ["2026-11-24T12:00:00Z"], 3, ["2026-11-24T12:00:00Z"], 5),
        "import": (STAFF, [NONE], 5),
        "check": (STAFF, [NONE], 5),
        "backup": (STAFF, [NONE], 5),
        "restore": (STAFF, [NONE, "{new}"], 5),
        "signed": (STAFF, [NONE], 5),
        "remind": (STAFF, [], 3),
        "stats": (STAFF, [], 3),
        "metrics": (STAFF, [], 3),
        "reload": (STAFF, [NONE], 5),
    },
}
PROGRAMS = {"poc": POC, "pocadm": POCADM}


def codes():
    """{code: exit status}, as poc(1) has them."""
    with open(os.path.join(ROOT, "docs/man/poc.1"), encoding="utf-8") as file:
        part = file.read().split(".Ss Errors in JSON")[1].split(".Ss ")[0].split(".Sh ")[0]
    return {code: int(number) for number, line in re.findall(r"(?m)^\.It (\d)\n\.Cm (.*)$", part) for code in line.split(" , ")}


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        cls.codes = codes()
        cls.words = {"{record}": os.path.join(cls.world.root, "xa.json"), "{new}": os.path.join(cls.world.root, "new"),
                     "{world}": cls.world.path()}
        with open(cls.words["{record}"], "w", encoding="utf-8") as out:
            out.write(cls.world.poc("xa-coordinator", "-o", "json", "lookup", "XA").out)

    def refused(self, program, command, user, args, *before, status=2):
        words = [self.words.get(word, word) for word in (*command.split(), *args)]
        result = run(PROGRAMS[program], "-c", self.world.conf(user), "-y", "-o", "json", *before, *words, expect=None,
                     env=self.world.env)
        self.assertEqual(result.status, status, result)
        document = result.json
        self.assertEqual(document["schema"], f"poc.{command.replace(' ', '-')}/1", result)
        error = document["error"]
        self.assertEqual(sorted(error), ["code", "exit_status", "message"], result)
        self.assertEqual((error["exit_status"], self.codes.get(error["code"])), (status, status), result)
        self.assertTrue(error["message"], result)
        for said in error["message"], result.err:
            self.assertNotRegex(said, r"\b(core|head|inner|writes\[\d+\])\.|(^|: )[a-z_]+\.[a-z_]+: ", result)

    def walk(self, program):
        table = COMMANDS[program]
        self.assertEqual(sorted(table), sorted(command for command, _ in commands_of(PROGRAMS[program])))
        nobody = ("-s", f"127.0.0.1:{free_port()}")
        for command, row in table.items():
            user, args, status = row[:3]
            with self.subTest(command=command):
                self.refused(program, command, user, [*args, "--no-such-flag"])
                self.refused(program, command, user, args, *nobody, status=status)
                if len(row) > 3:
                    self.refused(program, command, user, row[3], status=row[4])

    def test_poc(self):
        self.walk("poc")

    def test_pocadm(self):
        self.walk("pocadm")

    def test_before_a_command(self):
        for words in ["looks"], ["--no-such-flag"], [], ["notice"], ["notice", "sing"]:
            error = run(POC, "-o", "json", *words, expect=2, env=self.world.env).json
            self.assertEqual((error["schema"], error["error"]["exit_status"]), ("poc.error/1", 2), words)

    def test_fields_by_their_names(self):
        """What is refused is named as it was typed: the flag, or the form's field."""
        send = ["notice", "send", "--subject", "s", "--text", "t", "--to", "XB"]
        for words, said in (([*send, "--reply-by", "1h", "--escalate", "XB"], "--escalate: is a recipient already"),
                            ([*send, "--urgency", "asap"], '--urgency: "asap" is not: routine, urgent or emergency'),
                            ([*send, "--exercise", "No Name"], '--exercise: "No Name" is not: '),
                            ([*send, "--ref", "r" * 201], "--ref: longer than 200"),
                            ([*send, "--set", "detected=yesterday"], "--set detected: must be a time like"),
                            ([*send, "--set", "indicators=ip"], "--set indicators: indicators[0]: ")):
            for form in [], ["-o", "json"]:
                result = self.world.poc(OPERATOR, *form, *words, expect=None)
                self.assertNotEqual(result.status, 0)
                self.assertTrue(result.err.startswith("poc: " + said), result)
                if form:
                    self.assertTrue(result.json["error"]["message"].startswith(said), result)


if __name__ == "__main__":
    main()
