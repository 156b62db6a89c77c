"""Desks: who was brought into a thread later, one person at several desks, minds that change, programs."""
import time
import unittest

from harness import SLOW, World, main


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
        got = next(each for each in self.listed(back_to, "--all") if each["id"] == reply)
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
        self.assertIn("XB technical: a program acknowledged, no person has", reminder.err)
        self.assertIn("Reminder: Scans", [each["subject"] for each in self.listed("xb-operator")])
        world.poc("xb-operator", "notice", "ack", seen)
        self.assertIn("nobody is reminded", world.poc("xa-operator", "notice", "remind", seen).err)
        end = time.monotonic() + 20 * SLOW
        while unseen not in [each["id"] for each in self.listed("ae-operator")]:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)
        self.assertNotIn(seen, [each["id"] for each in self.listed("ae-operator")])


if __name__ == "__main__":
    main()
