#!/usr/bin/python3
"""The judge of the notices' storm can fail: each way of losing, doubling, halving, moving or inventing a notice or a receipt, and of
going back, is caught."""
import copy
import unittest

from crash import TERM
from notices import NoticeWorld, judge

WORLD = None


def setUpModule():
    global WORLD
    WORLD = NoticeWorld()
    unittest.addModuleCleanup(WORLD.__exit__, None, None, None)


class Folder(unittest.TestCase):
    def test_older_copy(self):
        WORLD.go_back()
        WORLD.drop_writers()
        for words in ("was acknowledged and is lost", "was seen and is lost", "the log went back"):
            with self.assertRaisesRegex(AssertionError, words):
                faults = WORLD.faults(WORLD.facts())
                raise AssertionError("\n".join(faults))


class Judge(unittest.TestCase):
    """Facts and log of an honest round, changed in one place."""

    @classmethod
    def setUpClass(cls):
        cls.facts = WORLD.honest()
        WORLD.judge_end()

    def setUp(self):
        self.log, self.seen = copy.deepcopy(WORLD.log), copy.deepcopy(self.facts)
        posts = [(value, post) for value, post in self.log.sent.items() if post.answer]
        self.notice = next(value for value, post in posts if post.step == "notice" and post.number > 3)
        self.both = next(value for value, post in posts if len(post.desks) == 3)
        self.receipt = next(value for value, post in posts if post.step == "acknowledged")

    def at(self, value, desk):
        """Where an item stands in a desk's feed, among all entries."""
        return next(i for i, entry in enumerate(self.seen.entries) if entry[2] == value and entry[0] == desk)

    def drop(self, value, desk, close=True):
        """Takes an entry away; close: those after it move up."""
        _, cursor, *_ = self.seen.entries.pop(self.at(value, desk))
        if close:
            self.seen.entries = [(d, c - (d == desk and c > cursor), *rest) for d, c, *rest in self.seen.entries]
            self.log.seen.clear()

    def caught(self, words, ended=False):
        self.assertRegex("\n".join(judge(self.log, self.seen, ended)), words)

    def test_honest(self):
        self.assertEqual(judge(self.log, self.seen, True), [])

    def test_lost(self):
        for value in (self.notice, self.receipt):
            self.setUp()
            for desk in self.log.sent[value].desks:
                self.drop(value, desk)
            self.caught("was acknowledged and is lost")

    def test_lost_at_one_desk(self):
        for value in (self.notice, self.both, self.receipt):
            for desk in self.log.sent[value].desks:
                self.setUp()
                self.drop(value, desk)
                self.caught(rf"was acknowledged and is lost at \['{desk}'\]")

    def test_half_there(self):
        self.log.sent[self.both].answer = None
        self.drop(self.both, self.log.sent[self.both].desks[2])
        self.caught("is half there")

    def test_gap(self):
        self.drop(self.notice, self.log.sent[self.notice].desks[1], close=False)
        self.caught("has a gap")
        self.caught("was seen and is lost")

    def test_twice(self):
        desk = self.log.sent[self.notice].desks[1]
        last = max(cursor for place, cursor, *_ in self.seen.entries if place == desk)
        self.seen.entries.append((desk, last + 1, *self.seen.entries[self.at(self.notice, desk)][2:]))
        self.caught("arrived twice")

    def test_order(self):
        author, desk = self.log.sent[self.notice].desks[:2]
        mine = [i for i, entry in enumerate(self.seen.entries) if entry[0] == desk and entry[4] == "notice" and
                self.log.sent[entry[2]].author == author]
        one, two = self.seen.entries[mine[0]], self.seen.entries[mine[1]]
        self.seen.entries[mine[0]], self.seen.entries[mine[1]] = (desk, one[1], *two[2:]), (desk, two[1], *one[2:])
        self.caught(f"{desk} has {author} notice")

    def test_another_desk(self):
        post = self.log.sent[self.notice]
        post.desks = post.desks[:1]
        self.caught("too")

    def test_invented(self):
        for value in (self.notice, self.receipt):
            self.setUp()
            del self.log.sent[value]
            self.caught("nobody sent it")

    def test_stored_twice_and_never(self):
        author = self.log.sent[self.notice].author
        i = next(i for i, entry in enumerate(self.seen.entries) if entry[0] == author and entry[4] == "stored")
        place, cursor, value, notice, _ = self.seen.entries[i]
        self.seen.entries[i] = (place, cursor, value, notice, "delivered")
        self.caught("has no stored, or two")

    def test_not_opened(self):
        self.log.opened.clear()
        self.assertEqual(judge(self.log, self.seen), [])
        self.caught("opened .* 0 times", ended=True)

    def test_opened_twice(self):
        self.log.opened[self.log.sent[self.notice].desks[1], self.notice] += 1
        self.caught("opened .* 2 times", ended=True)

    def test_not_shown(self):
        self.log.seen.clear()
        self.caught("was not shown all", ended=True)

    def test_changed_before_a_readers_eyes(self):
        desk, seen = next(iter(self.log.seen.items()))
        cursor, (value, notice) = next(iter(seen.items()))
        self.log.take(["entry", f"{desk} {cursor} {self.receipt} {notice} 0"])
        self.caught("changed before a reader's eyes")

    def test_what_poc_lists(self):
        desk = self.log.sent[self.notice].desks[1]
        kept, WORLD.log = WORLD.log, self.log
        self.log.sent[self.notice].id = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA"
        try:
            with self.assertRaisesRegex(AssertionError, f"poc lists at {desk}"):
                WORLD.judge_end()
        finally:
            WORLD.log = kept
            if WORLD.server:
                WORLD.end(TERM)


if __name__ == "__main__":
    unittest.main(verbosity=2)
