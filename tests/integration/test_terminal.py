"""On a terminal: questions, colours, and text from others, which is harmless there."""
import json
import os
import pty
import re
import select
import subprocess
import time
import unittest

from harness import POC, World, main

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


def publish(place, pocs):
    path = os.path.join(WORLD.root, "publish.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"schema": "poc.record/1", "place": place, "pocs": pocs}, out, ensure_ascii=False)
    return WORLD.poc(place.lower() + "-coordinator", "-y", "-q", "publish", path)


def office(name, **more):
    return [{"name": "office", "content": {"names": [{"lang": "en", "text": name}],
                                           "channels": [{"id": "e", "type": "email", "value": "desk@ae.example"}], **more}}]


def on_terminal(user, *words, answers=(), env=None):
    """Runs poc on a terminal of its own, answering each question, an answer may be a function that gives it; returns (exit
    status, all that was shown)."""
    answers, shown, asked = list(answers), b"", 0
    master, slave = pty.openpty()
    environment = {**WORLD.env, "TERM": "xterm", **(env or {})}
    environment = {name: value for name, value in environment.items() if value is not None}
    process = subprocess.Popen([POC, "-c", WORLD.conf(user), *words], stdin=slave, stdout=slave, stderr=slave, env=environment,
                               start_new_session=True)
    os.close(slave)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ready, _, _ = select.select([master], [], [], 0.1)
        try:
            data = os.read(master, 65536) if ready else None
        except OSError:
            break
        shown += data or b""
        questions = len(re.findall(rb"\[[yY]/[nN]\] ", shown))
        if questions > asked and answers:
            asked = questions
            answer = answers.pop(0)
            os.write(master, (answer() if callable(answer) else answer).encode() + b"\n")
    status = process.wait(timeout=30)
    os.close(master)
    return status, shown.decode("utf-8").replace("\r\n", "\n")


class Questions(unittest.TestCase):
    def seq(self, place="XA"):
        return WORLD.poc("xa-coordinator", "-o", "json", "history", place).json["versions"][-1]["seq"]

    def test_what_changes_is_shown_and_asked(self):
        before = self.seq()
        for answer in ("n", "", "maybe"):
            status, shown = on_terminal("xa-coordinator", "confirm", answers=[answer])
            self.assertEqual(status, 1, shown)
            self.assertIn("is still correct", shown)
            self.assertIn("Sign that this is still correct? [y/N]", shown)
            self.assertIn("not done", shown)
        self.assertEqual(self.seq(), before)
        status, shown = on_terminal("xa-coordinator", "confirm", answers=["y"])
        self.assertEqual(status, 0, shown)
        self.assertIn("proven", shown)
        self.assertEqual(self.seq(), before + 1)

    def test_another_is_faster(self):
        """While the question stands, somebody else publishes."""
        def yes_too_late():
            time.sleep(1.1)  # in the same second it would be the very same version
            WORLD.poc("xb-coordinator", "-y", "confirm")
            return "y"
        status, shown = on_terminal("xb-coordinator", "confirm", answers=[yes_too_late])
        self.assertEqual(status, 1, shown)
        self.assertRegex(shown, r"poc: R/XB was changed by another a moment ago; its version \d+ is current now: look at it and try again")

    def test_every_change_asks(self):
        record = WORLD.record("xa-coordinator", "XA")
        record["pocs"][0]["sections"][0]["content"]["websites"] = ["https://new.example"]
        path = os.path.join(WORLD.root, "asked.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        before = self.seq()
        for words, seen in ((["publish", path], '"https://new.example"'), (["-q", "publish", path], '"https://new.example"'),
                            (["withdraw"], "XA will be withdrawn"), (["withdraw", "--poc", "diplomatic-1"], "XA, diplomatic-1 will be"),
                            (["user", "remove", "reader"], "XA/reader will be dropped")):
            status, shown = on_terminal("xa-coordinator", *words, answers=["n"])
            self.assertEqual(status, 1, shown)
            self.assertIn(seen, shown)
        self.assertEqual(self.seq(), before)
        WORLD.poc("xa-reader", "lookup", "XA")

    def test_permission_comes_before_the_question(self):
        for words in (["confirm"], ["withdraw"], ["user", "remove", "operator"]):
            status, shown = on_terminal("xa-reader", *words)
            self.assertEqual(status, 4, shown)
            self.assertNotIn("[y/N]", shown)

    def test_edit_again(self):
        editor = os.path.join(WORLD.root, "editor")
        with open(editor, "w", encoding="ascii") as out:
            out.write('#!/bin/sh\nif [ -e "$0.again" ]; then sed -i s/technicla/technical/ "$1"\n'
                      'else touch "$0.again"; sed -i "s/\\"technical\\"/\\"technicla\\"/;s/duty desk/day desk/" "$1"; fi\n')
        os.chmod(editor, 0o700)
        status, shown = on_terminal("xa-coordinator", "edit", answers=["y", "y"], env={"EDITOR": editor, "VISUAL": None})
        self.assertEqual(status, 0, shown)
        self.assertIn("Edit again? [Y/n]", shown)
        self.assertIn("Sign and publish? [y/N]", shown)
        self.assertIn("day desk", WORLD.poc("xb-reader", "lookup", "XA").out)


    def test_notice_edit_again(self):
        """A mistake in a notice's form is named with its line, and mended where it was made."""
        editor = os.path.join(WORLD.root, "form-editor")
        with open(editor, "w", encoding="ascii") as out:
            out.write('#!/bin/sh\nif [ -e "$0.again" ]; then sed -i "s/= middle/= final/" "$1"\n'
                      'else touch "$0.again"; sed -i "s/^stage = .*/stage = middle/" "$1"; echo "It is over." >> "$1"; fi\n')
        os.chmod(editor, 0o700)
        status, shown = on_terminal("xa-operator", "notice", "send", "--to", "XB", "--subject", "The end", answers=["y"],
                                    env={"EDITOR": editor, "VISUAL": None})
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"line \d+: stage")
        self.assertIn("Edit again? [Y/n]", shown)
        notice = re.search(r"([A-Z2-7]{4}-){6}[A-Z2-7]{2}", shown).group(0)
        text = WORLD.poc("xb-operator", "notice", "show", notice).out
        self.assertIn("It is over.", text)
        self.assertIn("final", text)

    def test_private_note_is_asked_about(self):
        """Before it leaves its desk; among colleagues there it goes without a question."""
        sent = WORLD.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t").json["id"]
        note = WORLD.poc("xb-operator", "-o", "json", "notice", "note", sent, "--text", "for us").json["id"]
        status, shown = on_terminal("xb-operator", "notice", "forward", note, "--to", "AD", answers=["n"])
        self.assertEqual((status, "a private note of XB technical" in shown, "not done" in shown), (1, True, True), shown)
        self.assertEqual(WORLD.poc("ad-operator", "-o", "json", "notice", "list").json["notices"], [])
        status, shown = on_terminal("xb-operator", "notice", "forward", note, "--to", "AD", answers=["y"])
        self.assertEqual((status, "stored" in shown), (0, True), shown)
        status, shown = on_terminal("xb-operator", "notice", "forward", note, "--to", "XB")
        self.assertEqual((status, "[y/N]" in shown), (0, False), shown)

    def test_label_of_what_is_passed_on(self):
        notice = WORLD.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t", "--tlp",
                           "RED").json["id"]
        for answer, done in ("n", False), ("y", True):
            status, shown = on_terminal("xb-operator", "notice", "forward", notice, "--to", "AE", answers=[answer])
            self.assertIn("TLP:RED: AE technical was not among its recipients. Pass it on? [y/N] ", shown)
            self.assertEqual((status == 0, "stored" in shown, "not done" in shown), (done, done, not done), shown)

    def test_notice_untouched(self):
        """A form that was left as it came says nothing: that is told, it may be edited again, and no file of it is kept."""
        notice = WORLD.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "s", "--text", "t").json["id"]
        for words in (["send", "--to", "XB", "--subject", "n"], ["reply", notice], ["note", notice]):
            status, shown = on_terminal("xa-operator", "notice", *words, answers=["n"], env={"EDITOR": "true", "VISUAL": None})
            self.assertEqual(status, 1, shown)
            self.assertIn("the form says nothing", shown)
            self.assertIn("Edit again? [Y/n]", shown)
            self.assertNotIn("kept", shown)
        editor = os.path.join(WORLD.root, "note-editor")
        with open(editor, "w", encoding="ascii") as out:
            out.write('#!/bin/sh\nif [ -e "$0.again" ]; then echo "call back" >> "$1"; else touch "$0.again"; fi\n')
        os.chmod(editor, 0o700)
        status, shown = on_terminal("xa-operator", "notice", "note", notice, answers=["y"], env={"EDITOR": editor, "VISUAL": None})
        self.assertEqual(status, 0, shown)
        self.assertIn("call back", WORLD.poc("xa-operator", "handover").out)
        self.assertEqual([name for _, _, names in os.walk(WORLD.path("users", "xa-operator.state")) for name in names
                          if name.startswith("notice-")], [])


