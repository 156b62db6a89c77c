"""Desks: who was brought into a thread later, one person at several desks, minds that change, programs."""
import calendar
import subprocess
import time
import unittest

from harness import POC, SLOW, World, main


class Desks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def send(self, *words, user="xa-operator", to="XB"):
        return self.world.poc(user, "-o", "json", "notice", "send", "--to", to, "--subject", "Scans", "--text", "We see scans.",
                              *words).json["id"]

    def pass_on(self, how, user, notice, *words):
        return self.world.poc(user, "-o", "json", "notice", how, notice, *words).json["id"]

    def listed(self, user, *words):
        return self.world.poc(user, "-o", "json", "notice", "list", *words).json["notices"]

    def invite(self, state, handle, *words):
        """A further user of a state, on a machine of its own."""
        world, user = self.world, f"{state}-{handle}"
        invite, request = world.path("states", f"{user}.invite"), world.path("users", f"{user}.request")
        world.poc(f"{state}-coordinator", "user", "invite", handle, *words, "--out", invite)
        world.poc(user, "setup", invite, "--request", request)
        world.poc(f"{state}-coordinator", "-y", "user", "add", request)
        return user

    def works_on(self, user, notice, back_to):
        """Reply, note and forward of what a desk was brought into; the reply comes back in the same thread."""
        thread = next(each["thread"] for each in self.listed(user) if each["id"] == notice)
        self.assertNotEqual(thread, notice)
        reply = self.pass_on("reply", user, notice, "--text", "We look.")
        self.world.poc(user, "notice", "note", notice, "--text", "for the night shift")
        self.pass_on("forward", user, notice, "--to", "AD")
        got = next(each for each in self.listed(back_to) if each["id"] == reply)
        self.assertEqual((got["thread"], got["answers"]), (thread, notice))
        self.assertIn("We look.", self.world.poc(back_to, "notice", "show", reply).out)
        self.assertIn("for the night shift", self.world.poc(user, "handover").out)

    def test_brought_in(self):
        notice = self.send()
        self.works_on("ae-operator", self.pass_on("escalate", "xa-operator", notice, "--to", "AE"), "xa-operator")
        self.works_on("ae-operator", self.pass_on("forward", "xb-operator", notice, "--to", "AE"), "xb-operator")
        # and further on: who received it from one that was brought in
        again = self.listed("ad-operator")[-1]["id"]
        self.pass_on("reply", "ad-operator", again, "--text", "So do we.")

    def forward_thread(self, user, notice, *words, expect=0):
        return self.world.poc(user, "-o", "json", "notice", "forward", notice, "--thread", *words, expect=expect).json

    def in_thread(self, user, notice):
        """Subjects of a thread as a user has them, in order, but for those that cannot be read."""
        return [each["subject"] for each in self.listed(user, "--thread", notice) if each["subject"]]

    def test_forward_a_thread(self):
        """All of a thread goes, oldest first, once: to a place that was no part of it, and to colleagues who came later."""
        world = self.world
        first = self.send()
        second = self.pass_on("reply", "xb-operator", first, "--text", "Which ports?", "--subject", "Ports")
        third = self.pass_on("reply", "xa-operator", second, "--text", "All of them.", "--subject", "All")
        world.poc("xb-operator", "notice", "note", first, "--text", "for us only")
        say = world.poc("xb-operator", "-n", "notice", "forward", third, "--thread", "--to", "AE")
        self.assertEqual([say.out.count(f'would be sent: "Fwd: {each}", from XB technical') for each in ("Scans", "Ports", "All")],
                         [1, 1, 1])
        self.assertEqual(say.err.count("dry run: nothing was sent"), 1)
        self.assertEqual(self.forward_thread("xb-operator", third, "--to", "AE")["left_out"], [])
        fourth = self.pass_on("reply", "xa-operator", second, "--text", "And more.", "--subject", "More")
        # said again: what came meanwhile
        text = world.poc("xb-operator", "notice", "forward", first, "--thread", "--to", "AE")
        self.assertRegex(text.out, f"^[0-9A-Z-]+  stored .*Z, holds {fourth}\\n")
        self.assertIn("1 private note of the thread stays with its desk", text.err)
        again = self.forward_thread("xb-operator", fourth, "--to", "AE")
        self.assertEqual((again["notices"], again["had"], again["private"]), ([], 4, 1))
        got = self.listed("ae-operator", "--thread", next(each["id"] for each in self.listed("ae-operator")
                                                          if each["thread"] == first))
        self.assertEqual([each["subject"] for each in got], ["Fwd: Scans", "Fwd: Ports", "Fwd: All", "Fwd: More"])
        shown = world.poc("ae-operator", "notice", "show", got[2]["id"]).out
        self.assertIn("All of them.", shown)
        self.assertIn("signed by operator of XA", shown)
        # XA was a part of it from the beginning
        self.assertIn("nothing to pass on", world.poc("xb-operator", "notice", "forward", first, "--thread", "--to", "XA").out)

        # a colleague cannot pass on what is not readable, and is told so; then gets it, the notes too, and can
        late = self.invite("xb", "late", "--role", "operator", "--kind", "technical")
        refused = world.poc(late, "notice", "forward", first, "--thread", "--to", "AD", expect=4)
        self.assertEqual(refused.err.count("is not passed on: no reading key of ours opens it"), 4)
        for notice in first, second, third, fourth:
            self.assertIn(f"{notice}, of 2", refused.err)
        self.assertEqual(refused.out, "")
        passed = self.forward_thread("xb-operator", second, "--to", "XB", "--text", "Welcome.")
        self.assertEqual([each["forwards"] for each in passed["notices"]][:3], [first, second, third])
        self.assertEqual(len(passed["notices"]), 5)
        self.assertEqual(sorted(self.in_thread(late, first)),
                         ["Fwd: All", "Fwd: More", "Fwd: Ports", "Fwd: Scans", "Fwd: note"])
        self.assertEqual(sum("Welcome." in world.poc(late, "notice", "show", each["id"]).out for each in passed["notices"]), 1)
        note = passed["notices"][3]
        self.assertIn("for us only", world.poc(late, "notice", "show", note["id"]).out)
        self.assertNotIn(note["id"], [each["id"] for each in self.listed(late)])
        self.assertRegex(world.poc(late, "handover").out, f"note, passed on by operator, 2.*: poc notice show {note['id'][:9]}")
        for user in "xb-operator", late:
            self.assertEqual(self.forward_thread(user, second, "--to", "XB")["notices"], [])
        # what was itself passed on is shown whole
        onwards = self.forward_thread(late, first, "--to", "AD")
        self.assertEqual((len(onwards["notices"]), onwards["left_out"]), (4, []))
        shown = world.poc("ad-operator", "notice", "show", onwards["notices"][2]["id"]).out
        self.assertEqual((shown.count("\n\n---- forwarded, with its proofs:"), shown.count("All of them.")), (2, 1))
        shown = world.poc("ad-operator", "-o", "json", "notice", "show", onwards["notices"][2]["id"]).json
        self.assertEqual(shown["forwarded"]["forwarded"]["content"]["text"], "All of them.")
        self.assertEqual(self.forward_thread(late, first, "--to", "AD")["notices"], [])
        # what grows too large with its proofs and the word before them is named, and the others go
        large = world.path("users", "large.bin")
        with open(large, "wb") as out:
            out.write(bytes(920000))
        fifth = self.pass_on("reply", "xa-operator", first, "--text", "The file.", "--attach", large)
        sixth = self.pass_on("reply", "xa-operator", first, "--text", "Did you get it?")
        part = self.forward_thread("xb-operator", first, "--to", "AE", "--text", "w" * 99000, expect=1)
        self.assertEqual([[each["forwards"] for each in part["notices"]], [each["id"] for each in part["left_out"]]],
                         [[sixth], [fifth]])
        self.assertEqual((part["left_out"][0]["code"], part["not_tried"]), ("too-large", 0))

    def test_forward_that_is_cut_short(self):
        """What hinders all of them ends it, and that is said; the same command goes on where it ended."""
        world = self.world
        first = self.send()
        large = world.path("users", "36k.bin")
        with open(large, "wb") as out:
            out.write(bytes(36000))
        second = self.pass_on("reply", "xb-operator", first, "--text", "Which ports?", "--attach", large)
        third = self.pass_on("reply", "xa-operator", second, "--text", "All of them.")
        self.listed("ad-operator")  # has fetched what it was sent before
        world.stop()
        with world.settings(reload=False, notices__backlog="72K"):
            world.start()
            told = world.poc("xb-operator", "-o", "json", "notice", "forward", first, "--thread", "--to", "AD", expect=8)
            self.assertRegex(told.err, r"(?m)^poc: .* has not fetched ")
            self.assertIn("poc: 1 more of the thread was not tried: the same command goes on with it\n", told.err)
            part = told.json
            self.assertEqual([each["forwards"] for each in part["notices"]], [first, second])
            self.assertEqual((part["left_out"], part["not_tried"]), ([], 1))
            world.stop()
        world.start()
        rest = self.forward_thread("xb-operator", first, "--to", "AD")
        self.assertEqual([each["forwards"] for each in rest["notices"]], [third])

    def test_colleague_of_another_kind(self):
        colleague = self.invite("xb", "night", "--role", "operator", "--kind", "technical")
        notice = self.send("--kind", "diplomatic")
        self.works_on(colleague, self.pass_on("forward", "xb-operator", notice, "--to", "XB"), "xb-operator")

    def test_changed_mind(self):
        """What counts is what the desk said last; what it said before stays in the story."""
        world, notice = self.world, self.send()

        def says(*words, repeated=False):
            said = world.poc("xb-operator", "-o", "json", "notice", words[0], notice, *words[1:]).json
            self.assertEqual((said["step"], said["repeated"]), ({"accept": "accepted", "decline": "declined"}[words[0]], repeated))

        def stands(step, reason=None):
            for user in "xb-operator", "xa-operator":
                got = next(each for each in self.listed(user, "--all") if each["id"] == notice)
                self.assertEqual((got["step"], got["recipients"][0].get("reason")), (step, reason))
                self.assertIn(f"XB technical: {step}", world.poc(user, "notice", "show", notice).out)
                self.assertEqual(world.poc(user, "-o", "json", "notice", "status", notice).json["step"], step)

        says("decline", "--reason", "other")
        stands("declined", "other")
        says("decline", "--reason", "duplicate")
        stands("declined", "duplicate")
        says("accept")
        stands("accepted")
        says("accept", repeated=True)
        said = world.poc("xb-operator", "-n", "notice", "accept", notice).out
        self.assertIn(f'nothing would be said: XB technical has said "accepted" of {notice} before', said)
        self.assertIs(world.poc("xb-operator", "-n", "-o", "json", "notice", "accept", notice).json["repeated"], True)
        self.assertIs(world.poc("xb-operator", "-n", "-o", "json", "notice", "close", notice).json["repeated"], False)
        says("decline", "--reason", "other")
        says("accept")
        stands("accepted")
        story = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json
        steps = [each["step"] for each in story["steps"]]
        steps = [step for step in steps if step not in ("stored", "delivered")]
        self.assertEqual(steps, ["declined", "declined", "accepted", "declined", "accepted"])
        world.poc("xb-operator", "notice", "reply", notice, "--text", "Done.")
        stands("answered")
        world.poc("xb-operator", "notice", "close", notice)
        stands("closed")

    def test_a_program_is_nobody(self):
        """What a program acknowledged is reminded of, and escalated; a person's word ends both."""
        world = self.world
        robot = self.invite("xb", "robot", "--role", "operator", "--kind", "technical", "--service")
        words = "--reply-by", f"{6 * SLOW}s", "--escalate", "AE"
        unseen, seen = self.send(*words), self.send(*words)
        for notice in unseen, seen:
            world.poc(robot, "notice", "ack", notice)
        reminder = world.poc("xa-operator", "notice", "remind", unseen)
        self.assertIn("XB technical: acknowledged (a program), not answered", reminder.err)
        self.assertIn("Reminder: Scans", [each["subject"] for each in self.listed("xb-operator")])
        world.poc("xb-operator", "notice", "ack", seen)
        end = time.monotonic() + 20 * SLOW
        while unseen not in [each["id"] for each in self.listed("ae-operator")]:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)
        self.assertNotIn(seen, [each["id"] for each in self.listed("ae-operator")])

    def escalated(self, notice, user, kind, seconds=20):
        """Waits until a desk has a notice that is escalated to it, and gives it as the desk has it."""
        end = time.monotonic() + seconds * SLOW
        while True:
            for each in self.listed(user, "--headers"):
                if each["id"] == notice and each["desk"]["kind"] == kind:
                    return each
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)

    def steps(self, notice):
        """Steps of the story as its sender has it, by kind of desk in XB."""
        steps = self.world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]
        return {kind: [each["step"] for each in steps if each["place"] == "XB" and each["kind"] == kind]
                for kind in ("technical", "diplomatic")}

    def stepped(self, notice, kind, step, seconds=20):
        """Waits until a step of a desk in XB is stored: a delivery follows the answer that it is of."""
        end = time.monotonic() + seconds * SLOW
        while step not in self.steps(notice)[kind]:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)

    def test_escalation_to_come(self):
        """Before it is released an escalation is no step of its desk: when it comes, or why it was not needed, is said."""
        world = self.world

        def seen(notice, user="xa-operator"):
            """What show and status say of it: lines, and its JSON, the same in both."""
            shown, told = (world.poc(user, "-o", "json", "notice", verb, notice).json for verb in ("show", "status"))
            inside = next(each for each in shown["recipients"] if each.get("escalation"))
            self.assertEqual(told["escalations"], [inside])
            lines = [line for verb in ("show", "status") for line in world.poc(user, "notice", verb, notice).out.splitlines()
                     if "escalat" in line]
            return lines, inside

        late = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic")
        changed = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic", to="AE,XB")
        world.poc("xb-operator", "notice", "ack", changed)
        early, closed, answered, declined = (self.send("--reply-by", "1h", "--escalate", "diplomatic") for _ in range(4))
        for user in "xa-operator", "xb-operator":
            lines, inside = seen(early, user)
            self.assertEqual(len(lines), 2)
            for line in lines:
                self.assertRegex(line, "^[ a-z]*escalates to XB diplomatic at [-0-9T:]+Z "
                                 "unless a person acknowledges, declines or closes it before$")
            self.assertEqual((inside["step"], inside["state"]), (None, "waits"))
        self.assertIn(inside["at"], lines[0])
        world.poc("xa-operator", "notice", "close", closed)
        world.poc("xb-operator", "notice", "reply", answered, "--text", "Blocked.")
        world.poc("xb-operator", "notice", "decline", "--reason", "cannot-read", declined)
        for each, why in ((closed, "closed by its sender"), (answered, "answered in time by XB technical"),
                          (declined, "declined in time by XB technical, which cancels it too")):
            lines, inside = seen(each)
            for line in lines:
                self.assertRegex(line, f"^[ a-z]*escalation to XB diplomatic not needed: {why}$")
            self.assertEqual((len(lines), inside["step"], inside["state"]), (2, None, "not-needed"))
        self.escalated(late, "xb-operator", "diplomatic")
        lines, inside = seen(late)
        self.assertRegex(lines[0], "^escalation +XB diplomatic: stored, escalated [-0-9T:]+Z$")
        self.assertEqual((inside["step"], inside["state"], inside["escalated"] >= inside["at"]), ("stored", "escalated", True))
        # who was heard in time, whatever is said later
        time.sleep(max(0, calendar.timegm(time.strptime(seen(changed)[1]["at"], "%Y-%m-%dT%H:%M:%SZ")) + 1 - time.time()))
        world.poc("ae-operator", "notice", "decline", "--reason", "other", changed)
        world.poc("xb-operator", "notice", "decline", "--reason", "other", changed)
        self.assertRegex(seen(changed)[0][0], "not needed: acknowledged in time by XB technical$")

    def test_answered_by_who_was_brought_in(self):
        """Whoever a notice is escalated to stands in for recipients who are silent: the sender's list says how far they are."""
        world = self.world
        notice = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "AE")

        def stands():
            one = next(each for each in self.listed("xa-operator", "--sent") if each["id"] == notice)
            overdue = notice in [each["id"] for each in self.listed("xa-operator", "--overdue")]
            status = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json
            self.assertEqual((overdue, status["step"], status["overdue"]), (one["overdue"], one["step"], one["overdue"]))
            return one["step"], one["overdue"]

        self.escalated(notice, "ae-operator", "technical")
        time.sleep(1.1)  # in whole seconds: now it is past
        self.assertEqual(stands(), ("delivered" if "delivered" in self.steps(notice)["technical"] else "stored", True))
        world.poc("ae-operator", "notice", "decline", "--reason", "other", notice)
        self.assertEqual(stands()[1], True)  # nobody stands in
        world.poc("ae-operator", "notice", "accept", notice)
        self.assertEqual(stands(), ("accepted", True))
        world.poc("xb-operator", "notice", "decline", "--reason", "not-competent", notice)
        self.assertEqual(stands(), ("accepted", True))
        world.poc("ae-operator", "notice", "reply", notice, "--text", "We take it.")
        self.assertEqual(stands(), ("answered", False))

    def test_one_person_at_both_desks(self):
        """What is escalated to another desk of the same person is listed there too, and acknowledged by both."""
        world = self.world
        notice = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic")
        self.assertEqual(self.escalated(notice, "xb-operator", "diplomatic")["step"], "stored")
        both = [each["desk"]["kind"] for each in self.listed("xb-operator") if each["id"] == notice]
        self.assertEqual(both, ["technical", "diplomatic"])
        said = world.poc("xb-operator", "-o", "json", "notice", "ack", notice).json
        self.assertEqual((said["kind"], said["repeated"]), ("technical", False))
        self.assertEqual([(each["kind"], each["repeated"]) for each in said["also"]], [("diplomatic", False)])
        again = world.poc("xb-operator", "notice", "ack", notice).out
        self.assertEqual(again.count('has said "acknowledged" before'), 2)
        self.assertEqual({kind: sorted(steps) for kind, steps in self.steps(notice).items()},
                         {"technical": ["acknowledged", "delivered"], "diplomatic": ["acknowledged", "delivered", "escalated"]})

    def test_one_document_of_what_failed_in_part(self):
        """What one of two desks said, and the other was refused, is one document: what was said, with the error."""
        world, most, own = self.world, 200, 8
        notice = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic")
        self.escalated(notice, "xb-operator", "diplomatic")
        world.poc("xb-operator", "notice", "show", notice)
        # it was sent, stored, escalated and delivered twice: one more has room, and each desk has said its own eight
        for hours in range(1, most - 5):
            kind = "diplomatic" if hours <= own else "technical"
            world.poc("xb-operator", "notice", "ack", "-k", kind, "--answer-by", f"{hours}h", notice)
        said = world.poc("xb-operator", "-o", "json", "notice", "accept", notice, expect=1)
        self.assertEqual((said.json["kind"], said.json["error"]["code"]), ("technical", "too-large"))
        self.assertIn("the notice has 200 steps already", said.err)
        said = world.poc("xb-operator", "-o", "json", "notice", "reply", notice, "--text", "t", expect=1)
        self.assertEqual((said.json["schema"], said.json["error"]["code"]), ("poc.notice-send/1", "too-large"))
        self.assertIsNotNone(said.json["stored"])

    def test_silence_of_the_escalated(self):
        """What an escalated desk has not done is named, and how it is called, once it is escalated to."""
        world, story = self.world, self.world.path("silence.story")
        notice = self.send("--reply-by", f"{6 * SLOW}s", "--escalate", "diplomatic", "--kind", "technical")
        absent = "not in this story: delivered by XB diplomatic", "not in this story: acknowledged by XB diplomatic"
        early = world.poc("xa-operator", "notice", "status", notice).out
        for line in absent:
            self.assertNotIn(line, early)
        calls = len(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["recipients"])
        self.stepped(notice, "diplomatic", "escalated")
        late = world.poc("xa-operator", "notice", "status", "--save", story, notice).out
        for line in absent:
            self.assertEqual(late.count(line), 1, late)
            self.assertEqual(world.poc("xa-operator", "verify", story).out.count(line), 1)
        reach = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["recipients"]
        self.assertEqual((calls, [each["kind"] for each in reach]), (1, ["technical", "diplomatic"]))

    def test_reply_from_one_of_both_desks(self):
        """A reply goes from the desk that is chosen, else from the first that has not answered; show says how far each is."""
        world = self.world
        notice, other = (self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic") for _ in range(2))
        shared = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic", to="XB,AE")
        for each in notice, other, shared:
            self.escalated(each, "xb-operator", "diplomatic")

        def desks():
            return {each["kind"]: (each["step"], each["waits"])
                    for each in world.poc("xb-operator", "-o", "json", "notice", "show", notice).json["desks"]}

        # what the other desk of ours has said is known here; what another state's has said is not told
        world.poc("xb-operator", "notice", "ack", "-k", "diplomatic", shared)
        text = world.poc("xb-operator", "notice", "show", shared).out
        self.stepped(shared, "technical", "delivered")
        shown = world.poc("xb-operator", "-o", "json", "notice", "show", shared).json
        self.assertEqual({(each["place"], each["kind"]): each["step"] for each in shown["recipients"]},
                         {("AE", "technical"): None, ("XB", "technical"): "delivered", ("XB", "diplomatic"): "acknowledged"})
        self.assertIn("to             AE technical: not told\n", text)
        self.assertRegex(text, r"\nescalation     XB diplomatic: acknowledged, \S+, escalated ")
        self.assertRegex(world.poc("xa-operator", "notice", "show", shared).out, "AE technical: stored\n")
        self.assertNotIn("delivered", self.steps(other)["diplomatic"])
        world.poc("xb-operator", "notice", "show", "-k", "technical", other)
        self.stepped(other, "technical", "delivered")
        self.assertNotIn("delivered", self.steps(other)["diplomatic"])
        world.poc("xb-operator", "notice", "show", other)  # is read for both
        self.stepped(other, "diplomatic", "delivered")
        self.assertRegex(world.poc("xb-operator", "notice", "show", notice).out,
                         r"\nour desks +XB technical: \w+, waits\n +XB diplomatic: \w+, waits\n")
        self.assertEqual({kind: waits for kind, (_, waits) in desks().items()}, {"technical": True, "diplomatic": True})
        say = world.poc("xb-operator", "-n", "notice", "reply", "-k", "diplomatic", notice, "--text", "t").out
        self.assertIn("from XB diplomatic", say)
        self.assertIn("would be said: answered, of the notice, for XB diplomatic", say)
        first = world.poc("xb-operator", "notice", "reply", notice, "--text", "From the engineers.").err
        self.assertIn("answered from XB technical", first)
        self.assertIn("XB diplomatic has received it too, and has not answered it: -k diplomatic", first)
        self.assertEqual({kind: step for kind, (step, _) in desks().items()},
                         {"technical": "answered", "diplomatic": "delivered"})
        again = world.poc("xb-operator", "-o", "json", "notice", "reply", notice, "--text", "And from the ministry.").json
        self.assertEqual((again["from"], again["from_kind"]), ("XB", "diplomatic"))
        third = world.poc("xb-operator", "notice", "reply", "-k", "diplomatic", notice, "--text", "And once more.").err
        self.assertNotIn("has not answered", third)
        self.assertEqual({kind: steps.count("answered") for kind, steps in self.steps(notice).items()},
                         {"technical": 1, "diplomatic": 2})
        self.assertEqual(desks(), {"technical": ("answered", False), "diplomatic": ("answered", False)})
        for words in ("reply", "--text", "t"), ("note", "--text", "t"), ("show",):
            world.poc("xb-operator", "notice", *words, "-k", "coordinator", notice, expect=5)
            world.poc("xb-operator", "notice", *words, "-k", "night", notice, expect=2)
        world.poc("xb-operator", "notice", "note", "-k", "diplomatic", notice, "--text", "told the minister")
        note = next(each for each in self.listed("xb-operator", "--all") if each["thread"] == notice and each["category"] == "note")
        self.assertEqual(note["desk"]["kind"], "diplomatic")

    def test_one_of_both_desks(self):
        world = self.world
        early = self.send("--reply-by", "1h", "--escalate", "diplomatic")
        world.poc("xb-operator", "notice", "ack", early)
        world.poc("xa-operator", "notice", "status", early, "--wait", "acknowledged")  # it has come to no other desk
        notice = self.send("--reply-by", f"{2 * SLOW}s", "--escalate", "diplomatic")
        self.escalated(notice, "xb-operator", "diplomatic")
        # who was brought in by escalation is waited for like a recipient
        waiting = subprocess.Popen([POC, "-c", world.conf("xa-operator"), "notice", "status", notice, "--wait", "acknowledged"],
                                   env=world.env, stdout=subprocess.PIPE, text=True)
        world.poc("xb-operator", "notice", "ack", "-k", "technical", notice)
        time.sleep(0.5)
        self.assertIsNone(waiting.poll())
        world.poc("xb-operator", "notice", "accept", "-k", "diplomatic", notice)
        out, _ = waiting.communicate(timeout=15 * SLOW)
        self.assertEqual((waiting.returncode, "accepted" in out), (0, True))
        self.assertNotIn("accepted", self.steps(notice)["technical"])
        said = world.poc("xb-operator", "-o", "json", "notice", "accept", notice).json
        self.assertEqual((said["kind"], said["repeated"], "also" in said), ("technical", False, False))
        out = world.poc("xb-operator", "notice", "decline", "-k", "coordinator", "--reason", "other", notice, expect=5)
        self.assertIn("no coordinator desk of ours has the notice", out.err)
        self.assertIn("--kind is technical, diplomatic or coordinator",
                      world.poc("xb-operator", "notice", "take", "-k", "night", notice, expect=2).err)
        self.assertEqual({kind: steps.count("accepted") for kind, steps in self.steps(notice).items()},
                         {"technical": 1, "diplomatic": 1})
        self.assertEqual(world.poc("xb-operator", "handover").out.count(notice[:9]), 2)


if __name__ == "__main__":
    main()
