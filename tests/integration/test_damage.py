"""Damaged database files: pocd refuses to start and says what is wrong, or serves exactly what was there; it never crashes by
a signal and never serves anything else.  `pocadm check` likewise."""
import os
import random
import shutil
import stat
import struct
import unittest

from harness import POCADM, POCD, SLOW, Result, World, main, run

WORLD = None
PAGE = 4096
ROUNDS = int(os.environ.get("POCD_DAMAGE_ROUNDS", "60" if SLOW == 1 else "18"))
META_STEP = 1 if SLOW == 1 else 5  # sanitizers make each round slow; the release build goes through all
PLACES = ("XA", "XB", "AD", "AE")


def setUpModule():
    global WORLD
    WORLD = World()
    unittest.addModuleCleanup(WORLD.close)
    for place in ("XA", "XB") * 3:
        WORLD.poc(f"{place.lower()}-coordinator", "-y", "confirm", place)


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = WORLD.path("data")
        cls.file = os.path.join(cls.folder, "data.mdb")
        cls.good = {place: WORLD.record("xb-reader", place) for place in PLACES}
        cls.history = WORLD.poc("xb-reader", "history", "XA").out
        if WORLD.stop() != 0:
            raise AssertionError("pocd did not end well")
        for held in ("users", "states"):
            shutil.copytree(WORLD.path(held), WORLD.path(held + "-before"))
        with open(cls.file, "rb") as file:
            cls.bytes = file.read()
        cls.refused = cls.served = 0

    @classmethod
    def tearDownClass(cls):
        print(f"damage: {cls.refused} refused at start, {cls.served} served what was there")

    def tearDown(self):
        self.restore()

    def restore(self):
        """Data as it was, and what the clients hold, who would not go back with it."""
        if WORLD.daemon:
            WORLD.stop()
        WORLD.forget_signed()
        for held in ("users", "states"):
            shutil.rmtree(WORLD.path(held))
            shutil.copytree(WORLD.path(held + "-before"), WORLD.path(held))
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if os.path.isdir(path):
                os.rmdir(path)
            else:
                os.remove(path)
        self.put(self.bytes)

    def put(self, data):
        with open(self.file, "wb") as file:
            file.write(data)

    def check(self):
        result = run(POCADM, "check", self.folder, expect=None, env=WORLD.env)
        self.assertIn(result.status, range(0, 9), f"pocadm check ended by a signal: {result}")
        if result.status != 0:
            self.assertEqual(len(result.err.strip().splitlines()), 1, result)
        return result

    def start(self):
        """None when pocd serves, else the Result of its refusal."""
        started = WORLD.start(expect_ready=False)
        if not isinstance(started, Result):
            return None
        self.assertIn(started.status, range(1, 9), f"pocd ended by a signal: {started}")
        self.assertRegex(started.err, r"^pocd: .+\n$")
        return started

    def serves_the_truth(self):
        """Every record is what it was, a write works, and the folder is whole afterwards."""
        for place, record in self.good.items():
            self.assertEqual(WORLD.record("xb-reader", place), record)
        self.assertEqual(WORLD.poc("xb-reader", "history", "XA").out, self.history)
        with WORLD.client("ad-coordinator") as client:
            self.assertTrue(client)
        WORLD.poc("ad-coordinator", "-y", "confirm", "AD")
        self.assertEqual(WORLD.stop(), 0)
        return self.check()

    def judge(self, data, must_refuse=False):
        """Puts the bytes there and sees what becomes of them; True if they were served."""
        self.put(data)
        checked = self.check()
        refusal = self.start()
        if refusal is not None:
            type(self).refused += 1
            return False
        type(self).served += 1
        try:
            self.assertFalse(must_refuse, "damaged, and served")
            for result in (checked, self.serves_the_truth()):
                self.assertEqual(result.status, 0, f"pocd serves what pocadm check refuses: {result}")
        finally:
            self.restore()
        return True

    def test_untouched(self):
        self.assertTrue(self.judge(self.bytes))

    def test_truncated(self):
        size = len(self.bytes)
        used = (struct.unpack_from("<Q", self.bytes, newest_meta(self.bytes) + 16 + 24 + 2 * 48)[0] + 1) * PAGE
        for length in (0, 1, 100, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE, used // 2, used - PAGE, used - 1):
            with self.subTest(length=length, size=size):
                self.judge(self.bytes[:length], must_refuse=True)

    def test_folder_beside(self):
        """The folder that pocadm init made is as good as the data folder in it."""
        folder = os.path.join(WORLD.root, "beside")
        os.mkdir(folder)
        shutil.copytree(self.folder, os.path.join(folder, "data"))
        self.assertIn("good: ", run(POCADM, "check", folder, env=WORLD.env).out)

    def test_not_a_database(self):
        for data in (b"these are no contacts\n" * 500, bytes(len(self.bytes)), b"\xff" * len(self.bytes),
                     random.Random(1).randbytes(len(self.bytes))):
            self.judge(data, must_refuse=True)

    def test_zeroed_pages(self):
        """LMDB itself takes a zeroed root page for an empty database."""
        for page in range(0, len(self.bytes) // PAGE, max(1, len(self.bytes) // PAGE // 20)):
            with self.subTest(page=page):
                self.judge(self.bytes[:page * PAGE] + bytes(PAGE) + self.bytes[(page + 1) * PAGE:])

    def test_meta_pages(self):
        """Every byte of the newer meta page, three ways over all."""
        meta = newest_meta(self.bytes)
        for at in range(0, 16 + 24 + 2 * 48 + 16, META_STEP):
            with self.subTest(at=at):
                self.judge(self.altered(meta + at, (0x01, 0x80, 0xFF)[at % 3]))

    def test_both_meta_pages(self):
        for at in (0, 10, 16, 20, 40, 48, 64, 80, 96, 112, 128, 136, 144):
            with self.subTest(at=at):
                data = bytearray(self.altered(at, 0x41))
                data[PAGE + at] ^= 0x41
                self.judge(bytes(data))

    def test_page_headers(self):
        """The header of each page: number, flags, bounds."""
        dice = random.Random(2)
        pages = list(range(2, len(self.bytes) // PAGE))
        for page in dice.sample(pages, min(len(pages), ROUNDS // 2)):
            at = page * PAGE + dice.choice((0, 1, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18))
            with self.subTest(at=at):
                self.judge(self.altered(at, dice.randrange(1, 256)))

    def test_random_bytes(self):
        dice = random.Random(3)
        for _ in range(ROUNDS):
            at, flip = dice.randrange(2 * PAGE, len(self.bytes)), dice.randrange(1, 256)
            with self.subTest(at=at, flip=flip):
                self.judge(self.altered(at, flip))

    def test_older_pages(self):
        """A page as it was before: its own checksums are right, the whole is not."""
        WORLD.start()
        for place in ("XA", "XB", "AD"):
            WORLD.poc(f"{place.lower()}-coordinator", "-y", "confirm", place)
        WORLD.stop()
        with open(self.file, "rb") as file:
            newer = file.read()
        dice = random.Random(4)
        changed = [page for page in range(2, min(len(newer), len(self.bytes)) // PAGE)
                   if newer[page * PAGE:(page + 1) * PAGE] != self.bytes[page * PAGE:(page + 1) * PAGE]]
        for page in dice.sample(changed, min(len(changed), 20)):
            with self.subTest(page=page):
                self.put(newer[:page * PAGE] + self.bytes[page * PAGE:(page + 1) * PAGE] + newer[(page + 1) * PAGE:])
                checked = self.check()
                if self.start() is None:
                    self.assertEqual(checked.status, 0, checked)
                    WORLD.stop()

    def altered(self, at, flip):
        return self.bytes[:at] + bytes([self.bytes[at] ^ flip]) + self.bytes[at + 1:]

    def test_strayed_pages(self):
        """Two pages that changed places, and a page that took the place of another: what a confused disk gives back."""
        dice = random.Random(5)
        pages = [self.bytes[at:at + PAGE] for at in range(0, len(self.bytes), PAGE)]
        for _ in range(ROUNDS // 6):
            one, other = dice.sample(range(2, len(pages)), 2)
            with self.subTest(one=one, other=other):
                swapped, copied = pages[:], pages[:]
                swapped[one], swapped[other] = pages[other], pages[one]
                copied[one] = pages[other]
                self.judge(b"".join(swapped))
                self.judge(b"".join(copied))

    def test_longer_file(self):
        """Bytes behind the last page are nobody's."""
        self.assertTrue(self.judge(self.bytes + b"\xa5" * 5000))

    def test_empty_database(self):
        """A database of LMDB without anything in it."""
        data = bytearray(self.bytes[:2 * PAGE])
        for meta in (0, PAGE):
            for tree in (meta + 16 + 24, meta + 16 + 24 + 48):
                struct.pack_into("<H5Q", data, tree + 6, 0, 0, 0, 0, 0, 0xFFFFFFFFFFFFFFFF)
            struct.pack_into("<QQ", data, meta + 16 + 24 + 2 * 48, 1, 0)
        self.judge(bytes(data), must_refuse=True)

    def test_lock_files(self):
        """What stands in the files of locks does not matter; one that is no file is told of."""
        dice = random.Random(6)
        for content in (b"", b"\0" * 100, dice.randbytes(4096), dice.randbytes(100000)):
            with self.subTest(size=len(content)):
                for name in ("lock.mdb", "pocd.lock"):
                    with open(os.path.join(self.folder, name), "wb") as file:
                        file.write(content)
                self.assertTrue(self.judge(self.bytes))
        for name in ("lock.mdb", "pocd.lock"):
            with self.subTest(folder=name):
                self.restore()
                os.mkdir(os.path.join(self.folder, name))
                self.assertRegex(self.start().err, name + "|directory")

    def test_in_use(self):
        """A second server, and the check, keep off a folder that is served."""
        WORLD.start()
        second = run(POCD, "-c", WORLD.path("pocd.conf"), expect=1, env=WORLD.env)
        self.assertRegex(second.err, r"^pocd: .* is in use by another process\n$")
        self.assertIn("in use by another process", self.check().err)
        self.assertEqual(WORLD.record("xb-reader", "XA"), self.good["XA"])

    def test_no_file(self):
        os.remove(self.file)
        self.assertIn("data.mdb", self.start().err)
        self.assertIn("data.mdb", self.check().err)
        os.mkdir(self.file)
        self.assertIn("data.mdb", self.start().err)
        self.check()

    def test_no_permission(self):
        if os.geteuid() == 0:
            self.skipTest("the superuser may read everything")
        os.chmod(self.file, 0)
        self.assertIn("ermission", self.start().err)
        self.assertIn("ermission", self.check().err)
        os.chmod(self.file, stat.S_IRUSR)
        self.assertIn("ermission", self.start().err)

    def test_no_permission_for_another(self):
        """As the superuser, the same is tried as nobody."""
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("not the superuser, or no setpriv")
        result = run("setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", POCADM, "check", self.folder, expect=None,
                     env=WORLD.env)
        self.assertIn(result.status, range(1, 9))
        self.assertIn("ermission", result.err)


def newest_meta(data):
    """Where the newer meta page begins: the one with the higher transaction."""
    transactions = [struct.unpack_from("<Q", data, page * PAGE + 16 + 24 + 2 * 48 + 8)[0] for page in (0, 1)]
    return PAGE * (transactions[1] > transactions[0])


if __name__ == "__main__":
    main()
