"""Ceremony files, read by an independent reader (tests/reference/ceremony.py, written from docs/protocol.md alone) and by the
real programs: both say the same of genuine ones, drafted, half signed, signed by copies; both refuse every forgery."""
import os
import shutil
import subprocess
import sys
import unittest

from harness import POC, POCADM, ROOT, World, main, run

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import ceremony  # noqa: E402
import forge  # noqa: E402
import forge_ceremony  # noqa: E402
from canonical import decode, encode  # noqa: E402
from verify import Refused  # noqa: E402

PROGRAM = os.path.join(ROOT, "tests", "reference", "ceremony.py")


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Ceremonies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        cls.addClassCleanup(world.close)
        cls.id = world.setting("xa-reader", "directory", "id")
        cls.directory = bytes.fromhex(cls.id)
        cls.keys = {name: cls.key(name) for name in ("root-2", "root-3", "enrolment-2", "xb-2", "xb-3")}
        cls.root, cls.authority = world.path("keys/root.key"), world.path("states/XB-authority.key")
        cls.trust = cls.draft("trust", "--root-add", cls.keys["root-2"][1], "--root-add", cls.keys["root-3"][1], "--root-drop", cls.root,
                              "--root-threshold", "2")
        cls.both = cls.draft("both", "--enrolment-add", cls.keys["enrolment-2"][1], "--enrolment-drop", world.path("keys/enrolment.key"))
        cls.state = world.path("state.ceremony")
        world.poc("xb-coordinator", "-y", "state", "draft", cls.state, "--authority-add", cls.keys["xb-2"][1], "--authority-add",
                  cls.keys["xb-3"][1], "--authority-drop", cls.authority, "--threshold", "2")
        cls.other_state = world.path("other.ceremony")
        world.poc("xa-coordinator", "-y", "state", "draft", cls.other_state)

    @classmethod
    def key(cls, name):
        path = cls.world.path(name + ".key")
        run(POC, "key", "new", path, "--type", "p384", env=cls.world.env)
        run("openssl", "pkey", "-in", path, "-pubout", "-out", path[:-4] + ".pub")
        return path, path[:-4] + ".pub"

    @classmethod
    def draft(cls, name, *flags):
        path = cls.world.path(name + ".ceremony")
        cls.world.pocadm("-y", "trust", "draft", path, *flags)
        return path

    def sign(self, path, key, *copies):
        program, group = (POC, "state") if "state" in os.path.basename(path) else (POCADM, "trust")
        run(program, "-y", group, "sign", path, *copies, "--key", key, "--directory", self.world.path("directory.info"), env=self.world.env)

    def copy(self, path, name):
        return shutil.copy(path, os.path.join(os.path.dirname(path), name + "-" + os.path.basename(path)))

    def shown(self, path, *copies, expect=0):
        """What the real program says of a file."""
        if "state" in os.path.basename(path):
            return self.world.poc("xb-coordinator", "-o", "json", "state", "show", path, *copies, expect=expect)
        return self.world.pocadm("-o", "json", "trust", "show", path, *copies, expect=expect)

    def judge(self, data):
        return ceremony.Ceremony(data, self.directory)

    def same(self, path, missing, *copies):
        """Both read the same in a file, and in its copies together."""
        ours, theirs = self.judge(read(path)), self.shown(path, *copies).json
        for each in copies:
            ours = self.judge(ours.merged(self.judge(read(each))))
        self.assertEqual((ours.missing, theirs["missing"]), (missing, missing))
        self.assertEqual(theirs["directory"], self.id)
        self.assertEqual([(each.envelope.name.text, each.envelope.seq, each.code) for each in ours.proposals],
                         [(each["name"], each["seq"], each["code"]) for each in theirs["proposals"]])
        for one, other in zip(ours.proposals, theirs["proposals"]):
            self.assertEqual([(group.threshold, len(group.signed), group.missing, [(ceremony.fingerprint(key.id), key.id in group.signed)
                                                                                   for key in group.keys]) for group in one.groups],
                             [(group["needed"], group["signed"], group["missing"], [(key["fingerprint"], key["signed"])
                                                                                    for key in group["keys"]]) for group in other["signatures"]])
        return ours

    def test_trust(self):
        path = self.copy(self.trust, "a")
        found = self.same(path, 3)
        self.assertEqual([group.title for group in found.proposals[0].groups], ["root keys of T(1)", "root keys of T(2)"])
        other = self.copy(path, "b")
        self.sign(path, self.root)
        self.same(path, 2)
        self.sign(other, self.keys["root-2"][0])
        self.same(other, 2)
        self.same(path, 1, other)
        self.assertRegex(self.world.pocadm("-y", "trust", "publish", path, other, expect=6).err, "1 signature is missing")
        self.sign(path, self.keys["root-3"][0], other)
        self.same(path, 0)
        self.same(other, 0, path)

    def test_trust_and_register(self):
        path = self.copy(self.both, "a")
        found = self.same(path, 3)  # one signature of the root key, for both lists, and one of the enrolment key
        self.assertEqual([each.envelope.name.text for each in found.proposals], ["T", "S"])
        self.sign(path, self.root)
        self.same(path, 1)
        self.sign(path, self.keys["enrolment-2"][0])
        self.same(path, 0)

    def test_keys(self):
        path = self.copy(self.state, "a-state")
        found = self.same(path, 3)
        self.assertEqual([group.title for group in found.proposals[0].groups], ["authority keys of K/XB(1)", "authority keys of K/XB(2)"])
        for missing, key in ((2, self.authority), (1, self.keys["xb-2"][0]), (0, self.keys["xb-3"][0])):
            self.sign(path, key)
            self.same(path, missing)

    def test_program(self):
        def program(*files):
            done = subprocess.run([sys.executable, PROGRAM, "--id", self.id, *files], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

        path, other = self.copy(self.trust, "c"), self.copy(self.trust, "d")
        self.sign(path, self.root)
        self.sign(other, self.keys["root-2"][0])
        status, words = program(path, other)
        self.assertEqual(status, 1)
        self.assertRegex(words, r"^T\(2\), code to compare (\w{4}-){7}\w{4}\n  root keys of T\(1\): 1 of 1 have signed\n")
        self.assertIn("\n1 signatures are missing\n", words)
        self.sign(other, self.keys["root-3"][0])
        self.assertEqual(program(path, other)[0], 0)
        self.assertEqual(program(path, self.both)[0], 6)  # copies of different ceremonies
        self.assertEqual(program(self.world.path("pocd.conf"))[0], 6)

    def test_encoder_gives_the_same_bytes(self):
        for path in (self.trust, self.both, self.state):
            self.assertEqual(encode("Ceremony", decode("Ceremony", read(path))), read(path))

    # --- Forged ---

    def refused(self, data):
        """By our reader: why; empty: it is read."""
        try:
            self.judge(data)
        except Refused as why:
            return str(why)
        return ""

    def refused_by_program(self, data, name):
        path = self.world.path(name)
        with open(path, "wb") as file:
            file.write(data)
        return self.shown(path, expect=None).status

    def complete(self, path, name, *keys):
        path = self.copy(path, name)
        for key in keys:
            self.sign(path, key)
        return read(path)

    def test_every_changed_byte_is_refused(self):
        trust = self.complete(self.trust, "e", self.root, self.keys["root-2"][0], self.keys["root-3"][0])
        keys = self.complete(self.state, "e-state", self.authority, self.keys["xb-2"][0], self.keys["xb-3"][0])
        for data, name in ((trust, "changed.ceremony"), (keys, "changed-state.ceremony")):
            for place in range(len(data)):
                changed = bytearray(data)
                changed[place] ^= 1 << place % 8
                self.assertNotEqual(self.refused(bytes(changed)), "", f"byte {place}")
                if place % (len(data) // 24) == 7:
                    self.assertNotEqual(self.refused_by_program(bytes(changed), name), 0, f"byte {place}")
            for size in range(0, len(data), 7):
                self.assertNotEqual(self.refused(data[:size]), "", f"{size} bytes")

    def test_changed_draft_has_another_code(self):
        """What nobody has signed yet is what people compare by its code."""
        data = read(self.trust)
        code, seen = self.judge(data).proposals[0].code, 0
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            if not self.refused(bytes(changed)):
                self.assertNotEqual(self.judge(bytes(changed)).proposals[0].code, code, f"byte {place}")
                seen += 1
        self.assertGreater(seen, 0)

    def by_both(self, made, name):
        for label, why, data in made:
            with self.subTest(label):
                words = self.refused(data)
                self.assertRegex(words or "read", why or "^read$")
                self.assertEqual(self.refused_by_program(data, name) != 0, why is not None, words)

    def test_forged_trust(self):
        load = forge.Signer.load
        foreign = forge.example()[1]
        self.by_both(forge_ceremony.of_trust(read(self.trust), load(self.root), load(self.keys["root-2"][0]), forge.Signer.fresh(), foreign),
                     "forged.ceremony")

    def test_forged_keys(self):
        load = forge.Signer.load
        self.by_both(forge_ceremony.of_keys(read(self.state), load(self.authority), load(self.keys["xb-2"][0]), forge.Signer.fresh(),
                                            read(self.other_state)), "forged-state.ceremony")

    def test_other_encodings(self):
        for path in (self.trust, self.state):
            for label, data in forge.recodings(read(path)):
                self.assertNotEqual(self.refused(data), "", label)


if __name__ == "__main__":
    main()
