#!/usr/bin/python3
"""Full disks: writes are refused with one clear line and when to try again, reads go on, nothing that was acknowledged is lost,
writing goes on when there is room again.  Four kinds of full: the filesystem (a small tmpfs; needs the right to mount), a limit
on the size of files, the quota, and the map of the database."""
import os
import resource
import subprocess
import time
import unittest

from crash import KILL, READER, TERM, World
from harness import POCADM, Result, run

STORAGE = 19  # proto/wire/status.h
MIB = 1 << 20


def mounted(path, size):
    os.makedirs(path)
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True).returncode == 0


class Full:
    """What must hold whatever it is that is full.  Subclasses limit the room and make more."""
    states = 12

    def setUp(self):
        self.world = World(states=self.states)
        self.addCleanup(lambda: self.world.__exit__(None, None, None))

    def fill(self):
        """Writes until nothing more is acknowledged."""
        world = self.world
        world.write()
        end = time.monotonic() + 60
        while not world.log.read().refused:
            self.assertLess(time.monotonic(), end, "it does not get full")
            self.assertIsNone(world.server.poll(), "pocd has ended")
            time.sleep(0.05)
        while True:
            before = len(world.log.read().acknowledged())
            time.sleep(0.8)
            if len(world.log.read().acknowledged()) == before:
                return
            self.assertLess(time.monotonic(), end, "it does not get full")

    def look(self):
        """Reads go on, and are proven; the refusals are clear."""
        self.world.poc("lookup", "AA")
        self.world.poc("sync")
        self.assertEqual(self.world.log.read().faults, [])
        self.assertTrue(self.world.log.refused)
        for refusal in self.world.log.refused:
            _, code, retry_after, message = refusal.split(maxsplit=3)
            self.assertEqual(int(code), STORAGE, refusal)
            self.assertGreater(int(retry_after), 0, refusal)
            self.assertRegex(message, "no room|full")

    def refuses_a_person(self):
        """One line, and exit status 1.  A small write may still find room where those of the writers do not."""
        for _ in range(60):
            result = self.world.poc("-y", "confirm", READER, expect=None)
            if result.status != 0:
                break
        self.assertEqual(result.status, 1, result)
        self.assertEqual(len(result.err.strip().splitlines()), 1, result)
        self.assertRegex(result.err, r"^poc: .*(no room|full).*\n$")

    def everything_is_proven(self):
        """What was acknowledged before gets its proof although nothing more is stored."""
        facts = self.world.judge()
        last = max(put[0] for put in facts.puts)
        self.assertGreater(facts.published, last, "an acknowledged write stays without proof")

    def goes_on(self):
        """There is room again."""
        world = self.world
        world.wait_acks(20, seconds=20)
        world.finish_writing()
        self.assertEqual(world.end(TERM), 0)
        world.judge(since=0)
        world.check()
        self.assertTrue(all(write.answer for write in world.log.sent.values()))

    def start(self):
        self.world.start()

    def test_all(self):
        self.limit()
        self.start()
        self.fill()
        self.look()
        self.refuses_a_person()
        time.sleep(1.2)  # a publication that failed would be tried again
        self.world.end(KILL)
        self.everything_is_proven()
        self.start()  # as full as it is
        self.look()
        self.refuses_a_person()
        self.make_room()
        self.goes_on()


class FullFilesystem(Full, unittest.TestCase):
    def limit(self):
        self.disk = os.path.join(self.world.root, "disk")
        if not mounted(self.disk, 4 * MIB):
            self.skipTest("no right to mount: FullFile tries the same with a limit on the size of files")
        self.addCleanup(run, "umount", "--lazy", self.disk)
        data = os.path.join(self.disk, "data")
        os.rename(self.world.path("data"), self.world.path("data-before"))
        run("cp", "-r", self.world.path("data-before"), data)
        os.symlink(data, self.world.path("data"))

    def others_fill_it(self):
        """Somebody else takes the last byte."""
        with open(os.path.join(self.disk, "filler"), "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def make_room(self):
        # the file of locks is new, and the disk has no byte for it: refused, not killed by SIGBUS
        self.assertEqual(self.world.end(TERM), 0)
        self.others_fill_it()
        os.remove(self.world.path("data", "lock.mdb"))
        self.others_fill_it()
        os.truncate(os.path.join(self.disk, "filler"), os.path.getsize(os.path.join(self.disk, "filler")) // 4096 * 4096)
        started = self.world.start(expect_ready=False)
        if isinstance(started, Result):
            self.assertEqual(started.status, 1, started)
            self.assertRegex(started.err, "^pocd: .*(no room|full|No space).*\n$")
        else:
            self.look()
        run("mount", "-o", f"remount,size={32 * MIB}", self.disk)
        if isinstance(started, Result):
            self.world.start()


class FullFile(Full, unittest.TestCase):
    """RLIMIT_FSIZE (ulimit -f, systemd's LimitFSIZE): the signal that comes with it must not end the server."""
    size = 2 * MIB

    def limit(self):
        pass

    def start(self):
        self.world.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY)))

    def make_room(self):
        resource.prlimit(self.world.server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class FullQuota(Full, unittest.TestCase):
    def limit(self):
        self.world.set(store__quota="2M")

    def make_room(self):
        self.assertEqual(self.world.end(TERM), 0)
        self.world.set(store__quota="64M")
        self.world.start()


class FullMap(Full, unittest.TestCase):
    """The quota is out of the way, the map itself is full."""

    def limit(self):
        self.world.set(store__map_size="2M", store__quota="64M")

    def make_room(self):
        self.assertEqual(self.world.end(TERM), 0)
        self.world.set(store__map_size="64M", store__quota="32M")
        self.world.start()


class FullElsewhere(unittest.TestCase):
    """The disk of the other programs: a client's held state, a new directory."""

    def setUp(self):
        self.world = World(states=9)
        self.addCleanup(lambda: self.world.__exit__(None, None, None))

    def small(self, what):
        """Files can have 4 KiB at most."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (what, resource.RLIM_INFINITY))

    def test_held_state(self):
        self.world.start()
        result = self.world.poc("lookup", READER, expect=None, preexec_fn=lambda: self.small(64))
        self.assertIn(result.status, range(1, 9), result)
        self.assertEqual(len(result.err.strip().splitlines()), 1, result)
        self.assertRegex(result.err, "^poc: .*state")
        self.world.poc("lookup", READER)

    def test_init(self):
        where = os.path.join(self.world.root, "new")
        for size in (64, 4096, 100000):
            result = run(POCADM, "init", where, "--origin", "test/1", expect=None, env=self.world.env,
                         preexec_fn=lambda: self.small(size))
            self.assertEqual(result.status, 1, result)
            self.assertEqual(len(result.err.strip().splitlines()), 1, result)
            self.assertFalse(os.path.exists(where) or os.path.exists(where + ".new"), "left half made")
        run(POCADM, "init", where, "--origin", "test/1", env=self.world.env)


if __name__ == "__main__":
    unittest.main(verbosity=2)
