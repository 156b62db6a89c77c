"""Heads for a client that holds an older one (tests/reference/held.py, written from docs/protocol.md alone): what the real
server answers after its auditors were replaced twice is believed, and nothing that can be made of it; which auditors a
transition needs, for every choice of them."""
import itertools
import os
import sys
import time
import unittest

import wire
from follower import Follower, publish_trust, wait_for
from harness import ROOT, World, main

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import forge  # noqa: E402
import forge_held  # noqa: E402
from canonical import decode, encode  # noqa: E402
from forge_held import Auditor, History  # noqa: E402
from held import Held  # noqa: E402
from verify import Refused  # noqa: E402


def judge(held, data):
    """Why an answer is refused; empty: it is believed."""
    try:
        held.advanced(data)
    except Refused as refused:
        return str(refused)
    return ""


class Synthetic(unittest.TestCase):
    """T(2) with the auditors a, b, c, of whom two must sign; T(3) with d, e, f, likewise."""

    def setUp(self):
        self.old, self.new = ([Auditor(f"{name}.example") for name in names] for names in ("abc", "def"))

    def history(self, first, *later):
        """A directory that was seen at T(2), and whose first checkpoint with T(3) these auditors signed."""
        its = History()
        its.publish()
        its.put(its.next_trust(auditors=[each.entry for each in self.old], quorum=2))
        its.publish(*self.old)
        held = Held(its.directory).advanced(encode("HeadAnswer", its.answer()))
        its.put(its.next_trust(auditors=[each.entry for each in self.new], quorum=2))
        at = its.publish(*first)
        for signers in later:
            its.publish(*signers)
        return its, held, at

    def test_first_checkpoint_of_a_new_trust_root(self):
        """It needs the quorums of both, whoever else signs."""
        for n in range(7):
            for signers in itertools.combinations(self.old + self.new, n):
                its, held, _ = self.history(signers)
                enough = len(set(signers) & set(self.old)) >= 2 and len(set(signers) & set(self.new)) >= 2
                words = judge(held, encode("HeadAnswer", its.answer(held.note.size, 2)))
                self.assertEqual(words, "" if enough else "too few auditors", [each.name for each in signers])

    def test_a_transition_needs_both_quorums(self):
        for n in range(7):
            for signers in itertools.combinations(self.old + self.new, n):
                its, held, at = self.history(signers, self.new)
                enough = len(set(signers) & set(self.old)) >= 2 and len(set(signers) & set(self.new)) >= 2
                words = judge(held, encode("HeadAnswer", its.answer(held.note.size, 2, [(2, 3, at)])))
                self.assertEqual(words, "" if enough else "too few auditors", [each.name for each in signers])
                self.assertEqual(judge(held, encode("HeadAnswer", its.answer(held.note.size, 2))), "too few auditors")

    def test_thieves_of_root_and_log_keys(self):
        """They have everything but the old auditors."""
        its, held, at = self.history(self.old + self.new, self.new)
        true_note, size = its.notes[at][1], held.note.size
        thieves = [Auditor(f"{name}.example") for name in "xyz"]

        def words(other, *transitions):
            return judge(held, encode("HeadAnswer", {**other.answer(size, 2), "transitions": list(transitions)}))

        def stolen(begin, *signers):
            """A history that leaves the true one after T(2)."""
            other, _, _ = self.history(())
            for name in ("root", "enrolment", "log", "directory", "register"):
                setattr(other, name, getattr(its, name))
            other.trust, other.leaves = its.trust[:2], its.leaves[:size]
            other.values, other.published, other.notes = {"S": its.values["S"]}, 2, its.notes[:2]
            other.trust_leaves = {1: 0, 2: its.trust_leaves[2]}
            other.put(other.next_trust(auditors=[each.entry for each in begin], quorum=2))
            at_note = other.publish(*signers)
            return other, at_note

        other, place = stolen(thieves, *thieves)
        step = other.transition(2, 3, place, len(other.leaves))
        self.assertEqual(words(other), "too few auditors")
        other_answer = decode("HeadAnswer", encode("HeadAnswer", other.answer(size, 2)))
        proof = decode("Proof", other_answer["proof"])
        proof.pop("trust")
        other_answer.update(proof=encode("Proof", proof), transitions=[step])
        self.assertEqual(judge(held, encode("HeadAnswer", other_answer)), "too few auditors")
        # a T that was never in the log, under a note that has both quorums
        forged = its.transition(2, 3, at, len(its.leaves))
        never = {**forged, "trust": [forge.change(its.trust[2], its.root, max_age=90)]}
        answer = its.answer(size, 2, [(2, 3, at)])
        self.assertEqual(judge(held, encode("HeadAnswer", answer)), "")
        self.assertEqual(judge(held, encode("HeadAnswer", {**answer, "transitions": [never]})), "the leaf is of another T")
        leaf = forge.leaf(1, forge.key_of("T"), 3, forge.sha(never["trust"][0]), forge_held.ISSUED * 1000)
        self.assertRegex(judge(held, encode("HeadAnswer", {**answer, "transitions": [{**never, "leaf": leaf}]})), "not in its place")
        # the auditors of T(3) as both, a STATE leaf, the log's key dropped
        self.assertEqual(judge(held, encode("HeadAnswer", {**answer, "transitions": [
            {**forged, "note": forge_held.without_line(true_note, "a.example").replace(b"b.example", b"d.example")}]})), "too few auditors")
        self.assertRegex(judge(held, encode("HeadAnswer", {**answer, "transitions": [{**forged, "leaf": its.leaves[-1]}]})), "not a PUT leaf")
        dropped = [forge.change(its.trust[2], its.root, log_keys=[{"spki": forge.Signer.fresh().spki}])]
        self.assertRegex(judge(held, encode("HeadAnswer", {**answer, "transitions": [{**forged, "trust": dropped}]})), "no log key")
        stranger = [forge.change(its.trust[2], forge.Signer.fresh())]
        self.assertEqual(judge(held, encode("HeadAnswer", {**answer, "transitions": [{**forged, "trust": stranger}]})), "too few root signatures")

    def test_register_never_goes_back(self):
        its, held, _ = self.history(self.old + self.new)
        for label, why, fields in (("the same", "went back", {}), ("seq 2", "", {"head": forge.next_head(its.register)}),
                                   ("another anchor", "changed its anchor", {"head": forge.next_head(its.register), "entries": [
                                       {**forge.payload_of(its.register)["entries"][0], "anchor": forge.sha(b"thief")}]})):
            with self.subTest(label):
                later, _, _ = self.history(self.old + self.new)
                for name, value in vars(its).items():
                    setattr(later, name, value.copy() if hasattr(value, "copy") else value)
                later.register = forge.change(its.register, its.enrolment, **{"issued": forge_held.ISSUED + 1, **fields})
                later.put(later.register, "S")
                later.publish(*self.old, *self.new)
                self.assertRegex(judge(held, encode("HeadAnswer", later.answer(held.note.size, 2))), f"{why}$" if why else "^$")


