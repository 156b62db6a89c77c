"""Slips of scripts and of people with notices: what is meant is neither lost in silence nor sent without its marks."""
import glob
import json
import os
import subprocess
import time
import unittest

from harness import POC, World, main

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World().__enter__()


def tearDownModule():
    WORLD.__exit__(None, None, None)


class Slips(unittest.TestCase):
    SEND = ("notice", "send", "--to", "XB", "--subject", "s")

    def fed(self, text, *words, expect=0, user="xa-operator"):
        """poc with a pipe that holds text at its standard input."""
        done = subprocess.run([POC, "-c", WORLD.conf(user), *words], input=text, capture_output=True, text=True, env=WORLD.env,
                              timeout=60)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def sent(self):
        return len(WORLD.poc("xa-operator", "-o", "json", "notice", "list", "--all").json["notices"])

    def test_empty_values(self):
        """An unset variable of a script names nothing: no notice without its mark, no list without its filter."""
        before = self.sent()
        for words in ((*self.SEND, "--text", "t", "--exercise", ""), (*self.SEND, "--text", "t", "--exercise="),
                      (*self.SEND, "--text", ""), ("notice", "list", "--exercise", ""), ("lookup", "XB", "--section", ""),
                      ("notice", "watch", "--once", "--exec", "")):
            refused = WORLD.poc("xa-operator", *words, expect=2)
            self.assertRegex(refused.err, "^poc: --[a-z]+: the value is empty; leave the flag out")
            self.assertEqual(refused.out, "")
        self.assertIn("exercise", WORLD.poc("xa-operator", *self.SEND, "--text", "t", "--set", "exercise=", expect=2).err)
        self.assertIn("exercise", self.fed('{"exercise":""}', *self.SEND, "--text", "t", expect=2).stderr)
        WORLD.poc("xa-operator", "-s", "", "lookup", "XB", expect=2)
        self.assertEqual(self.sent(), before)

    def test_fields_beside_a_text(self):
        """JSON on standard input counts beside --text; whatever else is there is refused, and nothing is nothing."""
        would = json.loads(self.fed('{"urgency":"emergency","exercise":"winter-26","text":"other"}', "-o", "json", "-n", *self.SEND,
                                    "--text", "t").stdout)
        self.assertEqual((would["urgency"], would["exercise"]), ("emergency", "winter-26"))
        would = json.loads(self.fed('\n {"urgency":"emergency"}', "-o", "json", "-n", *self.SEND, "--text", "t", "--urgency",
                                    "urgent").stdout)
        self.assertEqual(would["urgency"], "urgent")
        self.assertIn("no JSON object", self.fed("words", "-n", *self.SEND, "--text", "t", expect=2).stderr)
        self.assertIn("unknown template field", self.fed('{"exercize":"x"}', "-n", *self.SEND, "--text", "t", expect=1).stderr)
        for nothing in "", "\n":
            self.fed(nothing, "-n", *self.SEND, "--text", "t")
        path = os.path.join(WORLD.root, "fields.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"exercise":"winter-26"}')
        with open(path, encoding="utf-8") as file:
            self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "-n", *self.SEND, "--text", "t", stdin=file).json["exercise"],
                             "winter-26")
        # closed: no file of the program's takes its place
        closed = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", POC, "-c", WORLD.conf("xa-operator"), "-n", *self.SEND, "--text",
                                 "t"], capture_output=True, text=True, env=WORLD.env, check=True)
        self.assertIn("would be sent", closed.stdout)
        # what is not to be read is not
        self.assertIn("would be sent", self.fed("words", "-n", *self.SEND, "--text", "t", "--no-input").stdout)
        self.assertIn("exclude each other", self.fed("words", "-n", *self.SEND, "--file", "-", "--no-input", expect=2).stderr)
        # what a flag reads as a file is not read as a form
        self.assertIn("would be sent", self.fed("words", "-n", *self.SEND, "--file", "-").stdout)
        self.assertIn("1 attachment", self.fed("bytes", "-n", *self.SEND, "--text", "t", "--attach", "-").stdout)
        # open and silent, as in a loop: not waited for without end
        ends = os.pipe()
        try:
            silent = WORLD.poc("xa-operator", "-n", *self.SEND, "--text", "t", stdin=ends[0], expect=2)
            self.assertRegex(silent.err, "standard input is open: waiting.*\n.*standard input is open, and nothing came")
            # who means nothing of it says so, also where nothing gives a text: then it is not waited for at all
            for words in ("--text", "t"), ("--set", "sector=energy"):
                self.assertIn("would be sent", WORLD.poc("xa-operator", "-n", *self.SEND, *words, "--no-input", stdin=ends[0]).out)
        finally:
            for end in ends:
                os.close(end)

    def test_foreign_fields(self):
        """What a reply or a note cannot mean is refused by its name, from wherever it comes: nothing is dropped in silence."""
        notice = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t", "--exercise", "ex-1").json["id"]
        before = self.sent()
        reply, note = ("notice", "reply", notice), ("notice", "note", notice)
        for name, value in (("to", "XB"), ("kind", "diplomatic"), ("escalate", "AE"), ("separately", "yes")):
            refused = WORLD.poc("xb-operator", *reply, "--text", "t", "--set", f"{name}={value}", expect=1)
            self.assertIn(f"{name}: a reply has no such field", refused.err)
            said = json.dumps({name: True if value == "yes" else value, "text": "t"})
            self.assertIn(f"{name}: a reply has no such field", self.fed(said, *reply, expect=1, user="xb-operator").stderr)
            path = os.path.join(WORLD.root, "reply.ini")
            with open(path, "w", encoding="utf-8") as out:
                out.write(f"reply_by = 4h\n{name} = {value}\n[text]\nt\n")
            refused = WORLD.poc("xb-operator", *reply, "--template", path, expect=1)
            self.assertIn(f"{name}: a reply has no such field: --set {name}= leaves it out", refused.err)
            WORLD.poc("xb-operator", "-n", *reply, "--template", path, "--set", f"{name}=")
        for name, value in (("to", ["FR"]), ("urgency", "urgent"), ("reply_by", "4h"), ("indicators", [])):
            said = json.dumps({name: value, "text": "t"})
            self.assertIn(f"{name}: a private note has no such field", self.fed(said, *note, expect=1, user="xb-operator").stderr)
        # the exercise is the thread's: the same one may be said, another may not
        for words in reply, note:
            self.assertIn("is not of the exercise", self.fed('{"exercise":"ex-2","text":"t"}', *words, expect=2, user="xb-operator").stderr)
            self.fed('{"exercise":"ex-1","text":"t"}', "-n", *words, user="xb-operator")
        self.assertEqual(self.sent(), before)
        # -k of a reply and --to of what is passed on are no fields
        WORLD.poc("xb-operator", "-n", *reply, "-k", "technical", "--text", "t")
        WORLD.poc("xb-operator", "-n", "notice", "forward", notice, "--to", "AE", "-k", "technical", "--text", "t")

    def test_contradictions(self):
        """One field said twice over, in two ways, is refused; a flag before a template's default is told where it goes elsewhere."""
        before = self.sent()
        for words in (("--set", "to=AE"), ("--urgency", "urgent", "--set", "urgency=emergency"), ("--set", "subject=other"),
                      ("--exercise", "ex-1", "--set", "exercise=ex-2"), ("--urgency", "urgent", "--set", "urgency="),
                      ("--set", "text=other")):
            refused = WORLD.poc("xa-operator", *self.SEND, "--text", "t", *words, expect=1)
            flag = words[-1].split("=")[0]
            self.assertIn(f"--set {flag}: --{flag} says something else", refused.err)
        for words in (("--set", "sector=a", "--set", "sector=b"), ("--set", "vessel=a", "--set", "vessel=")):
            self.assertIn("is given twice", WORLD.poc("xa-operator", *self.SEND, "--text", "t", *words, expect=1).err)
        for words in (("--set", "to=XB"), ("--set", "sector=a", "--set", "sector=a"), ("--kind", "technical", "--set", "kind=technical")):
            self.assertEqual(WORLD.poc("xa-operator", "-n", *self.SEND, "--text", "t", *words).err, "poc: dry run: nothing was sent\n")
        told = self.fed('{"to":["AE"],"urgency":"urgent","exercise":"ex-1","text":"t"}', "-n", *self.SEND, "--exercise", "ex-2",
                        "--urgency", "routine").stderr
        self.assertIn("poc: to: --to counts, instead of: AE\n", told)
        self.assertIn("poc: exercise: --exercise counts, instead of: ex-1\n", told)
        self.assertNotIn("urgency", told)
        self.assertEqual(self.sent(), before)

    def test_no_text(self):
        """A notice says something with any field of substance; a subject alone says nothing."""
        for field in ("rsit_class=availability/ddos", "indicators=ip 192.0.2.1", "assistance=block it", "sector=energy",
                      "cross_border=yes", "states=XB", "detected=2026-11-24T12:00:00Z", "vessel=MV Test"):
            WORLD.poc("xa-operator", "-n", *self.SEND, "--set", field)
        sent = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--set", "sector=energy").json
        shown = WORLD.poc("xb-operator", "-o", "json", "notice", "show", sent["id"]).json
        self.assertEqual((shown["content"]["sector"], shown["text"]), ("energy", ""))
        for field in ((), ("--set", "language=en"), ("--ref", "XA-1"), ("--set", "stage=final"), ("--set", "cross_border=no")):
            self.assertIn("an empty notice", WORLD.poc("xa-operator", *self.SEND, *field, expect=2).err)

    def test_separately(self):
        """All are tried before any goes; one document, whatever comes of them."""
        send = ("-o", "json", *self.SEND, "--text", "t", "--separately", "--to")
        before = self.sent()
        refused = WORLD.poc("xa-operator", *send, "XE", expect=5)  # not in the directory
        self.assertIn("XE", refused.json["error"]["message"])
        self.assertEqual(self.sent(), before)
        sent = WORLD.poc("xa-operator", *send, "AD,AE", expect=None)
        before = self.sent()
        self.assertEqual([sent.status, len(sent.json["notices"])], [0, 3], sent)
        self.assertEqual(len(WORLD.poc("xa-operator", "-n", *send, "AD").json["notices"]), 2)
        WORLD.poc("xa-operator", "-n", *send, "XE", expect=5)
        self.assertEqual(self.sent(), before)
        # each escalates to its own place's other desk
        later = ("--reply-by", "1h", "--escalate", "diplomatic", "AD")
        each = WORLD.poc("xa-operator", "-n", *send[:-1], *later[:4], "--to", "AD", expect=None)
        if each.status == 0:
            self.assertEqual([one["escalations"][0]["place"] for one in each.json["notices"]], ["XB", "AD"])

    def test_server_of_the_environment(self):
        """A server that POC_SERVER names is not insisted on, as one of -s is; --offline asks none."""
        WORLD.poc("xa-operator", "-q", "sync")
        dead = {"POC_SERVER": "127.0.0.1:1"}
        for words in ("notice", "list"), ("handover",):
            told = WORLD.poc("xa-operator", *words, env=dead)
            self.assertIn("showing what is kept here", told.err)
            WORLD.poc("xa-operator", "-s", "127.0.0.1:1", *words, expect=3)
        WORLD.poc("xa-operator", "-s", "127.0.0.1:1", *self.SEND, "--text", "t", expect=3)
        queued = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t", env=dead, expect=8).json["id"]
        self.assertIn("--offline", WORLD.poc("xa-operator", "--offline", "notice", "flush", expect=2).err)
        self.assertIn(queued, WORLD.poc("xa-operator", "--offline", "-n", "notice", "flush").out)
        WORLD.poc("xa-operator", "--offline", "notice", "watch", expect=2)
        self.assertNotIn(queued, WORLD.poc("xb-operator", "notice", "list", "-o", "json").out)
        self.assertIn("1 sent", WORLD.poc("xa-operator", "notice", "flush").out)

    def test_escalate_to_whom(self):
        """By hand as by --escalate: not to who has it already, nor to the own desk."""
        notice = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t").json["id"]
        before = self.sent()
        for to, words in ((("XB",), "XB technical is a recipient already"), (("XA",), "XA technical is the sender's own desk"),
                          (("AE,XB",), "XB technical is a recipient already")):
            for dry in (), ("-n",):
                refused = WORLD.poc("xa-operator", *dry, "notice", "escalate", notice, "--to", *to, expect=1)
                self.assertIn("--to: " + words, refused.err)
        self.assertEqual(self.sent(), before)
        WORLD.poc("xa-operator", "-n", "notice", "escalate", notice, "--to", "XB", "-k", "diplomatic")
        # once by hand is enough, whatever else was passed on; what is still to come by itself is told
        WORLD.poc("xa-operator", "notice", "forward", notice, "--to", "AE")
        WORLD.poc("xa-operator", "notice", "escalate", notice, "--to", "AE")
        refused = WORLD.poc("xa-operator", "notice", "escalate", notice, "--to", "AE", expect=1)
        self.assertIn("--to: it was escalated to AE technical already", refused.err)
        timed = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t", "--reply-by", "1h", "--escalate", "diplomatic").json["id"]
        told = WORLD.poc("xa-operator", "-n", "notice", "escalate", timed, "--to", "XB", "-k", "diplomatic")
        self.assertRegex(told.err, "XB diplomatic gets it twice: it escalates there at 2.*Z too, unless acknowledged by then")
        self.assertNotIn("twice", WORLD.poc("xa-operator", "-n", "notice", "escalate", timed, "--to", "AE").err)

    def test_indicators(self):
        """What cannot be the address or the hash that it is called is named, and goes all the same."""
        for value, odd in (("ip 999.1.1.1", True), ("ip 192.0.2.1 -- seen", False), ("domain 999.1.1.1", False)):
            told = WORLD.poc("xa-operator", "-n", *self.SEND, "--set", "indicators=" + value)
            kind, word = value.split()[:2]
            self.assertEqual(f'poc: indicators[0]: "{word}" is no {kind}\n' in told.err, odd, told)

    def test_values(self):
        """States in any order, each once; no event of the future; a class that the taxonomy does not have is named."""
        for states, expect in (["FR", "DE", "FR"], 0), (["de"], 1), ([1], 1), ([], 0):
            self.fed(json.dumps({"states": states, "text": "t"}), "-n", *self.SEND, expect=expect)
        for states in ["FR", "XB", "de"], ["FRA"]:
            refused = self.fed(json.dumps({"states": states, "text": "t"}), "-n", *self.SEND, expect=1).stderr
            self.assertIn(f'states: "{states[-1]}" is no state\'s code: two capital letters', refused)
            self.assertNotIn("ascending", refused)
        sent = json.loads(self.fed('{"states":["FR","DE","FR"],"text":"t"}', "-o", "json", *self.SEND).stdout)
        shown = WORLD.poc("xb-operator", "-o", "json", "notice", "show", sent["id"]).json
        self.assertEqual(shown["content"]["states"], ["DE", "FR"])
        def at(seconds):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        for field in "started", "detected":
            WORLD.poc("xa-operator", "-n", *self.SEND, "--set", f"{field}={at(80000)}")
            refused = WORLD.poc("xa-operator", *self.SEND, "--set", f"{field}={at(90000)}", expect=1)
            self.assertIn(f"{field}: lies in the future", refused.err)
        for name, warned in (("nonsense/x", True), ("availability", False), ("availability/ddos", False), ("availability/dd", True),
                             ("availability/", True), ("availability/dos ddos", True), ("test/test", False)):
            told = WORLD.poc("xa-operator", "-n", *self.SEND, "--set", "rsit_class=" + name)
            self.assertEqual("is no class of version 1003" in told.err, warned, told)
        self.assertNotIn("no class", WORLD.poc("xa-operator", "-n", *self.SEND, "--set", "rsit_class=nonsense/x", "--set",
                                               "rsit_version=1004").err)

    def test_watch(self):
        """A hook's event is a whole line; a closed pipe is said once."""
        seen = os.path.join(WORLD.root, "seen")
        WORLD.poc("xa-operator", *self.SEND, "--text", "t")
        WORLD.poc("xb-operator", "notice", "watch", "--once", "--cursor", "hook", "--exec",
                  f'while read -r line; do printf "%s\\n" "$line" >> {seen}; done')
        with open(seen, encoding="utf-8") as file:
            self.assertIn("notice", [json.loads(line)["event"] for line in file])
        ends = os.pipe()
        os.close(ends[0])
        try:
            done = subprocess.run([POC, "-c", WORLD.conf("xb-operator"), "notice", "watch", "--once", "--cursor", "closed"],
                                  stdout=ends[1], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=WORLD.env,
                                  check=False)
        finally:
            os.close(ends[1])
        self.assertEqual((done.returncode, done.stderr), (1, "poc: the output cannot be written\n"))

    def test_release(self):
        """What nobody has taken cannot be released; what was can."""
        notice = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t").json["id"]
        refused = WORLD.poc("xb-operator", "notice", "release", notice, expect=1)
        self.assertIn("nobody at this desk has taken it", refused.err)
        WORLD.poc("xb-operator", "notice", "take", notice)
        WORLD.poc("xb-operator", "notice", "release", notice)

    def test_dry_run_warns(self):
        """A dry run warns of a missing point of contact as the sending does."""
        send = ("notice", "send", "--to", "AE", "--kind", "diplomatic", "--subject", "s", "--text", "t")
        told = WORLD.poc("xa-operator", "-n", *send)
        self.assertIn("AE has no diplomatic point of contact in its record", told.err)
        one, = WORLD.poc("xa-operator", "-n", "-o", "json", *send).json["recipients"]
        self.assertEqual((one["in_record"], one["instead"]["kind"], one["keys"] > 0), (False, "technical", True))
        there, = WORLD.poc("xa-operator", "-n", "-o", "json", *self.SEND, "--text", "t").json["recipients"]
        self.assertEqual((there["place"], there["in_record"]), ("XB", True))

    def test_looks(self):
        """A thread is shown without what is not of it; columns stand, and one is no plural."""
        thread = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t").json["id"]
        alarm = WORLD.poc("xa-operator", "-o", "json", *self.SEND, "--text", "t", "--urgency", "emergency").json["id"]
        listed = WORLD.poc("xb-operator", "-o", "json", "notice", "list", "--thread", thread).json["notices"]
        self.assertEqual([one["id"] for one in listed], [thread])
        self.assertIn(alarm, WORLD.poc("xb-operator", "-o", "json", "notice", "list", "--exercise", "none-such").out)
        WORLD.poc("xa-operator", "notice", "send", "--to", "@directory", "--subject", "s", "--text", "t", "--category",
                  "communications-check")
        head, *rows = WORLD.poc("xa-operator", "notice", "list", "--sent").out.splitlines()
        row = next(row for row in rows if "@directory coor" in row)
        self.assertEqual([row.index("communications-check"), row.index("routine")], [head.index("CATEGORY"), head.index("URGENCY")])
        path = os.path.join(WORLD.root, "one")
        with open(path, "w", encoding="utf-8") as out:
            out.write("x")
        self.assertIn("  1 attachment\n", WORLD.poc("xa-operator", "-n", *self.SEND, "--attach", path).out)

    def test_failed_editor(self):
        """An editor that fails leaves nothing where nothing was written, and what was written where something was."""
        def forms():
            return glob.glob(WORLD.path("users", "xa-operator.state", "**", "notice-*.ini"), recursive=True)
        for script, kept in (("exit 1", 0), ("echo more >> \"$1\"; exit 1", 1)):
            path = os.path.join(WORLD.root, "editor")
            with open(path, "w", encoding="utf-8") as out:
                out.write("#!/bin/sh\n" + script + "\n")
            os.chmod(path, 0o700)
            told = WORLD.poc("xa-operator", *self.SEND, "--edit", env={"EDITOR": path, "VISUAL": ""}, expect=1)
            self.assertIn("the editor", told.err)
            self.assertEqual((len(forms()), "is kept in" in told.err), (kept, kept == 1))
        os.unlink(forms()[0])
        for words in self.SEND, (*self.SEND, "--urgency", "urgent"):
            told = WORLD.poc("xa-operator", *words, "--edit", env={"EDITOR": "true", "VISUAL": ""}, expect=1)
            self.assertIn("the form says nothing", told.err)
            self.assertEqual(("kept" in told.err, forms()), (False, []))


if __name__ == "__main__":
    main()
