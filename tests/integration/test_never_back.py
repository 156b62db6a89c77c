"""Never back, through the programs: 7 for a directory that is merely older than what was seen, 6 for one with another story."""
import os
import re
import shutil
import unittest
import unittest.mock

from harness import World, full_disk, main, shifted

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


class NeverBack(unittest.TestCase):
    """The directory's folder is put back to an earlier day, and then told another story."""

    def test_behind_and_inconsistent(self):
        reader, without = WORLD.variant("xa-reader", "memory", {}), WORLD.variant("xa-reader", "memory2", {})
        WORLD.stop()
        shutil.copytree(WORLD.path("data"), WORLD.path("data.old"))
        WORLD.start()
        for _ in range(3):
            WORLD.poc("xb-coordinator", "-y", "-q", "confirm")
        for name in (reader, without):
            WORLD.poc(name, "sync")
        for file in os.listdir(folder := self.folder(without)):
            if file.startswith("copy"):
                os.unlink(os.path.join(folder, file))
        held = WORLD.poc(reader, "-o", "json", "--offline", "status").json["checkpoint"]["size"]
        WORLD.stop()
        shutil.rmtree(WORLD.path("data"))
        os.rename(WORLD.path("data.old"), WORLD.path("data"))
        result = WORLD.start(expect_ready=False)
        self.assertEqual(result.status, 1)
        self.assertRegex(result.err, r"^pocd: this database is older than what the log key has signed: .*\n$")
        WORLD.forget_signed()
        WORLD.start()
        fresh = WORLD.variant("xb-coordinator", "fresh", {})
        self.behind(reader, without, held)
        for _ in range(5):
            WORLD.poc(fresh, "-y", "-q", "confirm")
        self.inconsistent(reader, held)

    def folder(self, name):
        return next(f for f, _, files in os.walk(WORLD.path("users", name + ".state")) if "held" in files)

    def refused_server(self, reader, status, words):
        result = WORLD.poc(reader, "status", expect=status)
        self.assertIn(f"server      REFUSED: {words}\n", result.out)
        shown = re.search(r"(?m)^refused     checkpoint of size (\d+), of (\S+Z)$", result.out)
        told = WORLD.poc(reader, "-o", "json", "status", expect=status).json
        self.assertEqual(told["refused_checkpoint"], {"size": int(shown[1]), "time": shown[2]})
        at_first = WORLD.poc(WORLD.variant("xa-reader", f"first-{status}", {}), "-o", "json", "status").json["checkpoint"]
        self.assertLessEqual((int(shown[1]), shown[2]), (at_first["size"], at_first["time"]))  # as at first contact
        self.assertRegex(result.err, r"^poc: .*[tT]ell the directory's staff.*--offline answers from the verified copy\.  If the staff says.*\n$")

    def behind(self, reader, without, held):
        result = WORLD.poc(reader, "lookup", "XB", expect=7)
        self.assertTrue(result.out.startswith("OFFLINE, copy of "), result)
        self.assertIn("fresh", result.out)
        for result in (result, WORLD.poc(reader, "search", "XB-CERT", expect=7)):
            self.assertIn("XB-CERT", result.out)
            self.assertIn("behind", result.err.splitlines()[0])
            self.assertRegex(result.err.splitlines()[1], "verified, from the local copy: what came since is not known")
            self.assertNotIn("stale", result.err)
        for words in (["--online", "lookup", "XB"], ["sync"], ["history", "XB"], ["--online", "search", "XB"]):
            result = WORLD.poc(reader, *words, expect=7)
            self.assertEqual((result.out, len(result.err.splitlines())), ("", 1), result)
            self.assertIn("behind", result.err)
        self.refused_server(reader, 7, "it is behind what was verified before")
        self.assertEqual(WORLD.poc(reader, "-o", "json", "--online", "lookup", "XB", expect=7).json["error"]["code"], "behind")
        self.assertIn("behind", WORLD.poc(without, "lookup", "XB", expect=7).err)
        self.assertEqual(WORLD.poc(reader, "-o", "json", "--offline", "status").json["checkpoint"]["size"], held)

    def inconsistent(self, reader, held):
        for words in (["lookup", "XB"], ["sync"], ["search", "XB"], ["status"], ["history", "XB"]):
            result = WORLD.poc(reader, *words, expect=6)
            self.assertEqual(len(result.err.splitlines()), 1, result)
            self.assertRegex(result.err, "checkpoint")
        self.assertEqual(WORLD.poc(reader, "-o", "json", "lookup", "XB", expect=6).json["error"]["code"], "unverified")
        self.refused_server(reader, 6, "what it shows does not verify")
        self.assertEqual(WORLD.poc(reader, "lookup", "XB", expect=6, preexec_fn=full_disk).out, "")
        # what was held is held still, and works offline
        self.assertEqual(WORLD.poc(reader, "-o", "json", "--offline", "status").json["checkpoint"]["size"], held)
        WORLD.poc(reader, "--offline", "lookup", "XB")


class ServerClock(unittest.TestCase):
    def test_ahead(self):
        """What is stored under a server's clock that is a day ahead is called stored, not proven, and the reason is said; with its
        clock right again the daemon says what has happened, and lookups go on.  (It stays a day ahead: the last test.)"""
        signer, reader = WORLD.variant("xb-coordinator", "signer", {}), WORLD.variant("xb-reader", "lasting", {})
        before = WORLD.poc(reader, "-o", "json", "lookup", "XB").json["verdict"]["checkpoint"]["size"]
        WORLD.stop()
        with unittest.mock.patch.dict(WORLD.env, shifted(86400)):
            WORLD.start()
        result = WORLD.poc(signer, "-y", "confirm", expect=8)
        self.assertRegex(result.out, r"R/XB version \d+: stored 20\S+, not yet proven")
        self.assertRegex(result.err, r"^poc: stored, but publication could not be verified yet: .*minutes in the future.*\n$")
        WORLD.stop()
        since = len(WORLD.log())
        WORLD.start()
        self.assertRegex(WORLD.log()[since:], r"clock\.behind seconds=86\d\d\d than=\"the last checkpoint\"")
        result = WORLD.poc(reader, "-o", "json", "lookup", "XB", expect=7)
        self.assertGreater(result.json["verdict"]["checkpoint"]["size"], before)


if __name__ == "__main__":
    main()
