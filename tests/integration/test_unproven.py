"""Notices while the directory can publish nothing: below quorum, and before auditors are heard."""
import time
import unittest

from follower import wait_for
from harness import SLOW, World, main
from test_follow import both_signed, checkpoint, start_auditors


class Unproven(unittest.TestCase):
    """Notices of a state one of whose changes waits for its proof: they are stored, or it is said at once why not."""

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def said(self, user, *words, expect=0):
        begun = time.monotonic()
        form = () if expect else ("-o", "json")
        result = self.world.poc(user, *form, "--timeout", "20", *words, expect=expect)
        self.assertLess(time.monotonic() - begun, 12 * SLOW, result)
        return result

    def send(self, user, to, expect=0):
        return self.said(user, "notice", "send", "--to", to, "--subject", "s", "--text", "t", expect=expect)

    def change_users(self, expect=8):
        """Another version of U/AD."""
        path = self.world.path("users", "more")
        self.world.poc("ad-coordinator", "user", "invite", "more", "--role", "reader", "--out", path + ".invite")
        self.world.poc("ad-more", "setup", path + ".invite", "--request", path + ".request")
        self.world.poc("ad-coordinator", "-y", "user", "add", path + ".request", expect=expect)

    def test_below_quorum(self):
        world = self.world
        _, b = start_auditors(self, world, ["XA", "XB"], 2)
        wait_for(lambda: both_signed(world), "never cosigned")
        before = self.send("xa-operator", "AD").json["id"]
        b.stop()
        world.poc("ad-coordinator", "-y", "confirm", expect=8)
        again = self.said("ad-coordinator", "-y", "confirm", expect=1)
        self.assertRegex(again.err, r"version \d+ of R/AD is stored already, .*and waits for its proof")
        sent = self.send("xa-operator", "AD").json["id"]
        self.assertIn("id", self.send("ad-operator", "XA").json)
        self.said("ad-operator", "notice", "ack", before)
        self.change_users()
        sent = [sent, self.send("xa-operator", "AD").json["id"], self.send("ad-operator", "XA").json["id"]]
        b.start()
        # and proven, once it can be
        for notice in sent:
            user = "ad-operator" if notice == sent[2] else "xa-operator"
            wait_for(lambda: world.poc(user, "notice", "status", notice, expect=None).status == 0, "never proven", 90)

    def test_nothing_is_signed(self):
        """After a start without auditors nothing is published: what judges signers is waited for, but not for long."""
        world = self.world
        (a,) = start_auditors(self, world, ["XA"], 1)
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        a.stop()
        world.stop()
        world.start()
        world.poc("ad-coordinator", "-y", "confirm", expect=8)
        self.assertIn("id", self.send("xa-operator", "AD").json)
        self.change_users()
        result = self.send("xa-operator", "AD", expect=8)
        self.assertIn("stored, but not yet proven", result.out + result.err)
        a.start()
        wait_for(lambda: world.poc("xa-operator", "notice", "flush", expect=None).status == 0, "never sent", 30)


if __name__ == "__main__":
    main()