class Real(unittest.TestCase):
    """Answers of the real server."""

    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        cls.addClassCleanup(world.close)
        cls.directory = bytes.fromhex(world.setting("xa-reader", "directory", "id"))
        cls.origin = world.poc("xa-reader", "-o", "json", "lookup", "XA").json["verdict"]["checkpoint"]["origin"]
        cls.unaudited = Held(cls.directory).advanced(cls.ask())
        cls.followers = []
        for seq, state in ((2, "XA"), (3, "AD"), (4, "AE")):
            follower = Follower(world, state, f"auditor{seq}", sign=True)
            follower.start()
            cls.addClassCleanup(follower.stop)
            follower.wait_log("follow.connected")
            publish_trust(world, [follower], 1)
            wait_for(lambda: cls.newest() == seq, "never served", 70)  # pylint: disable=cell-var-from-loop
            if cls.followers:
                cls.followers[-1].stop()
            else:
                cls.first = Held(cls.directory).advanced(cls.ask())
            cls.followers.append(follower)
        since = Held(cls.directory).advanced(cls.ask()).note.size
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: Held(cls.directory).advanced(cls.ask()).note.size > since, "never served", 70)
        cls.answer = cls.ask(cls.first)
        cls.names = ["auditor." + follower.user for follower in cls.followers]

    @classmethod
    def ask(cls, held=None, size=None):
        """What the server answers to a client that holds that."""
        body = b"" if held is None else (wire.field(1, held.note.size if size is None else size) +
                                         wire.field(2, held.chain[-1].seq) + wire.field(3, held.register.value))
        with cls.world.client("xb-reader") as client:
            return client.call(wire.GET_HEAD, body).body

    @classmethod
    def newest(cls):
        return Held(cls.directory).advanced(cls.ask()).chain[-1].seq

    def test_the_way_is_believed(self):
        answer = decode("HeadAnswer", self.answer)
        self.assertEqual(len(answer["transitions"]), 2)
        self.assertEqual(encode("HeadAnswer", answer), self.answer)
        held = self.first.advanced(self.answer, clock=time.time())
        self.assertEqual([trust.seq for trust in held.chain], [1, 2, 3, 4])
        self.assertGreater(held.note.size, self.first.note.size)
        # from T(1), which asks for nobody, and from nothing
        for at in (self.unaudited, Held(self.directory)):
            direct = self.ask(at if at.chain else None)
            self.assertNotIn("transitions", decode("HeadAnswer", direct))
            self.assertEqual(at.advanced(direct).chain[-1].seq, 4)
        # what is held now needs no way
        self.assertEqual(judge(held, self.ask(held)), "")

    def test_every_changed_byte_is_refused(self):
        for place in range(len(self.answer)):
            changed = bytearray(self.answer)
            changed[place] ^= 1 << place % 8
            self.assertNotEqual(judge(self.first, bytes(changed)), "", f"byte {place}")

    def test_every_truncation_is_refused(self):
        for size in range(len(self.answer)):
            self.assertNotEqual(judge(self.first, self.answer[:size]), "", f"{size} bytes")

    def test_other_encodings(self):
        for label, data in forge.recodings(self.answer):
            self.assertNotEqual(judge(self.first, data), "", label)

    def test_carriers_forgeries(self):
        its, auditors = History(), [Auditor(f"{name}.example") for name in "ab"]
        for n in (1, 2):
            its.put(its.next_trust(auditors=[each.entry for each in auditors[:n]], quorum=n))
            its.publish(*auditors[:n])
        elsewhere = encode("HeadAnswer", its.answer(0, 1, [(1, 2, 0), (2, 3, 1)]))
        genuine = (self.answer, self.first.chain[-1].data, self.names[:2], self.origin)
        for label, why, data in forge_held.carrier(*genuine, elsewhere):
            with self.subTest(label):
                self.assertRegex(judge(self.first, data) or "believed", why)

    def test_an_answer_is_for_who_asked(self):
        """Not for a client that holds something else."""
        self.assertNotEqual(judge(Held(self.directory), self.answer), "")
        self.assertNotEqual(judge(self.unaudited, self.answer), "")
        other = History()
        other.publish()
        self.assertNotEqual(judge(Held(other.directory).advanced(encode("HeadAnswer", other.answer())), self.answer), "")


if __name__ == "__main__":
    main()