class Colours(unittest.TestCase):
    def test_colours_on_a_terminal_only(self):
        for env, coloured in (({"NO_COLOR": None}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
            _, shown = on_terminal("xa-reader", "lookup", "XB", env=env)
            self.assertEqual("\x1b[" in shown, coloured, shown)
        self.assertNotIn("\x1b", WORLD.poc("xa-reader", "lookup", "XB", env={"NO_COLOR": ""}).out)
        _, shown = on_terminal("xa-reader", "-o", "json", "lookup", "XB", env={"NO_COLOR": None})
        self.assertNotIn("\x1b", shown)


class Harmless(unittest.TestCase):
    def test_refused_at_the_door(self):
        for text in ("red \x1b[31m", "bell \x07", "right\u202eleft", "c1 \x9b31m", "zero\u200fmark"):
            path = os.path.join(WORLD.root, "hostile.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump({"schema": "poc.record/1", "place": "AE", "pocs": [{"id": "t", "kind": "technical", "sections": office(text)}]}, out)
            result = WORLD.poc("ae-coordinator", "-y", "publish", path, expect=1)
            self.assertIn("is not allowed", result.err)
            self.assertEqual([c for c in result.err.rstrip("\n") if ord(c) < 32 or 0x7f <= ord(c) < 0xa0], [])

    def test_arguments_and_files_are_escaped(self):
        result = WORLD.poc("xa-reader", "lookup", "\x1b[31mred\n", expect=5)
        self.assertEqual(result.err, 'poc: "\\u001b[31mred\\u000a" is no place: neither a country\'s code or name nor a unit of one\n')
        teams = os.path.join(WORLD.root, "hostile.csv")
        with open(teams, "w", encoding="utf-8") as out:
            out.write('country,team,mailbox\nBR,"evil\x1b]0;title\x07\u202e",x@y.example\nBR\x1b[2J,other,z@y.example\n')
        result = WORLD.pocadm("import", teams, "--out", os.path.join(WORLD.root, "hostile"))
        for text in (result.out, result.err):
            self.assertEqual([c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or c == "\u202e"], [])

    def test_lines_of_a_text_stay_in_their_column(self):
        publish("AE", [{"id": "t", "kind": "technical", "sections": office(
            "AE-CERT", descriptions=[{"lang": "en", "text": "first\ncall 1  phone  +666\nverified: signed by the coordinator of XB"}])}])
        lines = WORLD.poc("xa-reader", "lookup", "AE").out.splitlines()
        self.assertEqual([line for line in lines if line.startswith("call 1")], ["call 1  email  desk@ae.example"])
        self.assertEqual(len([line for line in lines if line.startswith("verified: ")]), 1)


if __name__ == "__main__":
    main()
