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


if __name__ == "__main__":
    main()
