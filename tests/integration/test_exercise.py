"""Exercises: marked on every screen and in every document, played by fictional states, timed for the debrief."""
import csv
import email
import io
import json
import os
import subprocess
import time
import unittest

from harness import ROOT, SLOW, World, main
from tracker import Tracker

NAME = "spring-27"
MARK = f"EXERCISE {NAME}"


class Exercise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def send(self, *words, user="xa-operator", to="XB", exercise=NAME, **more):
        return self.world.poc(user, "-o", "json", "notice", "send", "--to", to, "--subject", "Scans", "--text", "We see scans.",
                              "--exercise", exercise, *words, **more).json["id"]

    def proven(self, notice, step, user="xa-operator"):
        end = time.monotonic() + 10 * SLOW
        while time.monotonic() < end:
            steps = self.world.poc(user, "-o", "json", "notice", "status", notice).json["steps"]
            if any(each["step"] == step and each["proven"] for each in steps):
                return
            time.sleep(0.1)
        raise AssertionError(f"{step} was never proven: {steps}")

    def marked(self, document):
        """Every object that speaks of a notice says so."""
        if isinstance(document, list):
            return all(self.marked(each) for each in document)
        if "id" not in document:
            return any(self.marked(each) for each in document.values() if isinstance(each, list) and each)
        return document.get("exercise") == NAME

    def test_every_screen(self):
        """All commands about a notice, as text and as JSON: none is without the mark."""
        # AD and AE have seen nothing but this exercise
        world, folder = self.world, os.path.join(self.world.root, "attachments")
        os.mkdir(folder)
        attached = os.path.join(world.root, "report.txt")
        with open(attached, "w", encoding="utf-8") as out:
            out.write("report")
        sent = ["send", "--to", "AE", "--subject", "s", "--text", "t", "--exercise", NAME, "--attach", attached, "--reply-by", "1h"]
        covered, saved = set(), os.path.join(world.root, "exercise.story")
        for form in [], ["-o", "json"]:
            made = [world.poc("ad-operator", "-o", "json", "notice", *sent).json["id"] for _ in range(3)]
            notice, declined, closed = made
            calls = [("ad-operator", sent), ("ae-operator", ["list"]), ("ad-operator", ["list", "--sent"]),
                     ("ae-operator", ["list", "--threads"]), ("ae-operator", ["list", "--thread", notice]),
                     ("ae-operator", ["show", notice]), ("ae-operator", ["take", notice]), ("ae-operator", ["release", notice]),
                     ("ae-operator", ["note", notice, "--text", "n"]), ("ae-operator", ["save", notice, folder]),
                     ("ad-operator", ["remind", notice]), ("ae-operator", ["ack", notice]), ("ae-operator", ["ack", notice]),
                     ("ae-operator", ["accept", notice]), ("ae-operator", ["decline", declined, "--reason", "duplicate"]),
                     ("ae-operator", ["reply", notice, "--text", "r"]), ("ae-operator", ["forward", notice, "--to", "XA"]),
                     ("ad-operator", ["escalate", notice, "--to", "AE", "--kind", "diplomatic"]),
                     ("ad-operator", ["close", closed]), ("ad-operator", ["status", notice, "--save", saved]),
                     ("ae-operator", ["status", declined]), ("ad-operator", ["show", saved]),
                     ("ad-operator", ["timing", "--exercise", NAME]), ("ad-operator", ["timing", "--exercise", NAME, "-f", "csv"])]
            for user, words in calls:
                answer = world.poc(user, *form, "notice", *words)
                covered.add(words[0])
                if form:
                    self.assertTrue(self.marked(answer.json), answer)
                elif words[-1] == "csv":
                    self.assertTrue(all(line["exercise"] == NAME for line in csv.DictReader(io.StringIO(answer.out))))
                else:
                    self.assertIn(MARK, answer.out, answer)
            for words in ["verify", saved], ["handover"]:
                answer = world.poc("ae-operator", *form, *words)
                self.assertTrue(self.marked(answer.json) if form else MARK in answer.out, answer)
        # live events, and what the gateways make of them
        lines = world.poc("ae-operator", "notice", "watch", "--once").out.splitlines()
        covered.add("watch")
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertEqual(json.loads(line)["exercise"], NAME, line)
        self.check_gateways(lines)
        # the outbox
        world.poc("ad-operator", "-q", "sync")
        queued = world.poc("ad-operator", "--offline", "notice", *sent, expect=8)
        self.assertIn(MARK, queued.out)
        self.assertIn(MARK, world.poc("ad-operator", "notice", "flush").err)
        # a receipt in the outbox, which does not say of what its notice is
        world.poc("ae-operator", "-q", "sync")
        late = self.send(user="ad-operator", to="AE")
        world.poc("ae-operator", "notice", "show", late)
        self.assertIn(MARK, world.poc("ae-operator", "--offline", "notice", "ack", late, expect=8).out)
        flushed = world.poc("ae-operator", "notice", "flush").err
        self.assertRegex(flushed, f"{MARK}: sent from the outbox: acknowledged {late}")
        covered.add("flush")
        every = set(world.poc("ad-operator", "notice", "--help").out.split("commands:\n")[1].split("\nflags:")[0].split("\n"))
        self.assertEqual({line.split()[0] for line in every if line.startswith("  ") and line[2] != " "}, covered)

    def check_tickets(self, lines):
        tracker = Tracker()
        self.addCleanup(tracker.stop)
        token = os.path.join(self.world.root, "token")
        with open(token, "w", encoding="ascii") as file:
            file.write("of-the-test\n")
        for line in lines:
            subprocess.run([os.path.join(ROOT, "clients/gateway/request-tracker")], input=line, text=True, check=True,
                           env={**self.world.env, "RT_URL": f"http://127.0.0.1:{tracker.server_port}", "RT_TOKEN_FILE": token})
        self.assertGreater(len(tracker.tickets), 3)
        for ticket in tracker.tickets.values():
            self.assertIn(f"] {MARK}: ", ticket["Subject"])
            self.assertTrue(ticket["Content"].startswith(MARK), ticket)
        self.assertGreater(len(tracker.comments), 3)
        for _, comment in tracker.comments:
            self.assertTrue(comment.startswith(MARK), comment)

    def check_gateways(self, lines):
        """Mails, tickets and comments on tickets: none is without the mark."""
        self.check_tickets(lines)
        keep = os.path.join(self.world.root, "mails")
        sendmail = os.path.join(self.world.root, "sendmail")
        with open(sendmail, "w", encoding="utf-8") as out:
            out.write(f"#!/bin/sh\ncat >> {keep}\necho '--end--' >> {keep}\n")
        os.chmod(sendmail, 0o700)
        for line in lines:
            subprocess.run([os.path.join(ROOT, "clients/gateway/mail")], input=line, text=True, check=True,
                           env={**self.world.env, "POC_MAIL_TO": "a@b.example", "POC_SENDMAIL": sendmail})
        with open(keep, encoding="utf-8") as file:
            mails = file.read().split("--end--\n")[:-1]
        self.assertGreater(len(mails), 10)
        for mail in mails:
            mail = email.message_from_string(mail)
            self.assertTrue(mail["Subject"].strip().startswith("EXERCISE "), mail)
            self.assertIn(MARK, mail.get_payload())

    def test_indelible(self):
        """No answer in the thread is of another exercise, or of none."""
        world, notice = self.world, self.send(exercise="autumn-27")
        path = os.path.join(world.root, "real.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"exercise": "another", "text": "not an exercise any more"}, out)
        with open(path, encoding="utf-8") as stdin:
            refused = world.poc("xb-operator", "notice", "reply", notice, stdin=stdin, expect=2)
        self.assertIn("exercise", refused.err)
        answer = world.poc("xb-operator", "-o", "json", "notice", "reply", notice, "--text", "r").json
        self.assertEqual(answer["exercise"], "autumn-27")
        self.assertEqual({each["id"] for each in world.poc("xb-operator", "-o", "json", "notice", "list", "--all", "--exercise",
                                                           "autumn-27").json["notices"]}, {notice, answer["id"]})
        again = world.poc("xa-operator", "-o", "json", "notice", "reply", answer["id"], "--text", "r").json
        self.assertEqual(again["exercise"], "autumn-27")

    def timing(self, name, user="xa-operator"):
        return self.world.poc(user, "-o", "json", "notice", "timing", "--exercise", name).json

    def test_timing(self):
        world, name = self.world, "winter-27"
        notice = self.send(to="XB,AD", exercise=name)
        self.send(exercise="other-27")
        time.sleep(1.1)
        world.poc("xb-operator", "notice", "ack", notice)
        answer = world.poc("xb-operator", "-o", "json", "notice", "reply", notice, "--text", "r").json["id"]
        self.proven(notice, "answered")
        document = self.timing(name)
        self.assertEqual((document["exercise"], [each["id"] for each in document["notices"]]), (name, [notice, answer]))
        first = document["notices"][0]
        self.assertEqual([(each["place"], each["kind"]) for each in first["places"]], [("AD", "technical"), ("XB", "technical")])
        silent, heard = first["places"]
        self.assertEqual({silent[step] for step in ("delivered", "acknowledged", "accepted", "answered")}, {None})
        self.assertLessEqual(1, heard["seconds"]["acknowledged"])
        self.assertLessEqual(heard["seconds"]["acknowledged"], heard["seconds"]["answered"])
        self.assertIsNone(heard["seconds"]["declined"])
        self.assertEqual((first["unproven"], first["closed"]), ([], None))
        lines = list(csv.DictReader(io.StringIO(world.poc("xa-operator", "notice", "timing", "--exercise", name, "--format",
                                                          "csv").out)))
        self.assertEqual([(each["notice"], each["place"]) for each in lines], [(notice, "AD"), (notice, "XB"), (answer, "XA")])
        self.assertEqual(lines[1]["acknowledged_seconds"], str(heard["seconds"]["acknowledged"]))
        self.assertEqual(lines[0]["acknowledged"], "")
        self.assertRegex(world.poc("xa-operator", "notice", "timing", "--exercise", name).out,
                         "XB technical: .*acknowledged after [0-9]+ s")
        self.assertIn("no notices of that exercise", world.poc("xa-operator", "notice", "timing", "--exercise", "none-27").err)
        world.poc("xa-operator", "notice", "timing", expect=2)
        world.poc("xa-operator", "notice", "timing", "--exercise", name, "--format", "pdf", expect=2)
        world.poc("xa-operator", "--offline", "notice", "timing", "--exercise", name, expect=3)
        # to the recipient itself and what the sender stated, never other recipients
        self.assertIsNone(self.timing(name, "ad-operator")["notices"][0]["places"][1]["acknowledged"])

    def test_a_program_is_no_person(self):
        """An acknowledgement by a program and the person's after it: each has its time."""
        world, name = self.world, "robot-27"
        invite, request = world.path("xb-robot.invite"), world.path("xb-robot.request")
        world.poc("xb-coordinator", "user", "invite", "robot", "--role", "operator", "--kind", "technical", "--service", "--out", invite)
        world.poc("xb-robot", "setup", invite, "--request", request)
        world.poc("xb-coordinator", "-y", "user", "add", request)
        both, alone = self.send(exercise=name), self.send(exercise=name)
        for notice in both, alone:
            world.poc("xb-robot", "notice", "ack", notice)
        time.sleep(2.1)
        world.poc("xb-operator", "notice", "ack", both)
        self.proven(both, "acknowledged")
        self.proven(alone, "acknowledged")
        end = time.monotonic() + 10 * SLOW
        while any(each["unproven"] for each in self.timing(name)["notices"]) and time.monotonic() < end:
            time.sleep(0.1)
        first, second = (each["places"][0] for each in self.timing(name)["notices"])
        self.assertLessEqual(first["automatic"]["seconds"]["acknowledged"] + 2, first["seconds"]["acknowledged"])
        self.assertLess(first["automatic"]["acknowledged"], first["acknowledged"])
        self.assertIsNone(second["acknowledged"])
        self.assertIsNotNone(second["automatic"]["acknowledged"])
        self.assertIsNone(second["automatic"]["accepted"])
        lines = list(csv.DictReader(io.StringIO(world.poc("xa-operator", "notice", "timing", "--exercise", name, "-f", "csv").out)))
        self.assertEqual([(each["acknowledged"], each["automatic_acknowledged"]) for each in lines],
                         [(first["acknowledged"], first["automatic"]["acknowledged"]), ("", second["automatic"]["acknowledged"])])
        self.assertEqual(lines[0]["automatic_acknowledged_seconds"], str(first["automatic"]["seconds"]["acknowledged"]))
        text = world.poc("xa-operator", "notice", "timing", "--exercise", name).out
        self.assertRegex(text, r"acknowledged by a program after \d+ s, acknowledged after \d+ s")

    def test_unproven_steps_do_not_count(self):
        """While nothing is published a step is named, and no time is given of it."""
        world, name = self.world, "dark-27"
        with world.settings(reload=False, log__checkpoint_interval="5s"):
            world.stop()
            world.start()
            notice = self.send(exercise=name)
            document = self.timing(name)["notices"][0]
            lines = world.poc("xa-operator", "notice", "timing", "--exercise", name, "-f", "csv").out
            world.stop()
        world.start()
        self.assertEqual(document["id"], notice)
        self.assertIsNone(document["stored"])
        self.assertEqual([each["step"] for each in document["unproven"]], ["sent", "stored"])
        self.assertIn('"sent XA technical, stored"', lines)

    def test_a_place_is_no_formula(self):
        """@directory would be one to a spreadsheet."""
        world = self.world
        world.poc("directory-admin", "user", "invite", "drill", "--role", "service", "--service", "--out", world.path("d.invite"))
        world.poc("directory-drill", "setup", world.path("d.invite"), "--request", world.path("d.request"))
        world.poc("directory-admin", "-y", "user", "add", world.path("d.request"))
        self.send("--kind", "coordinator", user="directory-drill", exercise="staff-27")
        out = world.poc("directory-drill", "notice", "timing", "--exercise", "staff-27", "-f", "csv").out
        self.assertIn('"\'@directory"', out)
        self.assertNotIn('"@directory"', out)


if __name__ == "__main__":
    main()
