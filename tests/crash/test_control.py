#!/usr/bin/python3
"""The storm's judge can fail: each way of losing, doubling or halving a write, of inventing one, and of going back is caught."""
import copy
import time
import unittest

from crash import SLOW, TERM, World, judge

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World(states=20)
    unittest.addModuleCleanup(WORLD.__exit__, None, None, None)


class Folder(unittest.TestCase):
    def test_older_copy(self):
        WORLD.go_back()
        with self.assertRaisesRegex(AssertionError, "was acknowledged and is lost"):
            WORLD.judge()
        with self.assertRaisesRegex(AssertionError, "the log went back"):
            WORLD.judge()
        WORLD.start()
        end = time.monotonic() + 10 * SLOW
        while not any("a reader" in fault for fault in WORLD.log.read().faults) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertTrue(any("a reader" in fault for fault in WORLD.log.faults), "the client took the older head")
        WORLD.end(TERM)
        WORLD.drop_writers()


class Judge(unittest.TestCase):
    """Facts and log of an honest round, changed in one place."""

    @classmethod
    def setUpClass(cls):
        cls.facts = WORLD.honest()

    def setUp(self):
        self.log, self.seen = copy.deepcopy(WORLD.log), copy.deepcopy(self.facts)
        self.value = self.log.acknowledged()[5]
        self.bundle = next(values for values in self.log.groups.values() if len(values) == 2)

    def caught(self, words, least=0):
        self.assertRegex("\n".join(judge(self.log, self.seen, WORLD.first, least)), words)

    def test_honest(self):
        self.assertEqual(judge(self.log, self.seen, WORLD.first), [])

    def test_lost(self):
        del self.seen.by_value[self.value]
        self.caught("was acknowledged and is lost")

    def test_twice(self):
        self.seen.by_value[self.value] *= 2
        self.caught("is there 2 times")

    def test_another_leaf(self):
        leaf, *rest = self.seen.by_value[self.value][0]
        self.seen.by_value[self.value] = [(leaf + 1, *rest)]
        self.caught("was acknowledged as leaf")

    def test_another_time(self):
        *rest, time_ms = self.seen.by_value[self.value][0]
        self.seen.by_value[self.value] = [(*rest, time_ms + 1)]
        self.caught("was acknowledged as leaf")

    def test_half_a_bundle(self):
        for value in self.bundle:
            self.log.sent[value].answer = None
        del self.seen.by_value[self.bundle[0]]
        self.caught("is half there")

    def test_invented(self):
        del self.log.sent[self.value]
        self.log.groups = {}
        self.caught("nobody sent it")

    def test_section(self):
        self.seen.missing.append("R/AA")
        self.caught("lacks a section")
        self.seen.sections = (self.seen.sections[0], self.seen.sections[1] + 1)
        self.caught("are called for")

    def test_head(self):
        self.log.head = self.seen.published + 1
        self.caught("a client saw the head")
        self.caught("the log went back", least=self.seen.size + 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
