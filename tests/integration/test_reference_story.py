"""Saved stories of notices, judged by an independent verifier (tests/reference/story.py, written from docs/protocol.md) and by
`poc verify`: genuine ones pass both, every forgery is refused by both."""
import os
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import ROOT, SLOW, World, main

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import forge  # noqa: E402
import forge_story  # noqa: E402
import story  # noqa: E402
from canonical import decode, encode  # noqa: E402
from verify import Refused  # noqa: E402

CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus")
SCHEMA = "NoticeStory"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sealed_seed():
    """(body, key ids) of a genuine CMS body."""
    header = story.Notice(read(os.path.join(CORPUS, "notice", "header")))
    return read(os.path.join(CORPUS, "sealed", "body")), header.keys()


class Stories(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        cls.directory = bytes.fromhex(cls.world.setting("xa-reader", "directory", "id"))
        cls.notice = cls.send()
        cls.world.poc("xb-operator", "notice", "show", cls.notice)
        cls.world.poc("xb-operator", "notice", "ack", cls.notice, "--answer-by", "12h")
        cls.older = cls.save(cls.notice, "acknowledged")
        cls.world.poc("xb-operator", "notice", "accept", cls.notice)
        cls.saved = cls.save(cls.notice, "accepted")
        other = cls.send()
        cls.world.poc("xb-operator", "notice", "show", other)
        cls.world.poc("xb-operator", "notice", "ack", other)
        cls.other = cls.save(other, "acknowledged")

    @classmethod
    def send(cls, *words):
        return cls.world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "Scans", "--text",
                             "We see scans.", *words).json["id"]

    @classmethod
    def save(cls, notice, step, user="xa-operator"):
        """The saved story once it holds a step."""
        path, end = os.path.join(cls.world.root, "saved.story"), time.monotonic() + 10 * SLOW
        while time.monotonic() < end:
            status = cls.world.poc(user, "-o", "json", "notice", "status", notice, "--save", path).json
            if any(each["step"] == step and each["proven"] for each in status["steps"]):
                return read(path)
            time.sleep(0.1)
        raise AssertionError(f"{step} was never proven")

    def judge(self, data):
        """(exit status, words), as story.py would end."""
        try:
            story.Story(data, self.directory)
        except Refused as refused:
            return 6, str(refused)
        return 0, ""

    def poc_verify(self, data, name="judged.story", user="xa-reader"):
        path = os.path.join(self.world.root, name)
        with open(path, "wb") as file:
            file.write(data)
        try:
            return self.world.poc(user, "--offline", "verify", path, expect=None)
        finally:
            os.unlink(path)

    def by_both(self, forgeries):
        """Every (label, why, bytes) is refused, by story.py for that reason; why None: accepted."""
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda each: self.poc_verify(each[1][2], f"{each[0]}.forged"), enumerate(forgeries)))
        for (label, why, data), answer in zip(forgeries, answers):
            with self.subTest(label):
                status, words = self.judge(data)
                self.assertEqual(status, 0 if why is None else 6, words)
                self.assertRegex(words, why or "^")
                self.assertEqual(answer.status, 0 if why is None else 6, str(answer))

    # --- Genuine ---

    def test_genuine_files_pass(self):
        notice = self.send("--urgency", "urgent")
        self.world.poc("xb-operator", "notice", "decline", notice, "--reason", "wrong-recipient")
        self.world.poc("xa-operator", "notice", "close", notice)
        seen = [self.save(notice, "closed", user) for user in ("xa-operator", "xb-operator")]
        self.by_both([("a genuine file", None, data) for data in (self.saved, self.older, self.other, *seen)])

    def test_program_says_what_it_found(self):
        def program(data, *options):
            path = os.path.join(self.world.root, "program.story")
            with open(path, "wb") as file:
                file.write(data)
            return subprocess.run([sys.executable, os.path.join(ROOT, "tests", "reference", "story.py"), "--id",
                                   self.directory.hex(), *options, path], capture_output=True, text=True, check=False)

        done = program(self.saved)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^sent XA technical: anchored at \d+, by operator of XA, listed at \d+$")
        self.assertRegex(done.stdout, r"(?m)^stored: anchored at \d+, by the directory$")
        self.assertRegex(done.stdout, r"(?m)^accepted XB technical: .* by operator of XB")
        self.assertNotIn("not in this story", done.stdout)
        self.assertEqual(program(self.saved[:-1]).returncode, 6)
        self.assertEqual(program(self.saved, "--quorum", "1").returncode, 6)

    def test_last_answer_by_counts(self):
        """Both verifiers, and the recipient's own list, take the last time that was given; the others stay in the story."""
        world, notice = self.world, self.send()
        for time_given in "2h", "5h", None, "3h":
            words = ["--answer-by", time_given] if time_given else []
            world.poc("xb-operator", "notice", "ack", notice, *words)
        world.poc("xb-operator", "notice", "accept", notice)
        again = ["notice", "ack", notice, "--answer-by", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1000 * 86400))]
        self.assertIn("stored", world.poc("xb-operator", *again).out)
        self.assertIn("has said", world.poc("xb-operator", *again).out)
        data = self.save(notice, "accepted")
        said = story.Story(data, self.directory)
        times = [step.item.get("answer_by") for step in said.steps[1:] if isinstance(step.item, story.Receipt)]
        self.assertEqual([value > 0 for value in times], [True, True, True, False, True])
        self.assertEqual(said.expected(), {("XB", 1): times[4]})
        path = os.path.join(world.root, "answers.story")
        with open(path, "wb") as file:
            file.write(data)
        steps = [each for each in world.poc("xa-reader", "--offline", "-o", "json", "verify", path).json["steps"]
                 if "answer_by" in each]
        self.assertEqual([each["replaced"] for each in steps], [True, True, True, False])
        last = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(times[4]))
        self.assertEqual(steps[3]["answer_by"], last)
        self.assertEqual(world.poc("xa-reader", "--offline", "verify", path).out.count("(replaced later)"), 3)
        for user, words in ("xa-operator", ["--sent"]), ("xb-operator", []):
            listed = world.poc(user, "-o", "json", "notice", "list", *words).json["notices"]
            self.assertEqual([each["recipients"][0]["answer_by"] for each in listed if each["id"] == notice], [last])

    def test_missing_steps_are_named(self):
        """Nothing proves that a step is not there: a shorter file verifies, and both say what it lacks."""
        short = decode(SCHEMA, self.saved)
        short["steps"] = short["steps"][:2]
        used = {item["value"] for item in short["steps"][0]["evidence"]["items"]}
        short["envelopes"] = [envelope for envelope in short["envelopes"] if forge.sha(envelope) in used]
        data = encode(SCHEMA, short)
        missing = story.Story(data, self.directory).missing()
        self.assertEqual(missing, [(story.DELIVERED, "XB", 1), (story.ACKNOWLEDGED, "XB", 1)])
        answer = self.poc_verify(data)
        self.assertEqual(answer.status, 0, str(answer))
        for step in "delivered", "acknowledged":
            self.assertIn(f"not in this story: {step} by XB technical", answer.out)

    def test_encoder_gives_the_same_bytes(self):
        for data in (self.saved, self.older, self.other):
            self.assertEqual(encode(SCHEMA, decode(SCHEMA, data)), data)

    def test_key_change_of_the_past(self):
        """A story saved after U and K of the signer's state moved on is judged by those of its time."""
        world, notice = self.world, self.send()
        world.poc("xb-operator", "notice", "ack", notice)
        before = self.save(notice, "acknowledged")
        world.poc("xb-coordinator", "-y", "user", "remove", "reader")
        after = self.save(notice, "acknowledged")
        self.by_both([("before", None, before), ("after", None, after)])

    def test_seeds(self):
        """The corpus of the fuzz target is genuine, and what forge_story.py makes today."""
        for name, data in forge_story.seeds().items():
            self.assertEqual(data, read(os.path.join(CORPUS, "story", name)))
            directory = forge.sha(decode("Envelope", decode(SCHEMA, data)["trust"][0])["payload"])
            story.Story(data, directory)
            seed = self.world.variant("xa-reader", "seed", {("directory", "id"): directory.hex()})
            answer = self.poc_verify(data, user=seed)
            self.assertEqual(answer.status, 0, str(answer))

    # --- Forged ---

    def test_every_changed_byte_is_refused(self):
        for place in range(0, len(self.saved), 1 if SLOW == 1 else 7):
            changed = bytearray(self.saved)
            changed[place] ^= 1 << place % 8
            self.assertEqual(self.judge(bytes(changed))[0], 6, f"byte {place}")

    def test_poc_refuses_changed_bytes(self):
        changed = []
        for place in range(3, len(self.saved), len(self.saved) // 30):
            data = bytearray(self.saved)
            data[place] ^= 1 << place % 8
            changed.append((f"byte {place}", "", bytes(data)))
        self.by_both(changed)

    def test_every_truncation_is_refused(self):
        for size in range(0, len(self.saved), 3):
            self.assertEqual(self.judge(self.saved[:size])[0], 6, f"{size} bytes")
        sizes = [*range(0, len(self.saved), len(self.saved) // 12), len(self.saved) - 1]
        self.by_both([(f"{size} bytes", "", self.saved[:size]) for size in sizes] +
                     [("one byte more", "", self.saved + b"\0")])

    def test_carriers_forgeries(self):
        made = forge_story.carrier(self.saved, self.older, self.other, forge.Signer.fresh())
        self.assertGreater(len(made), 200)
        self.by_both([(label, "", data) for label, data in made])

    def test_other_encodings(self):
        made = list(forge.re_encoded(self.saved, SCHEMA))
        for label, data in made:
            self.assertEqual(self.judge(data)[0], 6, label)
        self.by_both([(label, "", data) for label, data in made[::max(1, len(made) // 30)]])

    def test_operators_forgeries(self):
        world, load = self.world, forge.Signer.load
        authorities, coordinators = ({state: load(world.path("states", f"{state}-{word}.key")) for state in ("XA", "XB")}
                                     for word in ("authority", "signing"))
        made = forge_story.operator(self.saved, *(load(world.path("keys", f"{word}.key")) for word in
                                                  ("log", "root", "enrolment")), authorities, coordinators, sealed_seed())
        self.by_both(made)

    def test_no_file_is_answer_and_story(self):
        proof = os.path.join(self.world.root, "lookup.proof")
        self.world.poc("xa-operator", "lookup", "XB", "--save", proof)
        self.assertEqual(self.judge(read(proof))[0], 6)
        self.assertRegex(self.judge(read(proof))[1], "NoticeStory|step 0")

    # --- The body ---

    def test_body(self):
        body, keys = sealed_seed()
        story.check_sealed(body, keys)
        free = set()  # what may be anything: point, identifier (looked up), wrapped key, nonce, ciphertext, MAC
        for place in range(len(body)):
            changed = bytearray(body)
            changed[place] ^= 0x41
            try:
                story.check_sealed(bytes(changed), keys)
                free.add(place)
            except Refused:
                pass
        inner = len(body) - story.RECIPIENT_SIZE
        self.assertGreater(len(free), inner - 100)
        self.assertLess(len(free), len(body) - 150)
        with self.assertRaises(Refused):
            story.check_sealed(body, [*keys, bytes(32)])


if __name__ == "__main__":
    main()
