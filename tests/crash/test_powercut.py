#!/usr/bin/python3
"""Power cuts, simulated: what the server writes to its data file is recorded, and images are made of what a disk may hold when the
power goes at any moment: what was not synced is there, is not, or is torn.  Each opens, recomputes to its checkpoint and holds
all that was acknowledged before: writes, and notices with their receipts.  With the syncs taken away the same images are bad:
the test can fail."""
import os
import random
import re
import shutil
import time
import unittest

from crash import BUILD, KILL, SHIMMED, SLOW, TERM, World
from harness import run
from notices import NoticeWorld

POWERCUT = os.path.join(BUILD, "tests/crash/powercut")
IMAGES = int(os.environ.get("POCD_POWERCUTS", "400" if SLOW == 1 else "60"))
SEED = int(os.environ.get("POCD_SEED", random.SystemRandom().randrange(1 << 32)))


class PowerCut(unittest.TestCase):
    WORLD, STATES, IMAGES = World, 12, IMAGES

    @classmethod
    def setUpClass(cls):
        """Some seconds of a server's life, with a journal of its data file."""
        cls.world = cls.WORLD(cls.STATES)
        cls.addClassCleanup(cls.world.__exit__, None, None, None)
        cls.journal, cls.base, cls.images = (os.path.join(cls.world.root, name) for name in ("journal", "base", "images"))
        shutil.copy(cls.world.path("data", "data.mdb"), cls.base)
        cls.world.start(env={**SHIMMED, "CRASH_JOURNAL": cls.journal})
        cls.world.write()
        cls.world.wait_acks(150, seconds=30)
        time.sleep(0.1)
        cls.world.end(KILL)
        cls.world.kill_all()
        cls.world.judge()
        print(f"power cuts: seed {SEED}")

    def cut(self, images, *more, expect, acks=None):
        os.makedirs(self.images, exist_ok=True)
        result = run(POWERCUT, self.images, self.base, self.journal, acks or self.world.path("acks"), images, SEED, *more,
                     expect=expect, timeout=120)
        print("power cuts:", result.out.splitlines()[-1])
        return result

    def test_nothing_acknowledged_is_lost(self):
        self.cut(self.IMAGES, "--keep", self.IMAGES // 3, expect=0)
        for number in ("1", "2", "3"):
            self.serves(os.path.join(self.images, number))

    def serves(self, folder):
        """The server itself goes on from an image."""
        world = self.world
        shutil.rmtree(world.path("data"))
        shutil.move(folder, world.path("data"))
        world.forget_signed()
        shutil.rmtree(world.path("state"), ignore_errors=True)  # an older world than the last image's
        world.start()
        world.poc("-y", "confirm", "AI")
        self.assertEqual(world.end(TERM), 0)
        world.check()

    def test_without_barriers(self):
        result = self.cut(40, "--no-barrier", expect=1)
        bad = int(re.search(r"(\d+) bad", result.out).group(1))
        self.assertGreater(bad, 10, result.out)


class NoticePowerCut(PowerCut):
    """The same of notices and receipts."""
    WORLD, STATES, IMAGES = NoticeWorld, 16, IMAGES // 2

    def test_said_too_early(self):
        """Answers, and entries shown, from before they were durable: that is caught too."""
        for kind, words in (("posted", "was acknowledged and is in 0 of"), ("entry", "was seen and is lost")):
            early = os.path.join(self.world.root, "early")
            with open(self.world.path("acks"), encoding="ascii") as log, open(early, "w", encoding="ascii") as out:
                for line in log:
                    head, last = line.rstrip("\n").rsplit(" ", 1)
                    out.write(f"{head} {int(last) - 10 ** 10}\n" if line.startswith(kind) else line)
            self.assertIn(words, self.cut(40, expect=1, acks=early).out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
