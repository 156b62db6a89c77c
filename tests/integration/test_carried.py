"""What a notice carries: attachments and notices that it forwards, however deep; how large, how far, and to whom."""
import json
import os
import unittest

from harness import World, main


class Carried(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def poc(self, user, *words, **more):
        return self.world.poc(user, "notice", *words, **more)

    def json(self, user, *words, **more):
        return self.world.poc(user, "-o", "json", "notice", *words, **more).json

    def send(self, *words, user="xa-operator", to="XB", subject="Scans", text="We see scans."):
        return self.json(user, "send", "--to", to, "--subject", subject, "--text", text, *words)["id"]

    def file(self, name, data=b"abc"):
        path = os.path.join(self.world.root, name)
        with open(path, "wb") as out:
            out.write(data)
        return path

    def folder(self, name):
        path = os.path.join(self.world.root, name)
        os.makedirs(path)
        return path

    def passed_twice(self, *words):
        """(what XA sent, what XB forwarded to AE, what AE forwarded to AD).  XB has read it, and that is stored too."""
        first = self.send(*words)
        self.poc("xb-operator", "show", first)
        self.poc("xa-operator", "status", first, "--wait", "delivered")
        second = self.json("xb-operator", "forward", first, "--to", "AE", "--text", "For you.")["id"]
        return first, second, self.json("ae-operator", "forward", second, "--to", "AD", "--text", "And you.")["id"]

    # --- Attachments

    def test_save_what_is_carried(self):
        """The attachments of what a notice forwards are saved as its own are, under names that are free."""
        first, second, third = self.passed_twice("--attach", self.file("f.txt"), "--attach", self.file("-g.txt", b"defg"))
        folder = self.folder("twice")
        with open(os.path.join(folder, "f.txt"), "wb") as out:
            out.write(b"mine")
        shown = self.poc("ad-operator", "show", third).out
        self.assertIn("attachment 1   f.txt (3 bytes)", shown)
        self.assertIn("attachment 2   -g.txt (4 bytes)", shown)
        would = self.poc("ad-operator", "save", third, folder, "-n")
        self.assertEqual(would.out.count("would be written"), 2)
        saved = self.json("ad-operator", "save", third, folder)
        self.assertEqual([(each["number"], each["name"], each["file"], each["size"], each["notice"]) for each in saved["files"]],
                         [(1, "f.txt", "f-2.txt", 3, first), (2, "-g.txt", "_g.txt", 4, first)])
        for name, data in ("f.txt", b"mine"), ("f-2.txt", b"abc"), ("_g.txt", b"defg"):
            with open(os.path.join(folder, name), "rb") as file:
                self.assertEqual(file.read(), data)
        text = self.poc("ae-operator", "save", second, folder)
        self.assertEqual(text.out.splitlines(), [f"{folder}/f-3.txt  3, of notice {first}", f"{folder}/_g-2.txt  4, of notice {first}"])
        self.assertEqual(text.err, "")
        self.assertNotIn("error", saved)
        # by the sender, and what is escalated
        escalated = self.json("xa-operator", "escalate", first, "--to", "AD")["id"]
        self.assertEqual([each["notice"] for each in self.json("ad-operator", "save", escalated, folder)["files"]], [first, first])
        own = self.poc("xb-operator", "save", first, folder).out.splitlines()
        self.assertEqual(own[0], f"{folder}/f-5.txt  3")
        bare = self.send()
        self.assertIn("it has no attachments", self.poc("xb-operator", "save", bare, folder).err)

    def test_names(self):
        """A long name keeps its ending where it is cut; one that cannot be sent is named."""
        long = "\u00e9" * 116 + ".txt"
        notice = self.send("--attach", self.file(long), "--attach", self.file("n" * 115 + ".html"), "--attach",
                           self.file("\u20ac" * 74 + "." + "e" * 25))
        saved = [each["file"] for each in self.json("xb-operator", "save", notice, self.folder("names"))["files"]]
        self.assertEqual(saved, ["\u00e9" * 98 + ".txt", "n" * 115 + ".html", "\u20ac" * 66])
        send = "send", "--to", "XB", "--subject", "s", "--attach", self.file("good.txt"), "--attach"
        for name, shown, why in ((b"a\nb", r"a\u000ab", "U+000A is not allowed"), (b"a\xff", r"a\xff", "not valid UTF-8")):
            path = self.file(os.fsdecode(name))
            said = self.poc("xa-operator", *send, path, expect=1).err
            self.assertTrue(said.startswith(f"poc: --attach {self.world.root}/{shown}: its name: {why}"), said)

    def test_shown_whole(self):
        first, second, third = self.passed_twice()
        shown = self.poc("ad-operator", "show", third).out
        for words in "And you.", "For you.", "We see scans.":
            self.assertEqual(shown.count(words), 1, shown)
        one = self.json("ad-operator", "show", third)["forwarded"]
        two = one["forwarded"]
        self.assertEqual([(each["id"], each["from"], each["verified"], each["content"]["text"]) for each in (one, two)],
                         [(second, "XB", True, "For you."), (first, "XA", True, "We see scans.")])

    def test_long_subject(self):
        """A subject that has no room for what stands before it is cut, not lost."""
        subject = "\u20ac" * 199 + "x"
        notice = self.send(subject=subject)
        reply = self.json("xb-operator", "reply", notice, "--text", "t")["id"]
        self.assertEqual(self.json("xa-operator", "show", reply)["subject"], "Re: " + "\u20ac" * 195 + "\u2026")
        again = self.json("xa-operator", "reply", reply, "--text", "t")["id"]
        self.assertEqual(self.json("xb-operator", "show", again)["subject"], "Re: " + "\u20ac" * 195 + "\u2026")
        fits = self.send(subject="s" * 196)
        reply = self.json("xb-operator", "reply", fits, "--text", "t")["id"]
        self.assertEqual(self.json("xa-operator", "show", reply)["subject"], "Re: " + "s" * 196)

    # --- Size

    def test_whatever_is_sent_can_be_passed_on(self):
        """The largest that can be sent goes on twice, and comes out as it went in; larger ones are refused at once."""
        for size in 800_000, 920_000:
            large = self.file("large.bin", os.urandom(size))
            first, _, third = self.passed_twice("--attach", large)
            escalated = self.json("xa-operator", "escalate", first, "--to", "AD")["id"]
            for notice in third, escalated:
                folder = self.folder(notice)
                self.assertEqual([each["notice"] for each in self.json("ad-operator", "save", notice, folder)["files"]], [first])
                with open(os.path.join(folder, "large.bin"), "rb") as saved, open(large, "rb") as sent:
                    self.assertEqual(saved.read(), sent.read())
            shown = self.json("ad-operator", "show", third)["forwarded"]["forwarded"]
            self.assertIn("delivered", [each["step"] for each in shown["steps"]])
            self.assertEqual(self.poc("ad-operator", "show", third).err, "")
        # a long word before it takes the room of other steps' proofs, and at last its own
        words = "forward", first, "--to", "AE", "--text"
        told = self.poc("xb-operator", "-o", "json", *words, "w" * 66_000)
        self.assertRegex(told.err, r"for want of room it goes with its own proof, without those of \d+ steps after it")
        got = self.json("ae-operator", "show", told.json["id"])["forwarded"]
        self.assertEqual((got["verified"], got["steps"], got["content"]["attachments"][0]["size"]), (True, [], 920_000))
        self.assertIn("bytes with attachments, at most", self.poc("xb-operator", *words, "w" * 99_000, expect=1).err)
        large = "--attach", self.file("larger.bin", bytes(461_000))
        refused = self.poc("xa-operator", "send", "--to", "XB", "--subject", "s", "--text", "t", *large, *large, expect=1).err
        self.assertRegex(refused, r"^poc: the notice has 922\d\d\d bytes with attachments: at most 921600, so that it can be forwarded\n$")

    # --- Events

    def events(self, user, *words):
        out = self.poc(user, "watch", "--once", *words)
        return {each["id"]: each for each in map(json.loads, out.out.splitlines()) if each["event"] == "notice"}, out.err

    def test_events_say_what_show_does(self):
        """An event has what the notice says and carries, for whatever makes a ticket of it."""
        first, _, third = self.passed_twice("--attach", self.file("f.txt"), "--set", "stage=early-warning", "--set",
                                            "indicators=ip 192.0.2.7", "--set", "cross_border=yes", "--set", "rsit_class=malicious-code")
        for user, notice in ("xb-operator", first), ("ad-operator", third):
            events, told = self.events(user, "--cursor", "events")
            event, shown = events[notice], self.json(user, "show", notice)
            self.assertEqual(event["content"], shown["content"])
            self.assertEqual(event["text"], shown["content"]["text"])
            self.assertNotIn("error", event)
            self.assertEqual(told, "")
        first_in = event["forwarded"]["forwarded"]
        self.assertEqual((first_in["id"], first_in["from"], first_in["handle"], first_in["verified"]), (first, "XA", "operator", True))
        content = first_in["content"]
        self.assertEqual((content["subject"], content["text"], content["stage"], content["cross_border"], content["rsit_class"]),
                         ("Scans", "We see scans.", "early-warning", True, "malicious-code"))
        self.assertEqual(content["attachments"], [{"name": "f.txt", "size": 3, "number": 1}])
        self.assertEqual(content["indicators"], [{"type": "ip", "value": "192.0.2.7"}])
        event = self.events("ad-operator", "--headers", "--cursor", "headers")[0][third]
        self.assertFalse({"content", "text", "forwarded", "error"} & set(event))

    def test_events_that_cannot_be_opened(self):
        """Which notice it is, and why, in words and in the event."""
        notice = self.send()
        blind = self.world.variant("xb-operator", "blind", {("notices", "reading_key"): None})
        events, told = self.events(blind, "--cursor", "blind")
        self.assertIn(f"poc: notice {notice}: no reading key of ours opens it: it was not encrypted to any of them\n", told)
        self.assertEqual(events[notice]["error"], {"code": "denied", "exit_status": 4, "message":
                                                   "no reading key of ours opens it: it was not encrypted to any of them"})

    # --- The label

    def test_further_than_its_label(self):
        """What would travel further than the sender's label says is asked first: without a terminal -y answers."""
        red = self.send("--tlp", "RED", to="XB,AE")
        passing = "TLP:RED: AD technical was not among its recipients. Pass it on?"
        for user, words in (("xb-operator", ["forward", red, "--to", "AD"]), ("xa-operator", ["escalate", red, "--to", "AD"]),
                            ("xb-operator", ["forward", red, "--to", "AD", "--thread"]),
                            ("xb-operator", ["forward", red, "--to", "AE,AD"])):
            before = len(self.json(user, "list", "--sent", "--all")["notices"])
            self.assertEqual(self.poc(user, *words, expect=2).err, f"poc: not a terminal, so --yes is needed: {passing}\n")
            self.assertIn(f"poc: {passing}\n", self.poc(user, "-n", *words).err)
            self.assertEqual(len(self.json(user, "list", "--sent", "--all")["notices"]), before)
        for words in (["--to", "XB"], ["--to", "AE"], ["--to", "XB", "--thread"]):
            self.poc("xb-operator", "forward", red, *words)
        third = self.json("xb-operator", "-y", "forward", red, "--to", "AD")["id"]
        # it keeps its label
        self.assertIn("TLP:RED: XA technical was not", self.poc("ad-operator", "forward", third, "--to", "XA", expect=2).err)
        self.assertIn("XB diplomatic", self.poc("xb-operator", "forward", red, "--to", "XB", "-k", "diplomatic", expect=2).err)
        strict = self.send("--tlp", "AMBER+STRICT")
        self.poc("xb-operator", "forward", strict, "--to", "XB", "-k", "diplomatic")
        self.assertIn("TLP:AMBER+STRICT: AE technical, AD technical were not among its recipients. Pass it on?",
                      self.poc("xb-operator", "forward", strict, "--to", "AE,AD", expect=2).err)
        self.poc("xb-operator", "forward", self.send("--tlp", "AMBER"), "--to", "AE")

    def test_wider_label_of_an_answer(self):
        strict = self.send("--tlp", "AMBER+STRICT")
        reply = "reply", strict, "--text", "t", "--tlp"
        self.assertEqual(self.poc("xb-operator", *reply, "CLEAR", expect=2).err, "poc: not a terminal, so --yes is needed: "
                         "TLP:CLEAR lets the answer travel further than the notice's TLP:AMBER+STRICT. Send it so?\n")
        self.poc("xb-operator", *reply, "RED")
        self.poc("xb-operator", *reply, "AMBER+STRICT")
        answer = self.json("xb-operator", "-y", *reply, "CLEAR")["id"]
        self.poc("xb-operator", "reply", answer, "--text", "Our own word.", "--tlp", "CLEAR")
        self.poc("xa-operator", "reply", strict, "--text", "And ours.", "--tlp", "GREEN")


if __name__ == "__main__":
    main()
