"""The database in one file: taken from a running daemon under writes, checked where it lies, restored, served again."""
import hashlib
import os
import shutil
import threading
import unittest

from harness import POCADM, World, file_limit, main, run


class Writers:
    """Coordinators who confirm their records, over and over, while a block runs."""

    def __init__(self, world, states):
        self.world, self.stopped, self.done = world, threading.Event(), dict.fromkeys(states, 0)
        self.threads = [threading.Thread(target=self.write, args=(state,)) for state in states]

    def write(self, state):
        while not self.stopped.is_set():
            self.world.poc(f"{state.lower()}-coordinator", "-y", "-q", "confirm")
            self.done[state] += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Backup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def path(self, name):
        return os.path.join(self.world.root, name)

    def refused(self, status, words, *command):
        result = self.world.pocadm(*command, expect=status)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        for word in words:
            self.assertIn(word, result.err)
        self.assertEqual(result.out, "", result)

    def seq(self, state):
        return self.world.poc("xa-reader", "-o", "json", "history", state).json["versions"][-1]["seq"]

    def test_whole(self):
        world, saved, folder = self.world, self.path("saved"), self.path("restored")
        early = world.variant("xa-reader", "early", {})
        world.poc(early, "lookup", "XB")
        with Writers(world, ("XA", "XB", "AD")) as writers:
            while min(writers.done.values()) < 2:
                threading.Event().wait(0.05)
            stored = {state: self.seq(state) for state in writers.done}
            report = world.pocadm("-o", "json", "backup", saved).json
            before = dict(writers.done)
            while any(writers.done[state] < before[state] + 3 for state in before):
                threading.Event().wait(0.05)
        self.assertEqual(report["schema"], "poc.backup/1")
        self.assertEqual(os.stat(saved).st_mode & 0o777, 0o600)
        self.assertEqual(sorted(name for name in os.listdir(self.world.root) if name.startswith("saved")), ["saved"])
        # never over a file; --data and the dry run
        self.refused(1, ["exists already"], "backup", saved)
        self.refused(5, ["nowhere"], "backup", "--data", self.path("nowhere"), self.path("other"))
        self.assertEqual(run(POCADM, "backup", self.path("other"), expect=2, env=world.env).err,
                         "pocadm: which data folder? There is none beside the configuration: --data FOLDER\n")
        self.assertIn("dry run", world.pocadm("-n", "backup", "--data", world.path("data"), self.path("other")).err)
        self.assertFalse(os.path.exists(self.path("other")))
        # the same is found where the file lies, and once it is restored
        for each in ("check", "restore"):
            words = ["-y", each, saved] + ([folder] if each == "restore" else [])
            found = world.pocadm("-o", "json", *words).json
            self.assertEqual(found, {**report, "schema": f"poc.{each}/1"})
        self.assertEqual(os.listdir(os.path.dirname(saved)).count("restored"), 1)
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        self.assertIn("good:", world.pocadm("check", folder).out)
        self.refused(1, ["is not empty"], "-y", "restore", saved, folder)
        # who has seen more finds it behind; who has seen less goes on
        late = world.variant("xa-reader", "late", {})
        world.poc(late, "lookup", "XB")
        world.stop()
        with world.settings(reload=False, store__path=folder):
            refused = world.start(expect_ready=False)
            self.assertRegex(refused.err, "older than what the log key has signed.* was a backup restored")
            world.forget_signed()
            world.start()
            result = world.poc(late, "--online", "lookup", "XB", expect=7)
            self.assertIn("the server is behind", result.err)
            self.assertIn("poc(1), GOING BACK", result.err)
            self.assertIn("fresh", world.poc(early, "lookup", "XB").out)
            restored = world.variant("xa-reader", "new", {})
            for state, seq in stored.items():
                versions = world.poc(restored, "-o", "json", "history", state).json["versions"]
                self.assertGreaterEqual(versions[-1]["seq"], seq)
            world.poc("ae-coordinator", "-y", "confirm")
            for _ in range(60):  # until the log has grown past what was seen: it is another one then
                if world.poc(late, "--online", "lookup", "XB", expect=None).status != 7:
                    break
                world.poc("ae-coordinator", "-y", "confirm")
            self.going_back(late)
            world.stop()
            # a daemon that stands still can be copied too; and the copy of a copy is as good
            again = world.pocadm("-o", "json", "backup", "--data", folder, self.path("again")).json
            self.assertGreater(again["leaves"], report["leaves"])
        world.forget_signed()
        world.start()
        world.poc(late, "lookup", "XB")

    def going_back(self, late):
        """What poc(1) says to whoever believes that the directory goes on from a backup."""
        world = self.world
        held = os.path.join(world.path("users"), world.setting(late, "state", "dir"))
        self.assertIn("poc(1), GOING BACK", world.poc(late, "--online", "lookup", "XB", expect=6).err)
        world.poc(late, "--offline", "lookup", "XB")
        os.rename(held, held + ".before")
        world.poc(late, "status")
        world.poc(late, "lookup", "XB")
        shutil.rmtree(held)
        os.rename(held + ".before", held)

    def test_damage(self):
        """Whatever is wrong with the file is told, and leaves nothing behind."""
        saved, bad, folder = self.path("good"), self.path("bad"), self.path("unmade")
        self.world.pocadm("backup", saved)
        with open(saved, "rb") as file:
            good = file.read()

        def refused(content, status, *words):
            with open(bad, "wb") as file:
                file.write(content)
            self.refused(2 if status == "none" else status, words, "check", bad)
            self.refused(1, words, "restore", bad, folder)
            self.assertFalse(os.path.exists(folder))
        for place in range(5, len(good) - 80, len(good) // 6):
            refused(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:], 1, "is damaged: its SHA-256")
        for size in (0, 79, 80, 4096, len(good) // 2, len(good) - 1):
            refused(good[:size], "none", "is no backup of pocadm, or it was cut short")
        refused(good[:-2] + (b"0" if good[-2:-1] != b"0" else b"1") + good[-1:], 1, "is damaged: its SHA-256")
        # a line that fits what has no directory in it
        for image in (b"\0" * 65536, b"text\n" * 9000):
            line = f"pocd-backup-v1 {hashlib.sha256(image).hexdigest()}\n".encode("ascii")
            refused(image + line, 1, "damaged")
        os.mkdir(folder)  # one that is there and empty stays
        self.refused(1, ["cut short"], "restore", self.world.path("pocd.conf"), folder)
        self.assertEqual(os.listdir(folder), [])
        self.world.pocadm("-n", "restore", saved, folder)
        self.assertEqual(os.listdir(folder), [])
        os.rmdir(folder)

    def test_no_room(self):
        saved = self.path("small-one")
        size = os.path.getsize(self.world.path("data", "data.mdb"))
        result = self.world.pocadm("backup", saved, expect=1, preexec_fn=file_limit(size // 4))
        self.assertIn("File too large", result.err)
        self.assertEqual([name for name in os.listdir(self.world.root) if name.startswith("small-one")], [])
        self.world.pocadm("backup", saved)
        folder = self.path("small")
        result = self.world.pocadm("-y", "restore", saved, folder, expect=1, preexec_fn=file_limit(size // 4))
        self.assertIn("File too large", result.err)
        self.assertFalse(os.path.exists(folder))
        shutil.copy(saved, self.path("moved"))  # a backup may be moved about
        self.refused(2, ["No auditor watches", "newest that was ever published"], "restore", self.path("moved"), folder)
        self.assertFalse(os.path.exists(folder))
        self.world.pocadm("-y", "restore", self.path("moved"), folder)


if __name__ == "__main__":
    main()
