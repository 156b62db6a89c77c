"""Communications checks: a round asked, answered by a person, by a program, not at all; published as P, shown by lookup."""
import calendar
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from harness import POCADM, ROOT, SLOW, World, ini_set, main

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import forge  # noqa: E402
import verify  # noqa: E402
from canonical import decode, encode  # noqa: E402

DEADLINE = 10 * SLOW


def started_at(round_):
    return calendar.timegm(time.strptime(round_, "%Y-%m-%dT%H:%M:%SZ"))


class Pings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        cls.addClassCleanup(world.close)
        cls.join("directory-admin", "pings", "--role", "service", "--service", "--kind", "coordinator")
        ini_set(world.conf("pings"), {("coordinator", "key"): os.path.relpath(
            os.path.join(world.path(), "keys", "coordinator.key"), world.path("users"))})
        cls.join("xb-coordinator", "robot", "--role", "operator", "--kind", "diplomatic", "--service")
        with open(world.path("directory.info"), encoding="utf-8") as info:
            cls.directory = bytes.fromhex(re.search(r"^id = ([0-9a-f]{64})$", info.read(), re.MULTILINE).group(1))

    @classmethod
    def join(cls, coordinator, handle, *words):
        """A new user, whose configuration is users/HANDLE.conf."""
        path = cls.world.path("users", handle)
        cls.world.poc(coordinator, "user", "invite", handle, *words, "--out", path + ".invite")
        cls.world.poc(handle, "setup", path + ".invite", "--request", path + ".request")
        cls.world.poc(coordinator, "-y", "user", "add", path + ".request")

    def ping(self, *words, expect=0, text=False, user="pings"):
        command = [POCADM, "-c", self.world.conf(user), *([] if text else ["-o", "json"]), "-y", "ping", *words]
        done = subprocess.run(command, env=self.world.env, capture_output=True, text=True, timeout=120, check=False)
        while "this very second" in done.stderr:  # one round begins in a second
            time.sleep(1.1)
            done = subprocess.run(command, env=self.world.env, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout if text else json.loads(done.stdout)

    def report(self, round_, until, *words):
        """The report of a round once its counts are as awaited: what was said a moment ago is proven at the next publication."""
        end = time.monotonic() + 10 * SLOW
        while True:
            report = self.ping("report", round_, *words)
            if all(report["counts"][key] == value for key, value in until.items()):
                return report
            self.assertLess(time.monotonic(), end, report)
            time.sleep(0.2)

    def ack(self, user, kind):
        notices = self.world.poc(user, "-o", "json", "notice", "list").json["notices"]
        found = [n for n in notices if n["category"] == "communications-check" and n["step"] in ("stored", "delivered") and
                 any(each["kind"] == kind for each in n["recipients"])]
        self.assertTrue(found, notices)
        self.world.poc(user, "notice", "ack", found[-1]["id"])

    def wait_proven(self, user, notice):
        end = time.monotonic() + 10 * SLOW
        while True:
            steps = self.world.poc(user, "-o", "json", "notice", "status", notice).json["steps"]
            if all(step["proven"] for step in steps):
                return steps
            self.assertLess(time.monotonic(), end, steps)
            time.sleep(0.2)

    def verdict(self, place, user="xa-reader", expect=0, *words):
        return self.world.poc(user, *words, "-o", "json", "lookup", place, expect=expect).json["verdict"]

    def test_1_round(self):
        self.assertIsNone(self.verdict("XB")["answered_at"])
        started = self.ping("start", "XA", "XB", "AD", "--deadline", f"{DEADLINE}s")
        round_ = started["round"]
        results = {(r["place"], r.get("kind")): r["result"] for r in started["results"]}
        self.assertEqual({key for key, value in results.items() if value == "asked"},
                         {("XA", "technical"), ("XA", "diplomatic"), ("XB", "technical"), ("XB", "diplomatic"), ("AD", "technical")})
        # the same round again: nothing is asked twice
        again = self.ping("start", "XA", "XB", "AD", "--round", round_)
        self.assertEqual({r["result"] for r in again["results"]}, {"asked before"})
        self.assertEqual(again["deadline"], started["deadline"])
        # nobody at all is an error, one of several is not
        for words in (["QQ"], ["--dry-run", "QQ"]):
            nobody = self.ping("start", *words, expect=5)
            self.assertEqual((nobody["error"]["message"], nobody["results"][0]["result"]), ("nobody was asked", "cannot be asked"))
        self.ping("start", "QQ", "XB", "--dry-run")
        self.ack("xb-operator", "technical")
        self.ack("robot", "diplomatic")
        report = self.report(round_, {"person": 1, "automatic": 1, "none": 3, "asked": 5})
        kinds = {(p["place"], p["kind"]): p["result"] for p in report["pocs"]}
        self.assertEqual((kinds["XB", "technical"], kinds["XB", "diplomatic"], kinds["XA", "technical"]),
                         ("person", "automatic", "none"))
        # before the deadline only answers are published
        self.assertEqual(self.ping("report", round_, "--publish")["published"], 1)
        verdict = self.verdict("XB")
        answered = next(p["answered"] for p in report["pocs"] if p["result"] == "person")
        self.assertEqual((verdict["answered_at"], verdict["answered_automatically"]), (answered, False))
        self.assertIn(f"last answered {answered}", self.world.poc("xa-reader", "lookup", "XB").out)
        self.assertIsNone(self.verdict("AD")["answered_at"])
        time.sleep(max(0, DEADLINE + 1 - (time.time() - started_at(round_))))
        last = self.ping("report", round_, "--publish")
        self.assertEqual((last["published"], last["told"]), (2, 2), last)
        self.assertEqual([self.ping("report", round_, "--publish")[key] for key in ("published", "told")], [0, 0])
        self.assertIsNone(self.verdict("AD")["answered_at"])
        told = self.world.poc("xa-coordinator", "-o", "json", "notice", "list").out
        self.assertIn("notification", told)
        rows = list(csv.DictReader(io.StringIO(self.ping("report", round_, "--csv", text=True))))
        self.assertEqual(sorted((r["place"], r["kind"], r["result"]) for r in rows),
                         sorted((place, kind, result) for (place, kind), result in kinds.items()))
        public = self.ping("report", user="xb-reader")
        self.assertEqual(public["counts"], {"asked": 5, "person": 1, "automatic": 1, "none": 3})
        self.assertEqual([(p["place"], p["kind"], p["result"]) for p in public["pocs"]],
                         [("XB", "technical", "person"), ("XB", "diplomatic", "automatic")])
        self.assertIn("1 answered by a person, 1 by a program, 3 not, 0 cancelled", self.ping("report", text=True))

    def test_2_copy_and_files(self):
        """The local copy, a bundle and a saved file tell it as well, and an independent verifier agrees."""
        answered = self.verdict("XB")["answered_at"]
        self.world.poc("xa-reader", "sync")
        self.assertEqual(self.verdict("XB", "xa-reader", 0, "--offline")["answered_at"], answered)
        path = self.world.path("xb.proof")
        self.world.poc("xa-reader", "lookup", "XB", "--save", path)
        said = self.world.poc("xa-reader", "--offline", "-o", "json", "verify", path).json
        self.assertEqual(said["verdict"]["answered_at"], answered)
        with open(path, "rb") as file:
            saved = file.read()
        self.assertEqual(self.judge(saved), answered)
        bundle = self.world.path("all.bundle")
        self.world.poc("xa-reader", "-q", "export", "--format", "bundle", bundle)
        with open(bundle, "rb") as file:
            self.assertEqual(self.judge(file.read()), answered)
        self.world.poc("xa-reader", "--offline", "verify", bundle)
        self.refuse_forgeries(saved)

    def judge(self, data):
        proof = verify.Proof(data, self.directory)
        finding = next(f for f in proof.findings if f.name.text == "R/XB")
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(finding.answered)) if finding.answered else None

    def refuse_forgeries(self, saved):
        """Another's P, an older one, one by a stranger, one that was changed, one that is kept back."""
        proof = decode("Proof", saved)
        at = next(i for i, item in enumerate(proof["items"]) if item["name"] == "P/XB")
        genuine = proof["items"][at]["envelopes"][0]
        payload = decode("Pings", decode("Envelope", genuine)["payload"])
        stranger = forge.Signer.fresh()

        def signed(**fields):
            return forge.seal("P", encode("Pings", {**payload, **fields}), stranger)

        forgeries = {
            "another's": signed(head={**payload["head"], "name": "P/XA"}),
            "an older one": signed(head={**payload["head"], "seq": 1, "prev": forge.ZERO}),
            "a stranger's": signed(),
            "a changed byte": genuine[:-1] + bytes([genuine[-1] ^ 1]),
        }
        for label, envelope in forgeries.items():
            proof["items"][at] = {**proof["items"][at], "envelopes": [envelope]}
            self.refused(label, encode("Proof", proof))

    def test_6_dropped_key(self):
        """Under a head of somebody who has the log key: a P that no current key of K/@directory signed counts for nothing."""
        path = self.world.path("xb.proof")
        with open(path, "rb") as file:
            proof = decode("Proof", file.read())
        its = forge.Operator(forge.Signer.load(self.world.path("keys", "log.key")),
                             int.from_bytes(proof["checkpoint"]["leaf"][74:], "big"))
        its.put(proof["trust"][0])
        for each in proof["items"]:
            for envelope in each.get("envelopes", []):
                its.put(envelope, each.get("sections", []))
        pings, names = forge.item(proof, "P/XB")["envelopes"][0], ("K/@directory", "K/XB", "P/XB", "R/XB")
        answered = self.judge(encode("Proof", its.saved(*names)))
        self.assertIsNotNone(answered)
        staff = forge.Signer.load(self.world.path("keys", "coordinator.key"))
        for label, signer, expect in (("staff", staff, answered), ("stranger", forge.Signer.fresh(), None),
                                      ("the state itself", forge.Signer.load(self.world.path("states", "XB-signing.key")), None)):
            with self.subTest(label):
                data = encode("Proof", its.put(forge.change(pings, signer)).saved(*names))
                self.assertEqual(self.judge(data), expect)
                with open(self.world.path("forged.proof"), "wb") as file:
                    file.write(data)
                said = self.world.poc("xa-reader", "--offline", "-o", "json", "verify", self.world.path("forged.proof")).json
                self.assertEqual(said["verdict"]["answered_at"], expect)
        lacking = [dict(ping, answered=0) for ping in forge.payload_of(pings)["pings"]]
        self.refused("rules", encode("Proof", its.put(forge.change(pings, staff, pings=lacking)).saved(*names)))

    def test_7_channel_reports(self):
        """Told to the state and the staff alone, counted per channel, cleared by the next confirmation."""
        world = self.world
        record = world.record("xa-operator", "XB")
        poc, channel = next((poc["id"], channel) for poc in record["pocs"] for section in poc["sections"]
                            for channel in section["content"].get("channels", []) if channel["type"] == "phone")
        sent = world.poc("xa-operator", "-o", "json", "report", "XB", channel["value"], "--reason", "no-answer").json
        self.assertEqual((sent["place"], sent["poc"], sent["channel"], sent["recipients"]), ("XB", poc, channel["id"], 2))
        world.poc("xa-operator", "report", "XB", f"{poc}/{channel['id']}", "--reason", "no-answer")
        world.poc("ad-operator", "report", "XB", channel["value"], "--reason", "wrong")
        for user in ("xb-coordinator", "pings", "directory-admin"):
            with self.subTest(user):
                told = world.poc(user, "-o", "json", "report").json["channels"]
                self.assertEqual([(t["place"], t["poc"], t["channel"], t["value"], t["counts"]) for t in told],
                                 [("XB", poc, channel["id"], channel["value"], {"no-answer": 2, "wrong": 1, "bounced": 0})])
        self.assertIn("no answer 2, wrong 1", world.poc("xb-coordinator", "report").out)
        self.assertEqual(world.poc("xa-coordinator", "-o", "json", "report").json["channels"], [])
        self.assertEqual(world.poc("xa-coordinator", "report").out, "nothing reported\n")
        self.assertIn("reports go to the coordinators", world.poc("ad-operator", "report", expect=4).err)
        # without the key that opens them nothing was counted, which is not the same as nothing reported
        keyless = world.poc(world.variant("pings", "keyless", {("notices", "reading_key"): None}), "-o", "json", "report", expect=4)
        self.assertRegex(keyless.json["error"]["message"], r"^\d+ notices that may be reports could not be opened: no reading key")
        time.sleep(1.1)  # times are whole seconds
        world.poc("xb-coordinator", "-y", "confirm")
        self.assertEqual(world.poc("xb-coordinator", "-o", "json", "report").json["channels"], [])
        self.assertEqual(world.poc("pings", "-o", "json", "report").json["channels"], [])
        world.poc("xa-operator", "report", "XB", channel["value"], "--reason", "bounced")
        told = world.poc("xb-coordinator", "-o", "json", "report").json["channels"]
        self.assertEqual([t["counts"]["bounced"] for t in told], [1])
        for words, status in ((["XB", "+0", "--reason", "wrong"], 5), (["XB", channel["value"]], 2), (["XB"], 2),
                              (["XB", channel["value"], "--reason", "rude"], 2), (["--reason", "wrong"], 2),
                              (["XZ", "+0", "--reason", "wrong"], 5)):
            with self.subTest(words):
                world.poc("xa-operator", "report", *words, expect=status)
        world.poc("xa-reader", "report", "XB", channel["value"], "--reason", "wrong", expect=4)

    def refused(self, label, data):
        with self.subTest(label), self.assertRaises(verify.Refused):
            verify.Proof(data, self.directory)
        path = self.world.path("forged.proof")
        with open(path, "wb") as file:
            file.write(data)
        self.world.poc("xa-reader", "--offline", "verify", path, expect=6)

    def test_7_persons_channel(self):
        """A person's channel is reported like an office's; those of two persons are counted apart, though their ids are the same."""
        world = self.world
        record = world.record("xb-coordinator", "XB")
        persons = next(section["content"]["persons"] for poc in record["pocs"] for section in poc["sections"]
                       if section["content"] and "persons" in section["content"])
        persons.append({"id": "deputy", "names": [{"lang": "en", "text": "Deputy"}],
                        "channels": [{"id": "mobile", "type": "phone", "value": "+999000032"}]})
        path = os.path.join(world.root, "persons.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        time.sleep(1.1)  # times are whole seconds
        world.poc("xb-coordinator", "-y", "publish", path)  # which clears what was said before
        for value in "+999000022", "+999000032", "+999000032":
            world.poc("xa-operator", "report", "XB", value, "--reason", "no-answer")
        told = world.poc("xb-coordinator", "-o", "json", "report").json["channels"]
        self.assertEqual([(each["poc"], each["channel"], each["value"], each["counts"]["no-answer"]) for each in told],
                         [("technical-1", "mobile", "+999000022", 1), ("technical-1", "mobile", "+999000032", 2)])

    def test_9_dry_run_sends_nothing(self):
        """A dry run leaves in the outbox what waits there, as every one does."""
        self.world.poc("pings", "-q", "sync")
        notice = self.world.poc("pings", "--offline", "-o", "json", "notice", "send", "--to", "XA", "--subject", "s", "--text", "t",
                                expect=8).json["id"]
        for words in ("start", "XA"), ("cancel", "2026-01-01T00:00:00Z"), ("report", "2026-01-01T00:00:00Z"):
            subprocess.run([POCADM, "-c", self.world.conf("pings"), "-n", "ping", *words], env=self.world.env, capture_output=True,
                           timeout=60 * SLOW, check=False)
            waits = self.world.poc("pings", "--offline", "-o", "json", "notice", "list").json["in_outbox"]
            self.assertEqual([each["id"] for each in waits], [notice], words)
        self.world.poc("pings", "notice", "flush")

    def test_3_cancelled(self):
        round_ = self.ping("start", "XB", "--deadline", "2s")["round"]
        asked = self.world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"][-1]
        self.assertEqual(asked["category"], "communications-check")
        self.assertEqual(self.ping("cancel", round_)["closed"], 2)
        self.assertEqual(self.ping("cancel", round_)["closed"], 0)
        # an answer that comes later is none, though it is proven like any
        self.world.poc("xb-operator", "notice", "ack", asked["id"])
        self.wait_proven("xb-operator", asked["id"])
        time.sleep(3)
        report = self.report(round_, {"cancelled": 2, "none": 0, "asked": 2}, "--publish")
        self.assertEqual((report["published"], report["told"], report["counts"]["person"]), (0, 0, 0))
        self.ping("start", "XB", "--round", round_, expect=1)
        self.ping("cancel", "2020-01-01T00:00:00Z", expect=5)
        self.ping("cancel", "yesterday", expect=2)

    def test_8_person_after_program(self):
        """A program's acknowledgement leaves a person's to be said, once; a person's leaves none."""
        self.join("xb-coordinator", "envoy", "--role", "operator", "--kind", "diplomatic")
        round_ = self.ping("start", "XB", "--deadline", "1h")["round"]
        self.ack("robot", "diplomatic")
        self.report(round_, {"person": 0, "automatic": 1})
        asked_of = [n for n in self.world.poc("envoy", "-o", "json", "notice", "list").json["notices"]
                    if n["category"] == "communications-check"][-1]
        self.assertTrue(asked_of["recipients"][0]["automatic"])
        self.assertRegex(self.world.poc("envoy", "notice", "show", asked_of["id"]).out, r"to +XB diplomatic: acknowledged \(a program\)")
        asked = asked_of["id"]

        def repeated(user):
            return self.world.poc(user, "-o", "json", "notice", "ack", asked).json["repeated"]

        self.assertTrue(repeated("robot"))
        self.assertFalse(repeated("envoy"))
        self.assertEqual((repeated("envoy"), repeated("robot")), (True, True))
        self.report(round_, {"person": 1, "automatic": 0})
        self.assertNotRegex(self.world.poc("envoy", "notice", "show", asked).out, r"to .*\(a program\)")
        said = [(step["handle"], step["automatic"]) for step in self.wait_proven("envoy", asked) if step["step"] == "acknowledged"]
        self.assertEqual(said, [("robot", True), ("envoy", False)])

    def test_4_killed(self):
        """A round that was killed goes on by its number, and asks nobody twice."""
        child = subprocess.Popen([POCADM, "-c", self.world.conf("pings"), "ping", "start", "--all", "--deadline", "1h"],
                                 env=self.world.env, stdout=subprocess.PIPE, text=True, bufsize=1)
        round_ = re.match(r"round (\S+),", child.stdout.readline()).group(1)
        self.assertIn("asked", child.stdout.readline())
        time.sleep(0.02)  # between two notices, or in the middle of one
        child.send_signal(signal.SIGKILL)
        child.communicate()
        self.assertNotEqual(child.returncode, 0)
        self.ping("start", "XB", "--round", round_)
        results = self.ping("start", "--all", "--round", round_)["results"]
        self.assertLessEqual({("XA", "technical"), ("XB", "diplomatic")}, {(r["place"], r.get("kind")) for r in results})
        asked = [(p["place"], p["kind"]) for p in self.ping("report", round_)["pocs"]]
        self.assertEqual(len(asked), len(set(asked)))
        self.assertEqual(set(asked), {(r["place"], r.get("kind")) for r in results if r["result"] != "cannot be asked"})
        checks = [n["id"] for n in self.world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"]
                  if n["subject"] == f"Communications check of {round_}"]
        self.assertEqual(len(checks), 2)

    def test_5_refused(self):
        time.sleep(1.1)  # one round begins in a second
        self.ping("start", "XB", "--deadline", "1h")
        # what is wrong with the words is said before that a round has just begun
        for words, status in ((["start"], 2), (["start", "--all", "XA"], 2), (["start", "XB/unit"], 2),
                              (["start", "XA", "--deadline", "soon"], 2), (["start", "XA", "--deadline", "2020-01-01T00:00:00Z"], 2),
                              (["report", "soon"], 2), (["report", "2020-01-01T00:00:00Z"], 5)):
            with self.subTest(words):
                self.ping(*words, expect=status)
        self.ping("cancel", "2020-01-01T00:00:00Z", user="xb-operator", expect=4)
        self.ping("report", "--publish", user="xb-operator", expect=4)


if __name__ == "__main__":
    main()
