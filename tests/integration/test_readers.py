"""Who has read a state's records: counted by day, kept over restarts and crashes, told to that state alone."""
import calendar
import time
import unittest
import unittest.mock

from follower import Follower, wait_for
from harness import World, main, shifted

STORED = 40  # seconds: what was counted is stored every ten


class Readers(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def readers(self, user, *words, **more):
        return self.world.poc(user, "-o", "json", "readers", *words, **more)

    def of(self, user, *words):
        """{state: (lookups, copied)} as a user of the state that was read is told."""
        return {each["state"]: (each["lookups"], each["copied"]) for each in self.readers(user, *words).json["readers"]}

    def test_who_reads(self):
        """Lookups and copies are told apart; what is refused, absent or one's own is not counted; restarts lose nothing."""
        world = self.world
        world.stop()
        world.start()  # what making the world has read is stored
        before = self.of("xb-operator")
        for _ in range(3):
            world.poc("xa-reader", "lookup", "XB")
        world.poc("xb-reader", "lookup", "XB")
        world.poc("xa-reader", "lookup", "XZ", expect=5)
        world.poc("ae-reader", "sync")
        world.stop()
        world.start()
        after = self.of("xb-operator")
        self.assertEqual(after["XA"][0] - before.get("XA", (0, 0))[0], 3)
        self.assertEqual(after["AE"][1] - before.get("AE", (0, 0))[1], 1)
        self.assertNotIn("XB", after)
        answer = self.readers("xb-coordinator").json
        self.assertEqual((answer["schema"], answer["place"]), ("poc.readers/1", "XB"))
        today = time.strftime("%Y-%m-%d", time.gmtime())
        self.assertEqual({row["day"] for row in answer["days"]} - {today, time.strftime("%Y-%m-%d", time.gmtime(time.time() - 600))},
                         set())
        self.assertEqual(sum(row["lookups"] for row in answer["days"] if row["state"] == "XA"), after["XA"][0])
        last = next(each["last"] for each in answer["readers"] if each["state"] == "XA")
        self.assertLess(abs(time.time() - calendar.timegm(time.strptime(last, "%Y-%m-%dT%H:%M:%SZ"))), 60)
        text = world.poc("xb-operator", "readers").out
        self.assertRegex(text, rf"(?m)^STATE +LOOKUPS +COPIED +DAYS +LAST +NAME\n(.*\n)*XA +{after['XA'][0]} +\d+ +\d +{last}  XA\n")
        self.assertRegex(text, r"as the server counts it since [-0-9]+; copies and mirrors are read unseen\n$")

    def test_stored_while_it_runs(self):
        """What was counted is stored every few seconds, and outlives a daemon that is killed."""
        world = self.world
        world.poc("ad-reader", "lookup", "XA")
        wait_for(lambda: self.of("xa-operator").get("AD", (0, 0))[0] == 1, "it was never stored", STORED)
        world.kill()
        world.start()
        self.assertEqual(self.of("xa-operator")["AD"][0], 1)

    def test_for_whom(self):
        """Those on duty, of their own state."""
        for user in "xa-reader", "directory-admin", "directory-service":
            refused = self.world.poc(user, "readers", expect=4)
            self.assertEqual(refused.err, "poc: who has read a state's records is for its operators and coordinators\n")
        self.assertEqual(self.readers("xa-reader", expect=4).json["error"]["code"], "denied")

    def test_days(self):
        """Only the days from --since on, the newest reader first."""
        world = self.world
        for days, state in ((10, "ad"), (30, "ae"), (45, "xa")):
            world.stop()
            with unittest.mock.patch.dict(world.env, shifted(days * 86400)):
                world.start()
                world.poc(f"{state}-reader", "lookup", "XB", expect=None)  # the checkpoint is old
        world.stop()
        with unittest.mock.patch.dict(world.env, shifted(45 * 86400)):
            world.start()
            newest = [each["state"] for each in self.readers("xb-operator", "--since", "30d").json["readers"]]
            self.assertEqual(newest[:2], ["XA", "AE"])
            self.assertNotIn("AD", newest)
            all_days = {each["day"] for each in self.readers("xb-operator", "--since", "60d").json["days"]}
            self.assertGreater(len(all_days), 2)

    def test_since(self):
        for text in "soon", "-1h", "0s":
            said = self.world.poc("xb-operator", "readers", "--since", text, expect=2).err
            self.assertIn("--since takes 30d, or a time like 2026-11-24T12:00:00Z", said)
        for text in "36500d", "1970-01-02T00:00:00Z", "1d":
            self.readers("xb-operator", "--since", text)
        self.assertEqual(self.readers("xb-operator", "--since", "2200-01-01T00:00:00Z").json["readers"], [])
        self.assertRegex(self.world.poc("xb-operator", "readers", "--since", "2200-01-01T00:00:00Z").out,
                         "^no other state has read a record of XB since 2200-01-01\n")
        self.assertIn("--offline", self.world.poc("xb-operator", "--offline", "readers", expect=2).err)


class Mirrored(unittest.TestCase):
    def test_mirror(self):
        """A mirror's own copy counts as one; it keeps no counts itself, so the next server is asked."""
        world = World()
        self.addCleanup(world.close)
        mirror = Follower(world, "XA", "mirror").start()
        self.addCleanup(mirror.stop)
        wait_for(lambda: {each["state"]: each["copied"] for each in
                          world.poc("xb-operator", "-o", "json", "readers").json["readers"]}.get("XA", 0) > 0,
                 "the mirror's copy was never counted", STORED)
        alone = mirror.settings("xa-operator")
        wait_for(lambda: world.poc(alone, "--online", "status", expect=None).status == 0, "the mirror never caught up", STORED)
        self.assertIn("mirror", world.poc(alone, "readers", expect=4).err)
        both = world.variant("xa-operator", "both", {("directory", "server"): f"127.0.0.1:{mirror.port}, 127.0.0.1:{world.port}"})
        self.assertEqual(world.poc(both, "-o", "json", "readers").json["place"], "XA")


if __name__ == "__main__":
    main()
