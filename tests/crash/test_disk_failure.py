#!/usr/bin/python3
"""Failing disks: writes and syncs that return EIO or stop half-way.  The server acknowledges nothing of it, ends at once with one
line and status 1, and the next start serves what was acknowledged before."""
import os
import time
import unittest

from crash import SHIMMED, SLOW, TERM, World


class DiskFailure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World(states=20)
        cls.addClassCleanup(cls.world.__exit__, None, None, None)

    def setUp(self):
        self.world.fresh()
        self.fault = self.world.path("fault")
        self.world.start(env={**SHIMMED, "CRASH_FAULT": self.fault})
        self.world.write()
        self.world.wait_acks(30)

    def tearDown(self):
        self.world.kill_all()

    def break_disk(self, way):
        with open(self.fault + ".new", "w", encoding="ascii") as file:
            file.write(way)
        os.rename(self.fault + ".new", self.fault)

    def ends(self, way):
        """The disk fails; the server sees that nothing can be promised any more."""
        world = self.world
        self.break_disk(way)
        begun = time.monotonic()
        server = world.server
        self.assertEqual(server.wait(timeout=5 * SLOW), 1)
        seconds = time.monotonic() - begun
        self.assertLess(seconds, 3 * SLOW)
        self.assertEqual(server.stderr.read(), "pocd: the disk failed; what is stored is found out at the next start\n")
        world.reap(server)
        world.server = None
        self.assertIn("server.disk_failed", world.log_text())
        self.assertEqual(world.log_text().count("commit.failed") + world.log_text().count("publish.failed"), 1)
        self.recovers()

    def recovers(self):
        world = self.world
        world.judge()
        self.assertEqual(world.log.faults, [])
        world.start()  # a good disk again
        world.wait_acks(20)
        world.finish_writing()
        self.assertEqual(world.end(TERM), 0)
        world.judge(since=0)
        world.check()
        self.assertTrue(all(write.answer for write in world.log.sent.values()))

    def test_sync(self):
        self.ends("sync")

    def test_write(self):
        self.ends("write")

    def test_short_write(self):
        self.ends("short")

    def test_meta_page(self):
        """LMDB gives up: not even reads go on."""
        self.ends("meta")

    def test_meta_page_done(self):
        """The write took place and said that it did not."""
        self.ends("meta-done")

    def test_no_space_after_all(self):
        """ENOSPC although the filesystem promised room: refused, and the server stays."""
        world = self.world
        self.break_disk("full")
        end = time.monotonic() + 10 * SLOW
        while not world.log.read().refused:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        world.poc("lookup", "AA")
        self.assertIsNone(world.server.poll())
        os.remove(self.fault)
        world.wait_acks(20)
        self.assertEqual({line.split()[1] for line in world.log.refused}, {"19"})
        world.end(TERM)
        self.recovers()


if __name__ == "__main__":
    unittest.main(verbosity=2)
