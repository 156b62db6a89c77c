"""Notices by public commands: sent, delivered, acknowledged, answered, proven; shifts, watchers; bad input."""
import base64
import contextlib
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading
import time
import unittest

import hostile
import wire
from harness import POC, SLOW, World, main, shifted

MARKER, CONTROL = "zebra-quartz-4711", "okapi-basalt-4712"


def read_all(file, size):
    """What a file without buffer has, up to a size: one read may give less."""
    parts = []
    while size > 0:
        parts.append(file.read(min(size, 1 << 24)))
        if not parts[-1]:
            break
        size -= len(parts[-1])
    return b"".join(parts)


class Tap:
    """Stands between a user and the server with the keys of both, and keeps what passes inside TLS: .port, .seen."""

    def __init__(self, world, user):
        self.world, self.user, self.seen, self.threads = world, user, bytearray(), []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["poc/1"])
        self.context.load_cert_chain(world.path("server.crt"), world.path("keys", "server.key"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        self.run(self.accept)
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def run(self, what, *words):
        self.threads.append(threading.Thread(target=what, args=words))
        self.threads[-1].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.run(self.pass_on, self.context.wrap_socket(client, server_side=True), self.world.connect(self.user, timeout=60))

    def pass_on(self, *ends):
        """Until one of both ends."""
        data = b"-"
        with contextlib.suppress(OSError):
            while data:
                for source in ready(*ends):
                    source.settimeout(0)
                    try:
                        data = source.recv(65536)
                    except ssl.SSLWantReadError:  # a part of a record, or none of ours
                        continue
                    finally:
                        source.settimeout(60)
                    self.seen += data
                    ends[source is ends[0]].sendall(data)
        for end in ends:
            end.close()


def ready(*ends):
    """Those of TLS connections that have something to read, waiting for the first."""
    return [end for end in ends if end.pending()] or select.select(ends, [], [])[0]


def anchored(world, user, notice, step, seconds=10):
    """The status of a notice once a step in it is proven."""
    end = time.monotonic() + seconds * SLOW
    while True:
        status = world.poc(user, "-o", "json", "notice", "status", notice).json
        if any(each["step"] == step and each["proven_by"] for each in status["steps"]):
            return status
        if time.monotonic() > end:
            raise AssertionError(f"{step} was never proven: {status}")
        time.sleep(0.1)


class Notices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def send(self, *words, user="xa-operator", to="XB", subject="Scans from AS64500", text="We see scans.", **more):
        return self.world.poc(user, "-o", "json", "notice", "send", "--to", to, "--subject", subject, "--text", text, *words,
                              **more).json["id"]

    def join(self, state, handle):
        """A further operator of a state, on a machine of its own."""
        world, user = self.world, f"{state}-{handle}"
        invite = world.path("states", f"{user}.invite")
        world.poc(f"{state}-coordinator", "user", "invite", handle, "--role", "operator", "--kind", "technical", "--out",
                  invite)
        world.poc(user, "setup", invite, "--request", world.path("users", f"{user}.request"))
        world.poc(f"{state}-coordinator", "-y", "user", "add", world.path("users", f"{user}.request"))
        return user

    def text(self, path):
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()

    def listed(self, user, *words):
        return {each["id"]: each for each in self.world.poc(user, "-o", "json", "notice", "list", *words).json["notices"]}

    def test_whole_life(self):
        world = self.world
        notice = self.send("--reply-by", "24h", "--ref", "XA-77", "--urgency", "urgent")
        self.assertRegex(notice, r"^([A-Z2-7]{4}-){6}[A-Z2-7]{2}$")
        got = self.listed("xb-operator")[notice]
        self.assertEqual((got["from"], got["to"], got["category"], got["urgency"], got["tlp"], got["subject"]),
                         ("XA", ["XB"], "notification", "urgent", "TLP:AMBER", "Scans from AS64500"))
        self.assertEqual((got["their_ref"], got["overdue"], got["taken_by"], got["exercise"], got["verified"]),
                         ("XA-77", False, None, None, True))
        shown = world.poc("xb-operator", "notice", "show", notice[:9].lower())
        self.assertIn("We see scans.", shown.out)
        self.assertRegex(shown.out, r"(?m)^their ref +XA-77$")
        self.assertRegex(world.poc("xa-operator", "notice", "show", notice).out, r"(?m)^our ref +XA-77$")
        acked = world.poc("xb-operator", "notice", "ack", notice[:4], "--answer-by", "12h")
        self.assertIn("neither agreement", acked.out)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
        self.assertEqual([world.poc("xb-operator", "-o", "json", "notice", "ack", notice, "--answer-by", until).json["repeated"]
                          for _ in range(2)], [False, True])  # the same time is not said twice
        world.poc("xb-operator", "notice", "accept", notice)
        for step in "stored", "delivered", "acknowledged", "accepted":
            anchored(world, "xa-operator", notice, step)
        saved = os.path.join(world.root, "story")
        status = world.poc("xa-operator", "notice", "status", notice, "--save", saved)
        self.assertIn("signed by operator of XB", status.out)
        self.assertIn("neither agreement", status.out)
        world.poc("xa-reader", "--offline", "verify", saved)
        early = ["verify", saved, "--at", "2020-01-01T00:00:00Z"]
        result = world.poc("xa-reader", *early, expect=7)
        self.assertRegex(result.out.splitlines()[0], r"^TOO EARLY: --at is \d+ days before this proof")
        self.assertIn("the time asked for is before", result.err)
        self.assertGreater(world.poc("xa-reader", "-o", "json", *early, expect=7).json["clock_behind"], 86400)
        self.assertIn("acknowledged", world.poc("xa-operator", "--offline", "notice", "show", saved).out)
        with open(saved, "rb") as story:
            good = story.read()
        for place in range(11, len(good), max(1, len(good) // 25)):
            with open(saved + ".bad", "wb") as bad:
                bad.write(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
            world.poc("xa-reader", "--offline", "verify", saved + ".bad", expect=6)
        result = world.poc("xb-operator", "notice", "reply", notice, "--subject", "s", expect=2)  # standard input is empty
        self.assertEqual(result.err, "poc: an empty notice: --text, --file, --attach or a field (--set)\n")
        answer = world.poc("xb-operator", "-o", "json", "notice", "reply", notice, "--text", "Blocked.").json
        self.assertEqual(answer["thread"], notice)
        back = self.listed("xa-operator")[answer["id"]]
        self.assertEqual((back["subject"], back["answers"], back["category"]), ("Re: Scans from AS64500", notice, "update"))
        anchored(world, "xa-operator", notice, "answered")
        world.poc("xa-operator", "notice", "close", notice)
        self.assertEqual(anchored(world, "xb-operator", notice, "closed")["step"], "closed")
        self.assertNotIn(notice, self.listed("xb-operator"))
        self.assertIn(notice, self.listed("xb-operator", "--all"))

    def test_nothing_given_is_dropped(self):
        """Twice the same flag, or two that say the same: wrong usage; recipients add up."""
        world = self.world
        text = os.path.join(world.root, "text")
        with open(text, "w", encoding="utf-8") as out:
            out.write("from a file")
        send = ("notice", "send", "--to", "XB", "--subject", "s")
        for words, said in (((*send, "--text", "a", "--text", "b"), "--text can be given once only"),
                            ((*send, "--text=a", "--subject", "t"), "--subject can be given once only"),
                            ((*send, "--text", "a", "--kind", "technical", "-k", "diplomatic"), "--kind can be given once only"),
                            ((*send, "--text", "a", "--file", text), "--text and --file exclude each other"),
                            (("-o", "json", "notice", "list", "-o", "text"), "--output can be given once only"),
                            (("-s", "a", "status", "-s", "b"), "--server can be given once only"),
                            (("lookup", "XB", "--kind", "technical", "--kind", "diplomatic"), "--kind can be given once only")):
            self.assertIn(said, world.poc("xa-operator", *words, expect=2).err)
        sent = world.poc("xa-operator", "-o", "json", *send, "--to", "AE,AD", "--text", "t").json
        self.assertEqual([each["place"] for each in sent["recipients"]], ["XB", "AE", "AD"])

    def test_wait(self):
        notice = self.send()
        waiting = subprocess.Popen([POC, "-c", self.world.conf("xa-operator"), "notice", "status", notice, "--wait",
                                    "acknowledged"], env=self.world.env, stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        self.assertIsNone(waiting.poll())
        self.world.poc("xb-operator", "notice", "ack", notice)
        out, _ = waiting.communicate(timeout=15 * SLOW)
        self.assertEqual(waiting.returncode, 0)
        self.assertIn("acknowledged", out)
        # what can come no more is not waited for
        waiting = subprocess.Popen([POC, "-c", self.world.conf("xa-operator"), "notice", "status", notice, "--wait",
                                    "closed"], env=self.world.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.world.poc("xb-operator", "notice", "decline", notice, "--reason", "other")
        _, err = waiting.communicate(timeout=15 * SLOW)
        self.assertEqual((waiting.returncode, err),
                         (1, 'poc: not "closed" at XB technical, which is not waited for: that desk has declined it\n'))
        self.world.poc("xa-operator", "notice", "status", notice, "--wait", "declined")
        notice = self.send()
        self.world.poc("xa-operator", "notice", "close", notice)
        told = self.world.poc("xa-operator", "notice", "status", notice, "--wait", "acknowledged", expect=1)
        self.assertIn("its sender has closed it", told.err)
        self.world.poc("xa-operator", "notice", "status", notice, "--wait", "stored")

    def test_wait_for_who_was_brought_in(self):
        """Whom a notice was escalated to by hand is waited for, like a desk of an escalation chosen at sending; whom it was only
        forwarded to is not."""
        for words in (), ("--in-thread",):
            notice = self.send()
            if words:  # an update, under whose category all goes that is sent in its thread
                notice = self.world.poc("xa-operator", "-o", "json", "notice", "reply", notice, "--text", "More.").json["id"]
            self.world.poc("xa-operator", "notice", "forward", notice, "--to", "AD")
            self.world.poc("xa-operator", "notice", "escalate", notice, "--to", "AE", "--text", "Please help.")
            self.world.poc("xb-operator", "notice", "ack", notice)
            wait = ("notice", "status", notice, "--wait", "acknowledged")
            waiting = subprocess.Popen([POC, "-c", self.world.conf("xa-operator"), *wait], env=self.world.env, stdout=subprocess.PIPE, text=True)
            time.sleep(1)
            self.assertIsNone(waiting.poll(), words)
            brought, = [each["id"] for each in self.listed("ae-operator").values() if each["thread"] == self.thread(notice)]
            self.world.poc("ae-operator", "notice", "ack", brought)
            waiting.communicate(timeout=15 * SLOW)
            self.assertEqual(waiting.returncode, 0)
        self.world.poc("ae-operator", "notice", "decline", "--reason", "other", brought)
        told = self.world.poc("xa-operator", "notice", "status", notice, "--wait", "closed", expect=1)
        self.assertIn('not "closed" at AE technical, which is not waited for: that desk has declined it', told.err)

    def thread(self, notice):
        return self.world.poc("xa-operator", "-o", "json", "notice", "show", notice).json["thread"]

    def test_decline(self):
        notice = self.send()
        self.world.poc("xb-operator", "notice", "decline", notice, expect=2)
        self.world.poc("xb-operator", "notice", "decline", notice, "--reason", "wrong-recipient")
        status = anchored(self.world, "xa-operator", notice, "declined")
        self.assertEqual([each["reason"] for each in status["steps"] if each["step"] == "declined"], ["wrong-recipient"])
        self.world.poc("xa-operator", "notice", "ack", notice, expect=4)  # we sent it ourselves

    def test_several_recipients(self):
        both = self.send(to="XB,AD")
        self.assertIn(both, self.listed("ad-operator"))
        self.assertEqual(self.listed("xb-operator")[both]["to"], ["AD", "XB"])
        for user, words, to in (("xb-operator", [], "XB"), ("ad-operator", [], "AD"), ("xa-operator", ["--sent"], "AD")):  # own one first
            self.assertRegex(self.world.poc(user, "notice", "list", *words).out, rf"(?m)^{both[:9]} +XA tech +{to} tech \+1 ")
        apart = self.world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB,AD", "--separately", "--subject", "s",
                               "--text", "t").json["notices"]
        self.assertEqual(len({each["id"] for each in apart}), 2)
        mine = [each for each in apart if each["id"] in self.listed("ad-operator")]
        self.assertEqual(len(mine), 1)
        self.assertEqual(self.listed("ad-operator")[mine[0]["id"]]["to"], ["AD"])

    def test_diplomatic(self):
        notice = self.send("--kind", "diplomatic", "--tlp", "RED", "--category", "request-information")
        got = self.listed("xb-operator")[notice]
        self.assertEqual((got["tlp"], got["category"], got["recipients"][0]["kind"]), ("TLP:RED", "request-information",
                                                                                       "diplomatic"))

    def test_absent_from_the_record(self):
        """The desk may be there; the record has nobody to call: a warning, and who can be called."""
        world = self.world
        send = ["xa-operator", "notice", "send", "--subject", "s", "--text", "t"]
        absent = "AE has no diplomatic point of contact in its record"
        answer = world.poc(*send, "--to", "AE", "--kind", "diplomatic")
        self.assertIn(absent, answer.err)
        self.assertIn("AE technical  AE-CERT", answer.out)
        self.assertIn("call phone +97140000000", answer.out)
        self.assertIn(absent, world.poc(*send, "--to", "AE", "--reply-by", "1h", "--escalate", "diplomatic").err)
        self.assertEqual(world.poc(*send, "--to", "AE").err, "")
        one = world.poc(*send, "-o", "json", "--to", "AE", "--kind", "diplomatic").json["recipients"][0]
        self.assertEqual((one["place"], one["kind"], one["in_record"], one["instead"]["kind"]), ("AE", "diplomatic", False, "technical"))
        later = world.poc(*send, "-o", "json", "--to", "AE", "--reply-by", "1h", "--escalate", "diplomatic").json
        self.assertEqual([[each["in_record"] for each in later[name]] for name in ("recipients", "escalations")], [[True], [False]])

    def test_status_of_the_absent(self):
        """poc notice status says so too, and of a place without any record."""
        world = self.world
        notice = self.send("--kind", "diplomatic", to="AE")
        told = world.poc("xa-operator", "notice", "status", notice)
        self.assertIn("AE has no diplomatic point of contact in its record", told.err)
        self.assertIn("AE technical  AE-CERT", told.out)
        one, = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["recipients"]
        self.assertEqual((one["place"], one["kind"], one["in_record"], one["instead"]["kind"]), ("AE", "diplomatic", False, "technical"))
        notice = self.send(to="AE")
        there, = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["recipients"]
        self.assertTrue(there["in_record"])
        before = world.record("ad-coordinator", "AD")
        notice = self.send(to="AD")
        world.poc("ad-coordinator", "-y", "withdraw", "AD")
        self.assertRegex(world.poc("xa-operator", "notice", "status", notice).err, "AD has no (record|technical point of contact)")
        gone, = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["recipients"]
        self.assertEqual((gone["in_record"], gone["instead"]), (False, None))
        path = os.path.join(world.root, "ad-again.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(before, out)
        world.poc("ad-coordinator", "-y", "publish", "--replace", path)

    def test_marks_are_not_subjects(self):
        forged = "EXERCISE night-owl: OVERDUE"
        alike = self.send(subject=forged)
        real = self.send("--exercise", "night-owl", subject="drill")
        rows = {line.split()[0]: line for line in self.world.poc("xb-operator", "notice", "list").out.splitlines()}
        self.assertTrue(rows[alike[:9]].endswith(f' "{forged}"'), rows)
        self.assertTrue(rows[real[:9]].endswith(' EXERCISE night-owl: "drill"'), rows)

    def test_nothing_hides_an_emergency(self):
        notice = self.send("--urgency", "emergency")
        self.assertIn(notice, self.listed("xb-operator", "--exercise", "some-other"))
        self.world.poc("xb-operator", "notice", "close", notice)
        self.assertNotIn(notice, self.listed("xb-operator", "--exercise", "some-other"))

    def test_closed_unread(self):
        """What its sender closed before a person of the desk has acknowledged it stays in the desk's list, and says so."""
        world, notice, seen = self.world, self.send("--urgency", "emergency", "--reply-by", "1h"), self.send()
        world.poc("xb-operator", "notice", "ack", seen)
        for each in notice, seen:
            world.poc("xa-operator", "notice", "close", each)
        self.assertEqual(self.listed("xa-operator", "--sent")[notice]["step"], "closed")
        for words in ([], ["--exercise", "some-other"]):
            got = self.listed("xb-operator", *words)
            self.assertEqual((got[notice]["open"], got[notice]["closed_by_sender"], got[notice]["step"] in ("stored", "delivered")),
                             (True, True, True))
            self.assertNotIn(seen, got)
        for words in ([], ["--threads"]):
            line, = [line for line in world.poc("xb-operator", "notice", "list", *words).out.splitlines() if line.startswith(notice[:9])]
            self.assertIn('CLOSED BY SENDER "Scans', line)
        # it is to be seen, and no answer is wanted any more
        for user in "xa-operator", "xb-operator":
            self.assertRegex(world.poc(user, "notice", "show", notice).out, r"(?m)^closed +by its sender, 2\S+Z$")
        over = world.poc("xb-operator", "handover").out
        self.assertIn(notice[:9], over)
        self.assertNotIn("answer wanted in 59", over)
        later = world.poc("xb-operator", "-o", "json", "--offline", "notice", "list", env=shifted(7200)).json["notices"]
        self.assertEqual([each["overdue"] for each in later if each["id"] == notice], [False])
        world.poc("xb-operator", "notice", "ack", notice)
        self.assertNotIn(notice, self.listed("xb-operator", "--exercise", "some-other"))
        got = self.listed("xb-operator", "--all")[notice]
        self.assertEqual((got["step"], got["open"], got["closed_by_sender"]), ("closed", False, True))
        self.assertNotIn("CLOSED BY SENDER", world.poc("xb-operator", "notice", "list", "--all").out)

    def test_private_note_is_no_business(self):
        """A note is never open, overdue or an emergency, whatever it is about; it leaves its desk only where that is said."""
        world, notice = self.world, self.send("--urgency", "emergency", "--reply-by", "1h")
        note = world.poc("xb-operator", "-o", "json", "notice", "note", notice, "--text", "for us").json["id"]
        self.assertIn("it is a private note", world.poc("xb-operator", "notice", "reply", note, "--text", "t", expect=1).err)
        for words in ([], ["--mine"], ["--overdue"], ["--exercise", "some-other"], ["--sent"]):
            self.assertNotIn(note, self.listed("xb-operator", *words), words)
        got = self.listed("xb-operator", "--all")[note]
        self.assertEqual((got["category"], got["urgency"], got["open"], got["overdue"]), ("note", "routine", False, False))
        for words in (["ack"], ["accept"], ["close"], ["decline", "--reason", "other"]):
            self.assertIn("private note", world.poc("xb-operator", "notice", *words, note, expect=1).err)
        world.poc("xb-operator", "notice", "close", notice)
        self.assertFalse({note, notice} & set(self.listed("xb-operator", "--exercise", "some-other")))
        # to colleagues at its desk it goes as it is, elsewhere only by -y
        self.assertIn("-y", world.poc("xb-operator", "notice", "forward", note, "--to", "AD,XB", expect=2).err)
        self.assertEqual(world.poc("xb-operator", "-n", "-o", "json", "notice", "forward", note, "--to", "AD").json["urgency"], "routine")
        passed = world.poc("xb-operator", "-o", "json", "notice", "forward", note, "--to", "XB").json["id"]
        self.assertEqual(self.listed("xb-operator", "--all")[passed]["category"], "note")
        abroad = world.poc("xb-operator", "-y", "-o", "json", "notice", "forward", note, "--to", "AD").json["id"]
        self.assertEqual(self.listed("ad-operator")[abroad]["urgency"], "routine")
        self.assertIn("for us", world.poc("ad-operator", "notice", "show", abroad).out)

    def test_exercise_is_marked_everywhere(self):
        notice = self.send("--exercise", "spring-27")
        for command in (["list"], ["show", notice], ["ack", notice], ["status", notice]):
            self.assertIn("EXERCISE spring-27", self.world.poc("xb-operator", "notice", *command).out, command)
        self.assertEqual(list(self.listed("xb-operator", "--exercise", "spring-27")), [notice])
        answer = self.world.poc("xb-operator", "notice", "reply", notice, "--text", "ok")
        self.assertIn("EXERCISE spring-27", answer.out)
        lines = self.world.poc("xb-operator", "notice", "watch", "--once", "--cursor", "exercise").out.splitlines()
        self.assertTrue(all(json.loads(line).get("exercise") == "spring-27" for line in lines if notice in line))

    def test_list_is_bounded(self):
        """The newest, and every open emergency; looking at headers delivers nothing."""
        world = self.world
        alarm = self.send("--urgency", "emergency", "--kind", "diplomatic", to="AE", subject="alarm")
        made = [self.send("--kind", "diplomatic", to="AE", subject=f"number {i}") for i in range(4)]
        answer = world.poc("ae-coordinator", "-o", "json", "notice", "list", expect=None)
        self.assertNotIn(made[0], answer.out)  # it serves another desk
        invite, request = world.path("ae-dip.invite"), world.path("ae-dip.request")
        world.poc("ae-coordinator", "user", "invite", "dip", "--role", "operator", "--kind", "diplomatic", "--out", invite)
        world.poc("ae-dip", "setup", invite, "--request", request)
        world.poc("ae-coordinator", "-y", "user", "add", request)
        made += [self.send("--kind", "diplomatic", to="AE", subject=f"number {i}") for i in range(4, 7)]
        listed = world.poc("ae-dip", "-o", "json", "notice", "list", "--headers").json
        self.assertEqual(listed["left_out"], 0)
        n = len(listed["notices"])  # with what other tests sent to this desk before
        self.assertLessEqual({alarm, *made}, {each["id"] for each in listed["notices"]})
        self.assertEqual({each["subject"] for each in listed["notices"]}, {None})
        steps = world.poc("xa-operator", "-o", "json", "notice", "status", made[-1]).json["steps"]
        self.assertNotIn("delivered", [each["step"] for each in steps])
        listed = world.poc("ae-dip", "-o", "json", "notice", "list", "--limit", "3").json
        self.assertEqual(([each["id"] for each in listed["notices"]], listed["left_out"]), ([alarm, *made[-2:]], n - 3))
        self.assertEqual(listed["notices"][-1]["subject"], "number 6")
        anchored(world, "xa-operator", made[-1], "delivered")
        self.assertIn(f"{n - 3} older ones are not shown", world.poc("ae-dip", "notice", "list", "--limit", "3").err)
        world.poc("ae-dip", "notice", "list", "--limit", "none", expect=2)

    def test_threads(self):
        """By thread, at a glance: the newest activity last, open or closed, whose, by when; and all of one thread."""
        world = self.world
        def threads(user, *words):
            return {each["id"]: each for each in world.poc(user, "-o", "json", "notice", "list", "--threads", *words).json["threads"]}

        old = self.send(subject="thread one")
        new = self.send("--reply-by", "24h", "--urgency", "urgent", subject="thread two")
        self.assertEqual([each for each in threads("xb-operator") if each in (old, new)], [old, new])
        time.sleep(1.1)
        answer = world.poc("xb-operator", "-o", "json", "notice", "reply", old, "--text", "r").json["id"]
        world.poc("xb-operator", "notice", "note", old, "--text", "n")
        world.poc("xb-operator", "notice", "take", old)
        got = threads("xb-operator")
        self.assertEqual([each for each in got if each in (old, new)], [new, old])  # the newest activity last
        one, two = got[old], got[new]
        self.assertEqual((one["notices"], one["notes"], one["taken_by"], one["open"], one["reply_by"], one["subject"]),
                         (2, 1, "operator", True, None, "thread one"))
        self.assertEqual((two["notices"], two["notes"], two["taken_by"], two["open"], two["overdue"], two["from"], two["to"]),
                         (1, 0, None, True, False, "XA", ["XB"]))
        self.assertIsNotNone(two["reply_by"])
        self.assertGreater(one["activity"], two["activity"])
        self.assertEqual([each for each in threads("xb-operator", "--mine") if each in (old, new)], [old])
        self.assertIsNone(threads("xb-operator", "--headers")[old]["subject"])
        out = world.poc("xb-operator", "notice", "list", "--threads").out
        self.assertRegex(out, rf'(?m)^{old[:9]} +2 \S+Z +open +operator +- +XA tech +routine +"thread one"$')
        self.assertRegex(out, rf'(?m)^{new[:9]} +1 \S+Z +open +\S+Z +XA tech +urgent +"thread two"$')
        # one thread, by any of its notices
        for each in old, answer:
            shown = world.poc("xb-operator", "-o", "json", "notice", "list", "--thread", each).json["notices"]
            self.assertEqual([n["category"] for n in shown], ["notification", "update", "note"])
            self.assertEqual({n["thread"] for n in shown}, {old})
        self.assertEqual([(n["open"], n["desk"]) for n in shown][0], (True, {"place": "XB", "kind": "technical"}))
        world.poc("xb-operator", "notice", "close", old)
        self.assertNotIn(old, threads("xb-operator"))
        closed = threads("xb-operator", "--all")[old]
        self.assertEqual((closed["open"], closed["taken_by"]), (False, "operator"))
        self.assertRegex(world.poc("xb-operator", "notice", "list", "--threads", "--all").out, rf"(?m)^{old[:9]} .* closed ")
        limited = world.poc("xb-operator", "-o", "json", "notice", "list", "--threads", "--all", "--limit", "1").json
        self.assertEqual(limited["threads"][-1]["id"], old)
        self.assertGreater(limited["left_out"], 0)
        world.poc("xb-operator", "notice", "list", "--thread", old, "--threads", expect=2)
        world.poc("xb-operator", "notice", "list", "--thread", "AAAA", expect=5)
        # a line before the rows of each of several desks
        self.send("--kind", "diplomatic")
        lines = world.poc("xb-operator", "notice", "list").out.splitlines()
        self.assertEqual([line for line in lines if line.startswith("--")], ["-- XB technical", "-- XB diplomatic"])

    def test_thread_is_named_by_its_first(self):
        """Also where an answer came in the same second and has the smaller id, as half of these do."""
        for _ in range(4):
            notice = self.send(subject="the first")
            self.world.poc("xb-operator", "notice", "reply", notice, "--text", "r", "--subject", "the answer")
        threads = self.world.poc("xb-operator", "-o", "json", "notice", "list", "--threads").json["threads"]
        self.assertNotIn("the answer", [each["subject"] for each in threads])

    def test_unit(self):
        """A unit's desk has the users and reading keys of its own list; without one it is refused in words."""
        world = self.world
        record = world.record("xb-coordinator", "XB")
        record["place"] = "XB/unit-a"
        record.pop("sections", None)
        path = os.path.join(world.root, "unit.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        world.poc("xb-coordinator", "-y", "publish", "--replace", path)
        for words in (["--to", "XB/unit-a"], ["--to", "XB", "--reply-by", "1h", "--escalate", "XB/unit-a"]):
            answer = world.poc("xa-operator", "notice", "send", *words, "--subject", "s", "--text", "t", expect=5)
            self.assertIn("XB/unit-a has no users in the directory", answer.err)
            self.assertEqual(len(answer.err.strip().splitlines()), 1, answer.err)

    def test_take_note_handover(self):
        world, notice = self.world, self.send()
        second = self.join("xb", "duty-9")
        world.poc("xb-operator", "notice", "take", notice)
        noted = world.poc("xb-operator", "notice", "note", notice, "--text", "called them, no answer")
        self.assertEqual(len(noted.out.splitlines()), 1, noted)  # nobody is to be called
        self.assertEqual(self.listed(second)[notice]["taken_by"], "operator")
        world.poc("xa-operator", "notice", "reply", notice, "--text", "and more of it")
        over = world.poc(second, "handover", "--since", "1h").out
        self.assertEqual(over.count("called them, no answer"), 1)  # below what it is about alone
        self.assertEqual([each["notes"][0]["text"] for each in world.poc(second, "-o", "json", "handover").json["notices"]
                          if each["id"] == notice], ["called them, no answer"])
        # invisible abroad
        self.assertIsNone(self.listed("xa-operator", "--sent")[notice]["taken_by"])
        self.assertNotIn("called them", world.poc("xa-operator", "notice", "list", "--all").out)
        self.assertNotIn("taken", json.dumps(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]))
        world.poc("xb-operator", "notice", "release", notice)
        self.assertIsNone(self.listed(second)[notice]["taken_by"])
        for user in second, "xb-operator":
            self.assertIn("nothing to release", world.poc(user, "notice", "release", notice, expect=1).err)
        # who takes over is told from whom
        world.poc("xb-operator", "notice", "take", notice)
        self.assertNotIn("was", world.poc("xb-operator", "notice", "take", notice).out)
        self.assertIn("taken, was operator's, for XB technical", world.poc(second, "notice", "take", notice).out)
        self.assertEqual(world.poc("xb-operator", "-o", "json", "notice", "take", notice).json["was"], "duty-9")
        self.assertEqual(world.poc("xb-operator", "-o", "json", "notice", "release", notice).json["was"], None)
        # who leaves holds nothing any more
        world.poc(second, "notice", "take", notice)
        self.assertEqual(self.listed("xb-operator", "--all")[notice]["taken_by"], "duty-9")
        world.poc("xb-coordinator", "-y", "user", "remove", "duty-9")
        self.assertIsNone(self.listed("xb-operator", "--all")[notice]["taken_by"])

    def test_hands_change_within_a_second(self):
        """Taken, released and taken again, by one and by another whose clock is behind: each is a statement of its own, and
        the last one counts; taken again by who has it is the same."""
        world, notice = self.world, self.send()
        world.poc("xb-operator", "-q", "notice", "list")
        for step, holder in ("take", "operator"), ("release", None), ("take", "operator"), ("release", None), ("take", "operator"):
            said = world.poc("xb-operator", "-o", "json", "notice", step, notice).json
            self.assertEqual((said["repeated"], self.listed("xb-operator")[notice]["taken_by"]), (False, holder), step)
        second = self.join("xb", "duty-5")
        for user, step, holder in ((second, "take", "duty-5"), ("xb-operator", "take", "operator"), (second, "release", None),
                                   ("xb-operator", "take", "operator")):
            behind = shifted(-60) if user == second else {}
            said = world.poc(user, "-o", "json", "notice", step, notice, env=behind).json
            self.assertEqual((said["repeated"], self.listed("xb-operator")[notice]["taken_by"]), (False, holder), (user, step))

    def test_no_receipt_is_of_the_future(self):
        """However fast a desk changes its mind: each statement is one of its own, in order, dated when it was made."""
        world, notice, made = self.world, self.send(), []
        for word in "accept", "decline", "accept", "close", "accept", "close":
            said = world.poc("xb-operator", "-o", "json", "notice", word, notice, *(["--reason", "other"] if word == "decline" else []))
            self.assertEqual(said.json["repeated"], False)
            made.append((said.json["step"], int(time.time())))
        steps = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]
        steps = [(each["step"], each["time"]) for each in steps if each["step"] in ("accepted", "declined", "closed")]
        self.assertEqual([step for step, _ in steps], [step for step, _ in made])
        for (step, stated), (_, end) in zip(steps, made):
            self.assertLessEqual(stated, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)), (step, steps))
        self.assertEqual(self.listed("xb-operator", "--all")[notice]["step"], "closed")

    def test_shifts(self):
        world, old = self.world, self.send(text="before the new one came")
        second = self.join("xb", "duty-2")
        world.poc(second, "notice", "show", old, expect=4)  # encrypted before its key was listed
        new = self.send(text="for both of them")
        for user in "xb-operator", second:
            self.assertIn("for both of them", world.poc(user, "notice", "show", new).out)
        # what the state sent is read by colleagues too
        sent = self.send(user="xb-operator", to="XA", text="from our desk")
        self.assertIn("from our desk", world.poc(second, "notice", "show", sent).out)
        # a colleague gets an old thread by forward, with its proofs
        anchored(world, "xb-operator", old, "stored") if old in self.listed("xb-operator", "--sent") else time.sleep(1)
        passed = world.poc("xb-operator", "-o", "json", "notice", "forward", old, "--to", "XB").json["id"]
        shown = world.poc(second, "notice", "show", passed).out
        self.assertIn("before the new one came", shown)
        self.assertIn("signed by operator of XA", shown)
        # one who was removed cannot read later ones, even with what colleagues have
        reading = world.path("users", "xb-duty-2-reading.key")
        world.poc("xb-coordinator", "-y", "user", "remove", "duty-2")
        later = self.send(text="not for duty-2")
        self.assertNotEqual(world.poc(second, "--online", "notice", "show", later, expect=None).status, 0)
        conf = world.path("users", "xb-stolen.conf")
        with open(world.conf("xb-operator"), encoding="utf-8") as own, open(conf, "w", encoding="utf-8") as stolen:
            stolen.write(re.sub(r"reading_key = .*", f"reading_key = {reading}", own.read()))
        self.assertIn("no reading key of ours", world.poc("xb-stolen", "notice", "show", later, expect=4).err)

    def test_archive_key_reads_for_those_who_came_later(self):
        world, archive = self.world, os.path.join(self.world.root, "archive.key")
        world.poc("ad-coordinator", "-y", "key", "new", archive, "--holder", "archive", "--kind", "technical")
        self.assertIn("archive", [key["holder"] for key in world.poc("ad-coordinator", "-o", "json", "user", "list").json
                                  ["reading_keys"]])
        notice = self.send(to="AD", text="kept for the archive")
        with open(world.conf("ad-operator"), encoding="utf-8") as own, \
                open(world.path("users", "ad-archive.conf"), "w", encoding="utf-8") as other:
            other.write(re.sub(r"reading_key = .*", f"reading_key = {archive}", own.read()))
        self.assertIn("kept for the archive", world.poc("ad-archive", "notice", "show", notice).out)

    def test_marker_is_nowhere_in_the_daemon(self):
        """No byte of subject, text or attachment's name in store, log, memory (the mapped store too) or traffic.  The exercise's
        name, which stands in the header, is found by the same search: it can find something."""
        world, attachment = self.world, os.path.join(self.world.root, f"{MARKER}.txt")
        with open(attachment, "w", encoding="utf-8") as out:
            out.write(f"inside {MARKER}")
        with Tap(world, "xa-operator") as sending, Tap(world, "xb-operator") as receiving:
            for tap in (sending, receiving):
                world.variant(tap.user, tap.user + "-tapped", {("directory", "server"): f"127.0.0.1:{tap.port}"})
            notice = self.send("--attach", attachment, "--exercise", CONTROL, subject=f"Subject {MARKER}", text=f"Text {MARKER}",
                               user="xa-operator-tapped")
            self.assertIn(MARKER, world.poc("xb-operator-tapped", "notice", "show", notice).out)
        for tap in (sending, receiving):
            self.assertIn(CONTROL.encode(), tap.seen, tap.user)
            self.assertNotIn(MARKER.encode(), tap.seen, tap.user)
        stored = {}
        for folder, _, files in os.walk(world.path("data")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    stored[name] = file.read()
                self.assertNotIn(MARKER.encode(), stored[name], name)
        self.assertTrue(any(CONTROL.encode() in each for each in stored.values()))
        self.assertNotIn(MARKER, world.log())
        found = {}
        for line, memory in self.daemon_memory():
            self.assertNotIn(MARKER.encode(), memory, line)
            found[line] = CONTROL.encode() in memory
        mapped = [line for line in found if line.endswith("data.mdb")]
        self.assertTrue(mapped)
        self.assertTrue(any(found[line] for line in mapped), found)

    def daemon_memory(self):
        """(line of maps, bytes) of all that the daemon has mapped and can be read; of files as much as they have."""
        pid = self.world.daemon.pid
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                begin, end, mode, offset, path = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)", line).groups()
                size = int(end, 16) - int(begin, 16)
                if path.startswith("/") and os.path.exists(path):
                    size = min(size, max(0, os.path.getsize(path) - int(offset, 16)))
                if "r" not in mode or path.startswith("[v") or size > 1 << 28:  # such is a sanitizer's shadow
                    self.assertFalse(path.endswith(".mdb"), line)
                    continue
                memory.seek(int(begin, 16))
                try:
                    yield line.strip(), read_all(memory, size)
                except OSError:
                    self.assertFalse(path.endswith(".mdb"), line)

    def test_save_attachments(self):
        world, folder = self.world, os.path.join(self.world.root, "saved")
        os.mkdir(folder)
        outside = os.path.join(world.root, "outside")
        sources = os.path.join(world.root, "sources")
        os.mkdir(sources)
        names = ["report.txt", "-rf $(x);.txt", "..hidden"]
        for name in names:
            with open(os.path.join(sources, name), "w", encoding="utf-8") as out:
                out.write("content of " + name)
        with open(os.path.join(folder, "report.txt"), "w", encoding="utf-8") as out:
            out.write("mine")
        os.symlink(outside, os.path.join(folder, "report-2.txt"))
        words = [word for name in names for word in ("--attach", os.path.join(sources, name))]
        notice = self.send(*words)
        files = [each["file"] for each in world.poc("xb-operator", "-o", "json", "notice", "save", notice, folder).json["files"]]
        self.assertEqual(files[0], "report-3.txt")
        self.assertFalse(os.path.exists(outside))
        with open(os.path.join(folder, "report.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")
        for name, file in zip(names, files):
            self.assertRegex(file, r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
            with open(os.path.join(folder, file), encoding="utf-8") as saved:
                self.assertEqual(saved.read(), "content of " + name)
        world.poc("xb-operator", "notice", "save", notice, os.path.join(world.root, "nowhere"), expect=5)

    def test_text_is_refused_where_it_is_written(self):
        # a log that was pasted keeps its tabs, in lines only
        log = self.send(subject="a log", text="203.0.113.7\t22\tSYN")
        self.assertIn("203.0.113.7\t22\tSYN", self.world.poc("xb-operator", "notice", "show", log).out)
        self.assertEqual(self.world.poc("xb-operator", "-o", "json", "notice", "show", log).json["text"], "203.0.113.7\t22\tSYN")
        self.world.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "a\tb", "--text", "t", expect=1)
        bad = self.world.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "a\x1b[31mred", "--text", "t", expect=1)
        self.assertNotIn("\x1b", bad.err)

    def test_text_from_abroad_reaches_no_terminal_raw(self):
        """A sender whose client lets everything pass: ours opens no notice with such a text, and prints no such byte."""
        world, folder = self.world, os.path.join(self.world.root, "of-the-hostile")
        os.mkdir(folder)
        good = wire.field(1, "harmless") + wire.field(2, "by the same hand")
        self.assertIn("by the same hand", world.poc("xb-operator", "notice", "show", self.hostile(good)).out)
        raw = ("\x1b", "\x07", "\x08", "\r", "\x9b", "\u202e", "\u2066", "\u200f", "\ufeff", "\U000e0041")
        escape, plain = "\x1b[2J\x1b]0;owned\x07", wire.field(1, "s") + wire.field(2, "t")
        contents = [wire.field(1, "s" + escape) + wire.field(2, "t"), plain + wire.field(19, "r" + escape),
                    plain + wire.element(22, wire.field(1, "n" + escape) + wire.field(2, b"data"))]
        contents += [wire.field(1, "s") + wire.field(2, "t" + bad) for bad in
                     (escape, "a\x08b", "a\rb", "\x9b31m", "\u202egnp.exe", "\u2066x\u2069", "\u200f", "\ufeffx", "\U000e0041")]
        for content in contents:
            notice = self.hostile(content)
            for words in ("show", notice), ("save", notice, folder):
                answer = world.poc("xb-operator", "notice", *words, expect=6)
                self.assertIn("holds no valid content", answer.err, content)
                self.assertEqual([each for each in raw if each in answer.out + answer.err], [], content)
        self.assertEqual(os.listdir(folder), [])
        # what the rules let pass, and a terminal should not get all the same
        shown = world.poc("xb-operator", "notice", "show", self.hostile(wire.field(1, "s\u00ads") + wire.field(2, "t\ue000t"))).out
        self.assertIn("s\\u00ads", shown)
        self.assertIn("t\\ue000t", shown)
        raw = (*raw, "\u00ad", "\ue000")
        for words in (["list", "--all"], ["watch", "--once", "--cursor", "hostile"], ["reply", notice, "--text", "ok"], ["ack", notice],
                      ["status", notice]):
            for form in (), ("-o", "json"):
                answer = world.poc("xb-operator", *form, "notice", *words)
                self.assertEqual([each for each in raw if each in answer.out + answer.err], [], (words, answer))
        self.assertEqual([each for each in raw if each in world.poc("xb-operator", "handover").out], [])

    def hostile(self, content):
        """Its id, as poc prints it, of a notice with this content."""
        text = base64.b32encode(hostile.send(self.world, content)).decode().rstrip("=")
        return "-".join(text[at:at + 4] for at in range(0, len(text), 4))

    def test_json_on_standard_input(self):
        path = os.path.join(self.world.root, "notice.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"to": ["XB"], "subject": "From JSON", "text": "body", "urgency": "urgent", "rsit_class": "malicious-code",
                       "stage": "early-warning", "states": ["AD", "XA"], "cross_border": True,
                       "indicators": [{"type": "ip", "value": "192.0.2.1"}], "detected": "2026-11-01T00:00:00Z"}, out)
        with open(path, encoding="utf-8") as stdin:
            notice = self.world.poc("xa-operator", "-o", "json", "notice", "send", stdin=stdin).json["id"]
        shown = self.world.poc("xb-operator", "-o", "json", "notice", "show", notice).json
        self.assertEqual(shown["content"]["indicators"], [{"type": "ip", "value": "192.0.2.1"}])
        self.assertEqual((shown["content"]["stage"], shown["urgency"], shown["text"]), ("early-warning", "urgent", "body"))

    def test_text_of_other_systems(self):
        """CRLF is a newline and a byte order mark at the start is none of the text, on every way in."""
        world, words = self.world, b"\xef\xbb\xbfl1\r\nl2\r\n"
        files = {"text": words, "form.ini": b"\xef\xbb\xbfsubject = s\r\n[text]\r\nl1\r\nl2\r\n",
                 "form.json": b"\xef\xbb\xbf" + json.dumps({"subject": "s", "text": "\ufeffl1\r\nl2\r\n"}).encode()}
        for name, content in files.items():
            with open(os.path.join(world.root, name), "wb") as out:
                out.write(content)
        path = {name: os.path.join(world.root, name) for name in files}
        of = self.send()
        ways = [("send", "--file", path["text"]), ("send", "--text", words.decode()), ("send", "--template", path["form.ini"]),
                ("send", "--template", path["form.json"]), ("send",), ("send", "--set", "text=" + words.decode()[:-2]),
                ("reply", of, "--file", path["text"]), ("note", of, "--text", words.decode()), ("note", of)]
        for verb, *more in ways:
            to = ("--to", "XB", "--subject", "s") if verb == "send" else ()
            with open(os.devnull if {"--file", "--text"} & set(more) else path["text"], "rb") as stdin:
                answer = world.poc("xa-operator", "-o", "json", "notice", verb, *more, *to, stdin=stdin)
            shown = world.poc("xa-operator", "-o", "json", "notice", "show", answer.json["id"]).json
            self.assertEqual(shown["text"].rstrip("\n"), "l1\nl2", (verb, more))
        with open(path["form.json"], "rb") as stdin:
            answer = world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", stdin=stdin)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "show", answer.json["id"]).json["text"].rstrip("\n"), "l1\nl2")

    def test_bad_input(self):
        big = os.path.join(self.world.root, "big")
        with open(big, "wb") as out:
            out.write(os.urandom(1_100_000))
        unknown = os.path.join(self.world.root, "unknown.json")
        with open(unknown, "w", encoding="utf-8") as out:
            out.write('{"subject": "x", "colour": "red"}')
        cases = [
            (["--to", "XQ", "--subject", "s"], 5, "XQ"),
            (["--to", "Atlantis", "--subject", "s"], 5, "no place"),
            (["--to", "XB"], 2, "subject"),
            (["--subject", "s"], 2, "--to"),
            (["--to", "XB", "--subject", "s", "--category", "gossip"], 2, "gossip"),
            (["--to", "XB", "--subject", "s", "--urgency", "asap"], 2, "asap"),
            (["--to", "XB", "--subject", "s", "--tlp", "PURPLE"], 2, "PURPLE"),
            (["--to", "XB", "--subject", "s", "--reply-by", "2020-01-01T00:00:00Z"], 1, "past"),
            (["--to", "XB", "--subject", "s", "--reply-by", "soon"], 2, "--reply-by"),
            (["--to", "XB", "--subject", "s", "--reply-by", "3660d"], 1, "ten years"),
            (["--to", "XB", "--subject", "s", "--reply-by", "99999999d"], 1, "ten years"),
            (["--to", "XB", "--subject", "s", "--reply-by", "9999-01-01T00:00:00Z"], 1, "ten years"),
            (["--to", "XB", "--subject", "s", "--escalate", "diplomatic"], 2, "--reply-by"),
            (["--to", "XB", "--subject", "s", "--exercise", "Two Words"], 2, "exercise"),
            (["--to", "XB", "--subject", "s", "--attach", big], 1, "921600"),
            (["--to", "XB", "--subject", "s", "--attach", "/nowhere"], 5, "/nowhere"),
            (["--to", "XB", "--subject", "s" * 201], 1, "subject"),
            (["--to", "XB", "--subject", ""], 2, "--subject"),
            (["--to", "XB", "--subject", "s", "--text", ""], 2, "--text: the value is empty"),
            (["--to", "XB", "--template", unknown], 1, "colour"),
            (["--to", "XB,XB", "--subject", "s"], 2, "twice"),
        ]
        before = len(self.listed("xb-operator", "--all"))
        for words, status, message in cases:
            text = [] if "--text" in words else ["--text", "t"]
            answer = self.world.poc("xa-operator", "notice", "send", *text, *words, expect=status)
            self.assertIn(message, answer.err, words)
            self.assertEqual(len(answer.err.strip().splitlines()), 1, answer.err)
        self.assertEqual(len(self.listed("xb-operator", "--all")), before)
        self.world.poc("xa-reader", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t", expect=4)
        self.world.poc("xb-operator", "notice", "show", "ZZZZ-ZZZZ", expect=5)
        self.world.poc("xb-operator", "notice", "ack", "zz", expect=5)
        self.assertIn("ten years", self.world.poc("xb-operator", "notice", "ack", self.send(), "--answer-by", "99999999d", expect=1).err)

    def test_watch_shows_everything_once(self):
        world = self.world
        world.poc("ae-operator", "notice", "watch", "--once")
        watcher = subprocess.Popen([POC, "-c", world.conf("ae-operator"), "notice", "watch"], env=world.env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(0.5)
            notice = self.send(to="AE", text="wake up")
            while (event := json.loads(watcher.stdout.readline()))["id"] != notice:
                pass  # what other tests have left at this desk
            self.assertEqual((event["event"], event["id"], event.get("text")), ("notice", notice, "wake up"), event)
        finally:
            watcher.terminate()
            watcher.communicate()
        self.assertNotIn(notice, [json.loads(line)["id"] for line in world.poc("ae-operator", "notice", "watch", "--once").out
                                  .splitlines() if json.loads(line)["event"] == "notice"])
        other = world.poc("ae-operator", "notice", "watch", "--once", "--cursor", "tickets").out
        self.assertIn(notice, other)

    def test_cursor_is_one_watchers(self):
        self.send()
        watch = ("notice", "watch", "--once", "--cursor", "alone")
        with subprocess.Popen([POC, "-c", self.world.conf("xb-operator"), *watch, "--exec", "echo taken; exec sleep 20"],
                              env=self.world.env, stdout=subprocess.PIPE, text=True) as first:
            self.assertEqual(first.stdout.readline(), "taken\n")
            second = self.world.poc("xb-operator", *watch, expect=1)
            self.assertEqual((second.out, '"alone" is in use' in second.err), ("", True))
            self.world.poc("xb-operator", "notice", "watch", "--once", "--cursor", "other")
            first.kill()
        # free at once, though the command goes on, and nothing was lost
        self.assertIn("notice", self.world.poc("xb-operator", *watch).out)

    def test_watch_exec_moves_on_success_only(self):
        world, taken = self.world, os.path.join(self.world.root, "taken")
        notice = self.send(to="AD", text="for the ticket system")
        command = f"test -e {taken}.ready || exit 1; cat >> {taken}; echo >> {taken}"
        watcher = subprocess.Popen([POC, "-c", world.conf("ad-operator"), "notice", "watch", "--cursor", "gate", "--exec",
                                    command], env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn("did not take", watcher.stderr.readline())
            self.assertFalse(os.path.exists(taken))
            open(taken + ".ready", "w", encoding="ascii").close()
            end = time.monotonic() + 10 * SLOW
            while time.monotonic() < end and notice not in self.text(taken):
                time.sleep(0.1)
        finally:
            watcher.terminate()
            watcher.communicate()
        with open(taken, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.strip()]
        cursors = [event["cursor"] for event in events if event["desk"]["kind"] == "technical"]
        self.assertEqual(len(cursors), len(set(cursors)))
        self.assertIn(notice, [event["id"] for event in events])

    def test_reminder_and_escalation(self):
        world, notice = self.world, self.send("--reply-by", "1h")
        reminder = world.poc("xa-operator", "-o", "json", "notice", "remind", notice).json["id"]
        self.assertEqual(self.listed("xb-operator")[reminder]["subject"], "Reminder: Scans from AS64500")
        world.poc("xb-operator", "notice", "ack", notice)
        anchored(world, "xa-operator", notice, "acknowledged")
        passed = world.poc("xa-operator", "-o", "json", "notice", "escalate", notice, "--to", "XB", "--kind", "diplomatic").json
        self.assertEqual(passed["thread"], notice)
        self.assertIn("We see scans.", world.poc("xb-operator", "notice", "show", passed["id"]).out)
        world.poc("xb-operator", "notice", "remind", notice, expect=4)
        # nobody is pressed for what is closed
        world.poc("xa-operator", "notice", "close", notice)
        for words in ["remind", notice], ["escalate", "--to", "AD", notice]:
            said = world.poc("xa-operator", "notice", *words, expect=1).err
            self.assertRegex(said, f"{notice} was closed by its sender, our desk, .*: nothing more is wanted of it")
        # closed on both sides; how far the recipient is is told of that
        world.poc("xb-operator", "notice", "accept", notice)
        for user in "xa-operator", "xb-operator":
            one = world.poc(user, "-o", "json", "notice", "show", notice).json
            self.assertEqual((one["step"], one["recipients"][0]["step"]), ("closed", "accepted"))

    def test_said_of_a_reminder(self):
        """What is said of a reminder is said of the notice, which waits no longer; the reminder is acknowledged."""
        world = self.world

        def remind(notice):
            return world.poc("xa-operator", "-o", "json", "notice", "remind", notice).json["id"]

        def step(notice, user="xa-operator"):
            return world.poc(user, "-o", "json", "notice", "show", notice).json["recipients"][0]["step"]

        notice = self.send("--reply-by", "1h", "--escalate", "AD")
        reminder = remind(notice)
        again = remind(reminder)  # of a reminder: the same notice
        shown = world.poc("xb-operator", "notice", "show", reminder).out
        self.assertRegex(shown, f"reminder of +{notice} ")
        self.assertEqual(world.poc("xb-operator", "-o", "json", "notice", "show", reminder).json["reminds_of"], notice)
        said = world.poc("xb-operator", "notice", "ack", reminder)
        self.assertIn(f"{notice}: acknowledged, for XB technical, stored", said.out)
        self.assertIn(f"a reminder of {notice}: said of that notice", said.err)
        self.assertEqual((step(notice), step(reminder)), ("acknowledged", "acknowledged"))
        escalation = world.poc("xa-operator", "-o", "json", "notice", "show", notice).json["recipients"][1]
        self.assertEqual(escalation["state"], "not-needed")
        answered = world.poc("xb-operator", "-o", "json", "notice", "reply", again, "--text", "Blocked.")
        self.assertIn(f"a reminder of {notice}: that notice is answered", answered.err)
        self.assertEqual((step(notice), step(again)), ("answered", "acknowledged"))
        got = world.poc("xa-operator", "-o", "json", "notice", "show", answered.json["id"]).json
        self.assertEqual(got["answers"], notice)
        self.assertIsNone(world.poc("xa-operator", "-n", "-o", "json", "notice", "remind", notice).json["id"])
        # of what was sent in the thread itself, and not of its beginning
        update = world.poc("xa-operator", "-o", "json", "notice", "reply", notice, "--text", "More.").json["id"]
        one = world.poc("xb-operator", "-o", "json", "notice", "accept", remind(update)).json
        self.assertEqual(one["id"], update)
        self.assertNotIn("reminder", world.poc("xb-operator", "-o", "json", "notice", "accept", update).json)
        said = world.poc("xb-operator", "notice", "close", reminder)
        self.assertIn(f"it is a reminder of {notice}: of that notice nothing is said by this", said.err)
        self.assertEqual((step(notice), step(reminder)), ("answered", "closed"))
        # without a server: of one that was opened before; of another it is said that it may be one
        notice = self.send()
        opened, closed = remind(notice), remind(notice)
        world.poc("xb-operator", "notice", "list", "--headers")
        world.poc("xb-operator", "notice", "show", opened)
        said = world.poc("xb-operator", "--offline", "notice", "accept", closed, expect=8).err
        self.assertIn(f"{closed} cannot be opened here: if it is a reminder of {notice}, answer and acknowledge that", said)
        world.poc("xb-operator", "--offline", "notice", "reply", opened, "--text", "Later.", expect=8)
        world.poc("xb-operator", "notice", "flush")
        self.assertEqual([step(each) for each in (notice, opened, closed)], ["answered", "acknowledged", "accepted"])

    def test_reminded_is_who_is_waited_for(self):
        """With a deadline who has not answered, else who has not acknowledged; and it is said which."""
        world = self.world
        asks, tells = self.send("--reply-by", "1h", to="XB,AD"), self.send(to="XB,AD")

        def remind(notice):
            said = world.poc("xa-operator", "-n", "notice", "remind", notice)
            one = world.poc("xa-operator", "-n", "-o", "json", "notice", "remind", notice).json
            return one["waits_for"], [each["place"] for each in one["recipients"]], said.err

        for notice in asks, tells:
            world.poc("xb-operator", "notice", "ack", notice)
        waits, whom, said = remind(tells)
        self.assertEqual((waits, whom), ("acknowledged", ["AD"]))
        self.assertNotIn("XB", said)
        waits, whom, said = remind(asks)
        self.assertEqual((waits, whom), ("answered", ["AD", "XB"]))
        self.assertIn("XB technical: acknowledged, not answered", said)
        self.assertIn("AD technical: stored, not answered", said)
        for notice in asks, tells:
            world.poc("xb-operator", "notice", "reply", notice, "--text", "Blocked.")
            self.assertEqual(remind(notice)[1], ["AD"])
        world.poc("ad-operator", "notice", "decline", "--reason", "other", asks)
        world.poc("ad-operator", "notice", "ack", tells)
        waits, whom, said = remind(asks)
        self.assertEqual((waits, whom), ("answered", []))
        self.assertIn("every recipient has answered, declined or closed it: nobody is reminded", said)
        waits, whom, said = remind(tells)
        self.assertEqual((waits, whom), ("acknowledged", []))
        self.assertIn("every recipient has acknowledged it, or said more: nobody is reminded", said)


if __name__ == "__main__":
    main()
