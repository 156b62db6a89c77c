"""The example gateways of `poc notice watch --exec`, against a mail program and a ticket system of the test's own; the unit."""
import email
import email.policy
import json
import os
import re
import stat
import subprocess
import unittest

from harness import BUILD, POC, ROOT, World, main, run
from mail_server import MailServer
from tracker import Tracker
from unit_file import UnitFile

GATEWAY = os.path.join(ROOT, "clients/gateway")
SECRET = "the-words-of-the-notice"


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def send(self, *words, to="XB"):
        answer = self.world.poc("xa-operator", "-o", "json", "notice", "send", "--to", to, "--subject", SECRET, "--text", SECRET, *words)
        return answer.json["id"]

    def watch(self, user, gateway, expect=0, **env):
        return run(POC, "-c", self.world.conf(user), "notice", "watch", "--once", "--cursor", gateway, "--exec",
                   os.path.join(GATEWAY, gateway), env={**self.world.env, **env}, expect=expect)

    def test_mail(self):
        out = os.path.join(self.world.root, "mail")
        program = os.path.join(self.world.root, "sendmail")
        with open(program, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\ntest -e {out}.ready || exit 75\ncat > {out}.$$\n")
        os.chmod(program, stat.S_IRWXU)
        settings = {"POC_MAIL_TO": "duty@xb.example", "POC_SENDMAIL": program}
        notice = self.send("--exercise", "night-owl")
        answer = self.watch("xb-operator", "mail", expect=1, **settings)
        self.assertIn("did not take", answer.err)
        open(out + ".ready", "w", encoding="ascii").close()
        self.watch("xb-operator", "mail", **settings)
        mails = []
        for name in os.listdir(self.world.root):
            if re.fullmatch(r"mail\.\d+", name):
                with open(os.path.join(self.world.root, name), "rb") as file:
                    mails.append(email.message_from_binary_file(file, policy=email.policy.default))
        ours = [mail for mail in mails if notice in mail["Subject"] and "notice" in mail["Subject"]]
        self.assertTrue(ours, [mail["Subject"] for mail in mails])
        self.assertEqual(ours[0]["To"], "duty@xb.example")
        self.assertTrue(ours[0]["Subject"].startswith("EXERCISE "))
        self.assertIn("EXERCISE night-owl", ours[0].get_content())
        self.assertIn(f"poc notice show {notice}", ours[0].get_content())
        for mail in mails:
            self.assertNotIn(SECRET, mail.as_string())
        self.assertRegex(ours[0]["Message-ID"], rf"^<poc\.{notice}\.\d+\.XB\.technical@xb\.example>$")
        self.assertEqual(ours[0]["References"], f"<poc.{notice}.XB.technical@xb.example>")
        self.assertIn(f"\nMessage-ID: {ours[0]['Message-ID']}\n", ours[0].as_string(policy=email.policy.compat32))  # as it was sent
        self.assertEqual(len({mail["Message-ID"] for mail in mails}), len(mails))

    def mails(self, user):
        """Subjects of the mails that a fresh gateway of a user sends."""
        server = MailServer()
        self.addCleanup(server.stop)
        self.watch(user, "mail", POC_MAIL_TO="duty@cert.example", POC_SMTP=server.address)
        return [mail["Subject"].strip() for mail in server.mails]

    def test_mail_of_others_alone(self):
        """What the own desk did, and the directory for it, is no news to it; what the other side did is."""
        notice = self.send(to="AD")
        for step in "take", "ack", "release":
            self.world.poc("ad-operator", "notice", step, notice)
        self.world.poc("ad-operator", "notice", "show", notice)
        of_recipient = [subject for subject in self.mails("ad-operator") if notice in subject]
        self.assertEqual(of_recipient, [f"[POC] routine notification notice {notice} from XA technical"])
        of_sender = [subject for subject in self.mails("xa-operator") if notice in subject]
        self.assertEqual(sorted(of_sender), [f"[POC] acknowledged: notice {notice}, AD technical",
                                             f"[POC] delivered: notice {notice}, AD technical"])

    def test_not_verified(self):
        """What does not verify is said to, where it is seen first: nobody may have signed it."""
        receipt = {"event": "accepted", "id": "AAAA-BBBB", "thread": "AAAA-BBBB", "place": "XB", "kind": "technical", "cursor": 7,
                   "desk": {"place": "XA", "kind": "technical"}, "exercise": "ex-1"}
        notice = {"event": "notice", "id": "CCCC-DDDD", "thread": "CCCC-DDDD", "from": "XB", "from_kind": "technical", "urgency": "urgent",
                  "category": "notification", "cursor": 8, "desk": {"place": "XA", "kind": "technical"}, "subject": None}
        tracker, settings = self.tracker()
        server = MailServer()
        self.addCleanup(server.stop)
        for event in receipt, notice:
            for verified in False, True:
                shown = json.dumps({**event, "verified": verified, "thread": event["thread"] + str(verified)})
                for gateway in "mail", "request-tracker":
                    subprocess.run([os.path.join(GATEWAY, gateway)], input=shown, text=True, check=True,
                                   env={**self.world.env, **settings, "POC_MAIL_TO": "duty@cert.example", "POC_SMTP": server.address})
        self.assertEqual([mail["Subject"].strip() for mail in server.mails],
                         ["EXERCISE [POC] NOT VERIFIED: accepted: notice AAAA-BBBB, XB technical",
                          "EXERCISE [POC] accepted: notice AAAA-BBBB, XB technical",
                          "[POC] NOT VERIFIED: urgent notification notice CCCC-DDDD from XB technical",
                          "[POC] urgent notification notice CCCC-DDDD from XB technical"])
        self.assertEqual([ticket["Subject"] for ticket in tracker.tickets.values()],
                         ["[AAAA-BBBBFalse] EXERCISE ex-1: NOT VERIFIED accepted XB", "[AAAA-BBBBTrue] EXERCISE ex-1: accepted XB",
                          "[CCCC-DDDDFalse] NOT VERIFIED urgent XB: notice", "[CCCC-DDDDTrue] urgent XB: notice"])

    def test_mail_that_nothing_takes(self):
        self.send(to="AE")
        for settings in {"POC_SENDMAIL": "/nonexistent/sendmail"}, {"POC_SMTP": "127.0.0.1:1"}:
            answer = self.watch("ae-operator", "mail", expect=1, POC_MAIL_TO="duty@ae.example", **settings)
            said = [line for line in answer.err.splitlines() if not line.startswith("poc:")]
            self.assertEqual(len(said), 1, answer)
            self.assertTrue(said[0].startswith(f"mail: {list(settings.values())[0]}: "), answer)

    def test_mail_without_settings(self):
        self.send(to="AE")
        answer = self.watch("ae-operator", "mail", expect=1)
        self.assertIn("POC_MAIL_TO is not set", answer.err)
        # a line without a value in the unit's EnvironmentFile
        self.assertIn("POC_MAIL_TO is not set", self.watch("ae-operator", "mail", expect=1, POC_MAIL_TO="").err)

    def tracker(self):
        """A ticket system, and the settings of a gateway to it."""
        tracker = Tracker()
        self.addCleanup(tracker.stop)
        token = os.path.join(self.world.root, "token")
        with open(token, "w", encoding="ascii") as file:
            file.write("of-the-test\n")
        return tracker, {"RT_URL": f"http://127.0.0.1:{tracker.server_port}", "RT_TOKEN_FILE": token}

    def test_request_tracker(self):
        tracker, settings = self.tracker()
        notice = self.send(to="AD")
        tracker.down = True
        answer = self.watch("ad-operator", "request-tracker", expect=1, **settings)
        self.assertIn("503", answer.err)
        self.assertIn(": 'no'", answer.err)  # RT's own words
        self.assertEqual(tracker.tickets, {})
        tracker.down = False
        self.assertEqual(self.watch("ad-operator", "request-tracker", **settings).err, "")
        ours = [n for n, ticket in tracker.tickets.items() if notice in ticket["Subject"]]
        self.assertEqual(len(ours), 1, tracker.tickets)
        self.assertIn(SECRET, tracker.tickets[ours[0]]["Content"])
        # people move tickets, and merge them into others
        tracker.tickets[ours[0]].update(Queue="Investigations", merged=True)
        self.world.poc("ad-operator", "notice", "ack", notice)
        self.watch("ad-operator", "request-tracker", **settings)
        comments = [text for ticket, text in tracker.comments if ticket == ours[0]]
        self.assertTrue([text for text in comments if text.startswith("event: acknowledged") and "neither agreement" in text], comments)
        self.assertEqual(len([ticket for ticket in tracker.tickets.values() if notice in ticket["Subject"]]), 1)
        # nothing twice
        before = (len(tracker.tickets), len(tracker.comments))
        self.watch("ad-operator", "request-tracker", **settings)
        self.assertEqual((len(tracker.tickets), len(tracker.comments)), before)

    def test_request_tracker_of_what_is_carried(self):
        """A ticket has what the notice says beside its text, and what it passes on, with whose it is."""
        tracker, settings = self.tracker()
        path = os.path.join(self.world.root, "scans.csv")
        with open(path, "wb") as out:
            out.write(b"abc")
        notice = self.send("--attach", path, "--set", "indicators=ip 192.0.2.7", "--set", "stage=early-warning", "--set",
                           "cross_border=yes", "--set", "states=FR,XB", "--set", "fields.shift=late")
        self.world.poc("xb-operator", "notice", "forward", notice, "--to", "AD", "--text",
                       "For you.\n---- forwarded: mine")
        for user in "xb-operator", "ad-operator":
            self.watch(user, "request-tracker", **settings)
            ticket = [ticket for ticket in tracker.tickets.values() if notice in ticket["Subject"]][-1]["Content"]
            said = ticket[ticket.index("subject: " + SECRET):].splitlines()
            for line in ("states: FR, XB", "stage: early-warning", "cross_border: yes", "shift: late", "attachment: scans.csv (3 bytes)",
                         "indicator: ip 192.0.2.7", "  " + SECRET):
                self.assertIn(line, said)
            if user == "ad-operator":
                self.assertRegex(ticket, rf"(?s)\n\n  For you\.\n  ---- forwarded: mine\n\n---- forwarded: notice {notice} from XA technical, signed by operator\n")
            tracker.tickets.clear()

    def test_that_cannot_be_opened(self):
        tracker, settings = self.tracker()
        notice = self.send()
        blind = self.world.variant("xb-operator", "blind", {("notices", "reading_key"): None})
        self.watch(blind, "request-tracker", **settings)
        ticket = next(ticket["Content"] for ticket in tracker.tickets.values() if notice in ticket["Subject"])
        self.assertIn("\nnot opened: no reading key of ours opens it", ticket)

    def test_request_tracker_that_shows_nothing(self):
        """Without the right to see tickets each event would open one, unnoticed."""
        tracker, settings = self.tracker()
        self.send()
        tracker.blind = True
        answer = self.watch("xb-operator", "request-tracker", **settings)
        self.assertIn("request-tracker: ticket 1 cannot be found, so the next event will open another one: ", answer.err)

    def test_request_tracker_that_moved(self):
        """A redirection is no answer, and whoever is behind it does not get the token."""
        tracker, settings = self.tracker()
        other, _ = self.tracker()
        tracker.elsewhere = f"http://127.0.0.1:{other.server_port}"
        self.send(to="AE")
        answer = self.watch("ae-operator", "request-tracker", expect=1, **settings)
        self.assertIn(f"301: Moved Permanently: '{tracker.elsewhere}/REST/2.0/", answer.err)
        self.assertEqual(other.tickets, {})


class Unit(UnitFile, unittest.TestCase):
    SOURCE, NAME, PROGRAM = os.path.join(BUILD, "clients/gateway/poc-watch@.service"), "poc-watch@mail.service", POC
    EXPOSURE_MAX = 2.0  # it needs the network


if __name__ == "__main__":
    main()
