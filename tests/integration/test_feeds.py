"""Feeds that begin anew, since the directory goes on from a mirror's folder: nothing is lost, and nothing shown twice."""
import json
import os
import shutil
import unittest

from follower import Follower, wait_for
from harness import World, main


class Anew(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def send(self, count):
        return [self.world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB,AD", "--subject", "Scans",
                               "--text", "We see scans.").json["id"] for _ in range(count)]

    def listed(self, user):
        found = self.world.poc(user, "-o", "json", "notice", "list")
        return {each["id"] for each in found.json["notices"]}, found.err

    def watched(self, user):
        lines = self.world.poc(user, "notice", "watch", "--once", "--headers").out.splitlines()
        return [event["id"] for event in map(json.loads, lines) if event["event"] == "notice"]

    def size(self, user):
        return self.world.poc(user, "-o", "json", "--online", "status").json["checkpoint"]["size"]

    def delivered(self, notice):
        """How many desks it was delivered to, as a published checkpoint shows."""
        steps = self.world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]
        return sum(each["step"] == "delivered" and bool(each["proven_by"]) for each in steps)

    def go_on_from(self, mirror, read):
        """The directory on a copy of a mirror's folder, which has no notices; read: the one that two desks read last."""
        wait_for(lambda: self.delivered(read) == 2, "its delivery was never published")
        world, reader = self.world, mirror.settings("xa-reader")
        size = self.size("xa-reader")
        wait_for(lambda: self.size(reader) >= size, "the mirror never caught up")
        world.stop()
        mirror.stop()
        shutil.rmtree(world.path("data"))
        shutil.copytree(mirror.path("data"), world.path("data"))
        world.start()

    def test_mirror_becomes_the_directory(self):
        world = self.world
        mirror = Follower(world, "XA", "mirror").start()
        self.addCleanup(mirror.stop)
        had = {}
        for user in ("xb-operator", "ad-operator"):
            self.watched(user)  # what the world begins with
            had[user] = self.listed(user)[0]
        old = self.send(3)
        for user in had:
            had[user] |= set(old)
            self.assertEqual(self.listed(user)[0], had[user])
            self.assertEqual(self.watched(user), old)
        self.go_on_from(mirror, old[-1])
        # XB looks while the new feed is the shorter one, AD not before others stand where it ended
        first = self.send(1)
        found, said = self.listed("xb-operator")
        self.assertEqual(found, {*had["xb-operator"], *first})
        self.assertIn("restored from an older copy", said)
        self.assertEqual(self.watched("xb-operator"), first)
        found, said = self.listed("xb-operator")
        self.assertEqual((found, "restored" in said), ({*had["xb-operator"], *first}, False))
        more = self.send(4)
        self.assertEqual(self.listed("xb-operator")[0], {*had["xb-operator"], *first, *more})
        self.assertEqual(self.watched("xb-operator"), more)
        self.assertEqual(self.listed("ad-operator")[0], {*had["ad-operator"], *first, *more})
        self.assertEqual(self.watched("ad-operator"), first + more)
        # one by one, and for the sender too
        world.poc("ad-operator", "notice", "show", more[-1])
        world.poc("xb-operator", "notice", "ack", more[0])
        self.assertIn("acknowledged", world.poc("xa-operator", "notice", "status", more[0]).out)
        # nothing of it again
        for user in had:
            self.assertEqual(self.watched(user), [])
        # a copy that is made anew has what the directory has
        folder = world.variant("xb-operator", "anew", {})
        self.assertEqual(self.listed(folder)[0], {*first, *more})

    def test_the_copy_may_go(self):
        """A watch whose local copy was deleted goes on where it was."""
        world = self.world
        self.watched("xb-operator")
        old = self.send(2)
        self.assertEqual(self.watched("xb-operator"), old)
        folder = os.path.join(world.path("users"), world.setting("xb-operator", "state", "dir"))
        for name in os.listdir(folder):
            if name.startswith("desk-"):
                os.unlink(os.path.join(folder, name))
        new = self.send(1)
        self.assertEqual(self.watched("xb-operator"), new)


if __name__ == "__main__":
    main()
