"""What poc saved and exported, judged by an independent verifier (tests/reference, written from docs/protocol.md) and
by `poc verify`: genuine files pass both, every forgery is refused by both."""
import json
import os
import re
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import ROOT, World, main

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import forge  # noqa: E402
import verify  # noqa: E402
from canonical import decode, encode  # noqa: E402

VERIFY = os.path.join(ROOT, "tests", "reference", "verify.py")


def judge(data, directory, reader=verify.Reader()):
    """(exit status, words), as verify.py would end."""
    try:
        proof = verify.Proof(data, directory, reader)
    except verify.Refused as refused:
        return 6, str(refused)
    return max([proof.verdict(finding)[1] for finding in proof.findings], default=0), ""


class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        with open(cls.world.path("directory.info"), encoding="utf-8") as info:
            cls.id = re.search(r"^id = ([0-9a-f]{64})$", info.read(), re.MULTILINE).group(1)
        cls.directory = bytes.fromhex(cls.id)
        cls.older = cls.save("xa-operator", "XB")
        cls.publish_change("XB")
        cls.world.pocadm("-y", "document", "publish", "request", os.path.join(ROOT, "clients/templates/request-for-information.ini"))
        cls.withdrawn_of = cls.save("xa-reader", "AE")
        cls.operator, cls.reader = cls.save("xa-operator", "XB"), cls.save("xa-reader", "XB")
        cls.other, cls.absent = cls.save("xa-operator", "XA"), cls.save("xa-reader", "XZ", expect=5)
        cls.bundles = {}
        for user in ("xa-operator", "xa-reader"):
            path = os.path.join(cls.world.root, user + ".bundle")
            cls.world.poc(user, "-q", "export", "--format", "bundle", path)
            with open(path, "rb") as file:
                cls.bundles[user] = file.read()

    @classmethod
    def publish_change(cls, place):
        """A new version of every section of a state's record."""
        draft = cls.world.record(f"{place.lower()}-coordinator", place)
        for poc in draft["pocs"]:
            for section in poc["sections"]:
                section["content"]["languages"] = ["de"]
        path = os.path.join(cls.world.root, "changed.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(draft, out)
        cls.world.poc(f"{place.lower()}-coordinator", "-y", "publish", path)

    @classmethod
    def save(cls, user, place, expect=0):
        path = os.path.join(cls.world.root, f"{user}-{place}.proof")
        cls.world.poc(user, "lookup", place, "--save", path, expect=expect)
        with open(path, "rb") as file:
            return file.read()

    def write(self, name, data):
        path = os.path.join(self.world.root, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def poc_verify(self, data, name="judged.proof", conf="xa-operator"):
        """Exit status of `poc verify`."""
        return self.world.poc(conf, "--offline", "verify", self.write(name, data), expect=None)

    def by_both(self, forgeries):
        """Every (label, why, bytes) is refused, by verify.py for that reason; why None: accepted."""
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda each: self.poc_verify(each[1][2], f"{each[0]}.forged").status,
                                    enumerate(forgeries)))
        for (label, why, data), answer in zip(forgeries, answers):
            with self.subTest(label):
                status, words = judge(data, self.directory)
                self.assertEqual(status, 0 if why is None else 6, words)
                self.assertRegex(words, why or "^")
                self.assertEqual(answer, 0 if why is None else 6)

    # --- Genuine ---

    def test_genuine_files_pass(self):
        duty, plain = verify.Reader("XA", ["operator"]), verify.Reader("XA", ["reader"])
        cases = [(self.operator, duty, 0), (self.operator, plain, 0), (self.reader, plain, 0), (self.other, duty, 0),
                 (self.absent, plain, 5),
                 (self.bundles["xa-operator"], duty, 0), (self.bundles["xa-reader"], plain, 0)]
        for data, reader, expected in cases:
            self.assertEqual(judge(data, self.directory, reader), (expected, ""))
            self.assertEqual(self.poc_verify(data).status, expected)

    def test_program_says_what_it_found(self):
        def program(data, *options):
            path = self.write("program.proof", data)
            return subprocess.run([sys.executable, VERIFY, "--id", self.id, *options, path], capture_output=True,
                                  text=True, check=False)

        done = program(self.operator, "--state", "XA", "--role", "operator")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout,
                         r"^XB: fresh, 3 sections, 0 withheld\nas of \d+, checkpoint \d+, 0 cosigners, under T\(1\)")
        self.assertEqual(program(self.absent).returncode, 5)
        self.assertEqual(program(self.operator[:-1]).returncode, 6)
        self.assertEqual(program(self.operator, "--quorum", "1").returncode, 6)
        self.assertEqual(program(self.operator, "--state", "XA", "--role", "editor").returncode, 0)
        self.assertEqual(program(self.reader, "--state", "XA", "--role", "editor").returncode, 6)

    def test_encoder_gives_the_same_bytes(self):
        for data in (self.operator, self.absent, *self.bundles.values()):
            self.assertEqual(encode("Proof", decode("Proof", data)), data)

    def test_withdrawn_is_proven(self):
        self.world.poc("ae-coordinator", "-y", "withdraw", "AE")
        data = self.save("xa-reader", "AE", expect=5)
        self.assertEqual(judge(data, self.directory), (5, ""))
        self.assertEqual(self.poc_verify(data).status, 5)
        mixed, before = decode("Proof", data), decode("Proof", self.withdrawn_of)
        forge.item(mixed, "R/AE").update(envelopes=forge.item(before, "R/AE")["envelopes"],
                                         sections=forge.item(before, "R/AE")["sections"])
        self.by_both([("a record from before its withdrawal", "map proof", encode("Proof", mixed))])

    def test_document_example(self):
        directory, data, parts = forge.example()
        with open(os.path.join(ROOT, "docs", "protocol.md"), encoding="utf-8") as document:
            text = document.read()
        example, file = text[text.index("## 17 Worked example"):].split("**The saved file**")
        self.assertEqual("".join(re.findall(r"^    ([0-9a-f]+)$", file, re.MULTILINE)), data.hex())
        example = re.sub(r"\s+", "", example)
        for part in (directory, parts["section"], parts["digest"], parts["record"], *parts["values"].values(),
                     parts["proof"]["checkpoint"]["leaf"]):
            self.assertIn(part.hex(), example)
        self.assertEqual(judge(data, directory), (0, ""))
        conf = os.path.join(self.world.path("users"), "example.conf")
        with open(conf, "w", encoding="utf-8") as out:
            out.write(f"[directory]\nid = {directory.hex()}\n[state]\ndir = example.state\n")
        os.chmod(conf, 0o600)
        self.assertEqual(self.poc_verify(data, conf="example").status, 0)

    # --- Forged ---

    def test_every_changed_byte_is_refused(self):
        for data in (self.absent, self.reader):
            for place in range(len(data)):
                changed = bytearray(data)
                changed[place] ^= 1 << place % 8
                self.assertEqual(judge(bytes(changed), self.directory)[0], 6, f"byte {place}")

    def test_poc_refuses_changed_bytes(self):
        changed = []
        for place in range(3, len(self.reader), len(self.reader) // 30):
            data = bytearray(self.reader)
            data[place] ^= 1 << place % 8
            changed.append((f"byte {place}", "", bytes(data)))
        self.by_both(changed)

    def test_every_truncation_is_refused(self):
        for size in range(len(self.reader)):
            self.assertEqual(judge(self.reader[:size], self.directory)[0], 6, f"{size} bytes")
        sizes = [*range(0, len(self.reader), len(self.reader) // 12), len(self.reader) - 1]
        self.by_both([(f"{size} bytes", "", self.reader[:size]) for size in sizes] + [("one byte more", "",
                                                                                       self.reader + b"\0")])

    def test_carriers_forgeries(self):
        made = forge.carrier(self.operator, self.older, self.absent, self.other, self.bundles["xa-operator"],
                             forge.Signer.fresh())
        genuine = {self.operator, self.older, self.absent, self.other}
        self.assertFalse([label for label, data in made if data in genuine])
        self.by_both([(label, "", data) for label, data in made])

    def test_lines_that_a_carrier_may_add(self):
        """Of unknown keys and repeated ones: ignored, so that they change nothing."""
        note, stranger = decode("Proof", self.operator)["checkpoint"]["note"], forge.Signer.fresh()
        text, line = note[:note.rindex(b"\n\n") + 1], note[note.rindex(b"\n\n") + 2:]
        origin = text.split(b"\n")[0].decode()
        more = [("a stranger's line", [forge.note_line("stranger.example", 1, stranger, text)]),
                ("a stranger's line under the log's name", [forge.note_line(origin, 1, stranger, text)]),
                ("the log's line again", [line]), ("thirty-two lines", [line] * 31)]
        made = []
        for label, lines in more:
            proof = decode("Proof", self.operator)
            proof["checkpoint"]["note"] = note + b"".join(lines)
            made.append((label, None, encode("Proof", proof)))
            self.assertEqual(verify.Proof(made[-1][2], self.directory).checkpoint.size,
                             verify.Proof(self.operator, self.directory).checkpoint.size)
        proof["checkpoint"]["note"] += line
        self.by_both(made + [("thirty-three lines", "32 signature lines", encode("Proof", proof))])

    def test_missing_section_that_only_some_may_see(self):
        """AMBER: poc verify does not know whose file it is and calls it withheld; told who reads, verify.py refuses."""
        proof = decode("Proof", self.operator)
        entry = forge.item(proof, "R/XB")
        references = verify.Envelope(entry["envelopes"][0]).references()
        digests = [ref["digest"] for _, ref in references if ref["tlp"] == verify.AMBER]
        entry["sections"] = [each for each in entry["sections"] if forge.sha(b"pocd-section-v1\n", each) not in digests]
        data = encode("Proof", proof)
        self.assertEqual(judge(data, self.directory, verify.Reader("XA", ["reader"])), (0, ""))
        for reader in (verify.Reader("XA", ["operator"]), verify.Reader("XA", ["editor"]),
                       verify.Reader("XB", ["reader"]), verify.Reader("XB", ["editor"]),
                       verify.Reader("@directory", ["admin"])):
            status, words = judge(data, self.directory, reader)
            self.assertEqual(status, 6)
            self.assertIn("persons is missing", words)

    def test_other_encodings(self):
        made = list(forge.re_encoded(self.reader))
        for label, data in made:
            self.assertEqual(judge(data, self.directory)[0], 6, label)
        self.by_both([(label, "", data) for label, data in made[::max(1, len(made) // 60)]])

    def test_operators_forgeries(self):
        world, load = self.world, forge.Signer.load
        made = forge.operator(self.operator, load(world.path("keys", "log.key")), load(world.path("keys", "root.key")),
                              load(world.path("states", "XB-authority.key")),
                              load(world.path("states", "XB-signing.key")), forge.Signer.fresh())
        self.by_both(made)

    def test_verdicts(self):
        """What T, S and K say of a state and its record, read alike by both."""
        load, path = forge.Signer.load, self.world.path
        for label, status, words, data in forge.verdicts(self.operator, load(path("keys", "log.key")), load(path("keys", "root.key")),
                                                         load(path("keys", "enrolment.key")), load(path("states", "XB-authority.key")),
                                                         forge.Signer.fresh()):
            with self.subTest(label):
                proof = verify.Proof(data, self.directory)
                self.assertEqual(proof.verdict(proof.findings[0]), (words, status))
                told = self.world.poc("xa-operator", "--offline", "-o", "json", "verify", self.write("judged.proof", data), expect=status)
                if status != 6:
                    verdict = told.json["verdict"]
                    self.assertEqual((verdict["status"] == "suspended", verdict["replaced"]), (words == "suspended", "replaced" in words))

    def test_times_of_cosignatures(self):
        load, made = forge.Signer.load, []
        for label, why, when, data in forge.cosignatures(self.operator, load(self.world.path("keys", "log.key")),
                                                         load(self.world.path("keys", "root.key"))):
            made.append((label, why, data))
            if why is None:
                self.assertEqual(verify.Proof(data, self.directory).time, when, label)
                told = self.world.poc("xa-operator", "--offline", "-o", "json", "verify", self.write("judged.proof", data))
                self.assertIn(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)), told.out, label)
        self.by_both(made)

    def test_documents_forgeries(self):
        load = forge.Signer.load
        self.by_both(forge.documents(self.bundles["xa-reader"], load(self.world.path("keys", "log.key")),
                                     load(self.world.path("keys", "coordinator.key")), forge.Signer.fresh()))


if __name__ == "__main__":
    main()
