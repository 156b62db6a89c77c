"""Followers: mirrors and auditors of a directory, quorum, and logs that contradict what was seen."""
import unittest

from follower import Follower, publish_trust, wait_for
from harness import World, main


def size_of(world, user):
    return world.poc(user, "-o", "json", "status", expect=None).json["checkpoint"]["size"]


def start_auditors(test, world, states, quorum, **fields):
    """Auditors of these states, started, and a trust root that asks for so many of them."""
    followers = [Follower(world, state, f"auditor{i}", sign=True) for i, state in enumerate(states)]
    for follower in followers:
        follower.start()
        test.addCleanup(follower.stop)
        follower.wait_log("follow.connected")
    publish_trust(world, followers, quorum, **fields)
    return followers


class Auditors(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def checkpoint(self, user="xa-reader"):
        return self.world.poc(user, "-o", "json", "status", expect=None).json["checkpoint"]

    def test_quorum(self):
        """A change is proven once its quorum has signed; below it the last such checkpoint goes on being served."""
        world = self.world
        a, b, c = start_auditors(self, world, ["XA", "XB", "AD"], 2)
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        self.assertEqual(self.checkpoint()["quorum"], 2)
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        # one's own auditor, and more than T asks for
        own = world.variant("xa-reader", "own", {("directory", "own_auditor"): "auditor." + a.user, ("directory", "quorum"): "3"})
        self.assertIn("cosigned by 3 of 3 auditors, 3 needed", world.poc(own, "lookup", "XB").out)
        a.stop()
        world.poc("xb-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 2, "never cosigned by two")
        fresh = world.variant("xa-reader", "fresh", {("directory", "own_auditor"): "auditor." + a.user})
        self.assertIn(f"auditor.{a.user} has not signed", world.poc(fresh, "lookup", "XB", expect=6).err)
        # below quorum
        b.stop()
        served = self.checkpoint()["size"]
        result = world.poc("ad-coordinator", "-y", "--timeout", "3", "confirm", expect=None)
        world.wait_log("quorum.missing", seconds=15)
        self.assertEqual(self.checkpoint()["size"], served)
        self.assertEqual(world.poc("xa-reader", "lookup", "XB").status, 0, result)
        # it comes back, from what it has
        b.start()
        wait_for(lambda: self.checkpoint()["size"] > served, "never served again", 70)
        self.assertIn("quorum.reached", world.log())
        a.start()
        # a restart serves what had its quorum, and signs nothing before auditors are heard
        world.stop()
        world.start()
        self.assertGreaterEqual(self.checkpoint()["size"], served)
        world.wait_log("auditor.heard")
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        for follower in (a, b, c):
            self.assertNotIn("follow.refused", follower.log())


class Following(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def test_mirror(self):
        """From nothing: answers like the directory's own, and none that it has no right to give."""
        world = self.world
        mirror = Follower(world, "XA", "mirror")
        mirror.start()
        self.addCleanup(mirror.stop)
        mirror.wait_log("follow.connected")
        reader = mirror.settings("xa-reader")
        wait_for(lambda: world.poc(reader, "lookup", "XB", expect=None).status == 0, "the mirror never answered")
        self.assertEqual(world.poc(reader, "lookup", "XB").out, world.poc("xa-reader", "lookup", "XB").out)


if __name__ == "__main__":
    main()
