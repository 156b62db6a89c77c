"""forge_held: a directory of one's own making whose auditors are replaced, and forged answers to GetHead: by a carrier, who
has genuine answers and no key, and by thieves of root and log keys, who lack the auditors."""
import copy

from canonical import decode, encode
from forge import (ZERO, Signer, change, head, key_of, leaf, log_path, log_root, next_head, note_line, note_text, prove, seal,
                   sha, subtree)

ISSUED = 1767225600
DAY = 86400


def log_consistency(leaves, m, whole=True):
    """RFC 6962's proof from the first m leaves to all."""
    if m == len(leaves):
        return [] if whole else [log_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if m <= split:
        return log_consistency(leaves[:split], m, whole) + [log_root(leaves[split:])]
    return log_consistency(leaves[split:], m - split, False) + [log_root(leaves[:split])]


class Auditor:
    def __init__(self, name):
        self.name, self.signer = name, Signer.fresh()
        self.entry = {"name": name, "spki": self.signer.spki, "state": "XA"}


class History:
    """T(1) without auditors, S; further versions of T as they are published."""

    def __init__(self):
        self.root, self.enrolment, self.log = (Signer.fresh() for _ in range(3))
        trust = {"head": head(b"", "T"), "issued": ISSUED, "expires": ISSUED + 365 * DAY, "origin": "history.test/2026",
                 "log_keys": [{"spki": self.log.spki}], "root_keys": [{"spki": self.root.spki}], "root_threshold": 1,
                 "enrolment_keys": [{"spki": self.enrolment.spki}], "enrolment_threshold": 1, "max_age": DAY,
                 "algorithms": ["ed25519"], "least_protocol": 1, "replacement_delay": 3 * DAY}
        self.directory = sha(encode("Trust", trust))
        self.trust, self.leaves, self.values, self.published, self.notes = [], [], {}, 0, []
        self.trust_leaves = {}
        self.put(seal("T", encode("Trust", trust), self.root))
        register = {"head": head(self.directory, "S"), "issued": ISSUED, "entries": [
            {"state": "XA", "anchor": sha(b"XA"), "reference": "note 1/2026", "date": "2026-01-01"}]}
        self.register = seal("S", encode("Register", register), self.enrolment)
        self.put(self.register, "S")

    def put(self, envelope, name="T"):
        seq = 1
        if name == "T":
            self.trust.append(envelope)
            seq = len(self.trust)
            self.trust_leaves[seq] = len(self.leaves)
        self.values[name] = sha(envelope)
        self.leaves.append(leaf(1, key_of(name), seq, sha(envelope), ISSUED * 1000))

    def next_trust(self, *signers, **fields):
        """T(n + 1), not published yet."""
        return change(self.trust[-1], *(signers or (self.root,)), head=next_head(self.trust[-1], self.directory), **fields)

    def publish(self, *auditors, text=None, log=None):
        """A checkpoint that these auditors cosign; its place among the notes."""
        self.published += 1
        self.leaves.append(leaf(2, ZERO, self.published, subtree([(key_of(name), value) for name, value in self.values.items()], 0),
                                ISSUED * 1000))
        text = text or note_text("history.test/2026", len(self.leaves), log_root(self.leaves))
        lines = note_line("history.test/2026", 1, log or self.log, text)
        for auditor in auditors:
            lines += note_line(auditor.name, 4, auditor.signer, text, time=ISSUED)
        self.notes.append((len(self.leaves), text + b"\n" + lines))
        return len(self.notes) - 1

    def transition(self, begin, end, at, size):
        """From T(begin) to T(end) by the note at this place, for an answer of that size."""
        note_size, note = self.notes[at]
        index = self.trust_leaves[end]
        return {"trust": self.trust[begin:end], "note": note, "leaf": self.leaves[index], "index": index,
                "path": b"".join(log_path(self.leaves[:note_size], index)),
                "consistency": b"".join(log_consistency(self.leaves[:size], note_size))}

    def answer(self, held_size=0, trust_seq=0, transitions=()):
        """The answer to GetHead; transitions: (begin, end, place of the note)."""
        size, note = self.notes[-1]
        shown = self.leaves[:size]
        items = [{"name": "S", "map": prove(self.values, "S"), "envelopes": [self.register]},
                 {"name": "T", "map": prove(self.values, "T"), "value": self.values["T"]}]
        proof = {"version": 1, "trust": self.trust[transitions[-1][1] if transitions else trust_seq:], "items": items,
                 "checkpoint": {"note": note, "leaf": shown[-1], "path": b"".join(log_path(shown, size - 1))}}
        return {"proof": encode("Proof", proof),
                "consistency": b"".join(log_consistency(shown, held_size)) if 0 < held_size < size else b"",
                "transitions": [self.transition(*each, size) for each in transitions]}


def without_line(note, name):
    """A note without the lines under a name."""
    text, lines = note[:note.rindex(b"\n\n") + 2], note[note.rindex(b"\n\n") + 2:].splitlines(True)
    return text + b"".join(line for line in lines if line.split(b" ")[1] != name.encode())


def carrier(genuine, held_trust, names, origin, elsewhere):
    """(label, why, bytes): what can be made of a genuine answer with two transitions or more.  held_trust: the T that the
    client holds; names: of its auditor, and of that of the T to which the first transition leads; elsewhere: an answer of
    another directory, with transitions."""
    made, answer, foreign = [], decode("HeadAnswer", genuine), decode("HeadAnswer", elsewhere)

    def of(label, why, alter):
        changed = copy.deepcopy(answer)
        replaced = alter(changed)
        made.append((label, why, encode("HeadAnswer", replaced if replaced is not None else changed)))

    def first(**parts):
        return lambda changed: changed["transitions"][0].update(parts)

    one, two = answer["transitions"][:2]
    proof = decode("Proof", answer["proof"])
    of("no transitions", "T does not follow|too few auditors", lambda changed: changed.update(transitions=[]))
    of("without the first", "does not follow", lambda changed: changed["transitions"].pop(0) and None)
    of("without the last", "does not follow|too few auditors|not the one in the map", lambda changed: changed["transitions"].pop() and None)
    of("in another order", "does not follow", lambda changed: changed["transitions"].reverse())
    of("the first twice", "does not follow", lambda changed: changed["transitions"].insert(0, one))
    of("seventeen", "no such way", lambda changed: changed.update(transitions=[one] * 17))
    of("all versions in one step, by the head's own note", "too few auditors", lambda changed: changed.update(
        transitions=[{**two, "trust": one["trust"] + two["trust"], "note": proof["checkpoint"]["note"]}]))
    of("all versions in one step, by the first note", "no log key|too few auditors|of another T", lambda changed: changed.update(
        transitions=[{**one, "trust": one["trust"] + two["trust"]}]))
    of("all versions in one step, by the second note", "too few auditors", lambda changed: changed.update(
        transitions=[{**two, "trust": one["trust"] + two["trust"]}]))
    of("below the old quorum", "too few auditors", first(note=without_line(one["note"], names[0])))
    of("below the new quorum", "too few auditors", first(note=without_line(one["note"], names[1])))
    of("without the log's line", "no log key|note", first(note=without_line(one["note"], origin)))
    of("the second note in the first", "too few auditors", first(note=two["note"]))
    of("the leaf of the other T", "not in its place", first(leaf=two["leaf"]))
    of("the leaf of the other T, in its place", "not in its place|of another T",
       first(leaf=two["leaf"], index=two["index"], path=two["path"]))
    of("no leaf", "not a PUT leaf", lambda changed: changed["transitions"][0].pop("leaf") and None)
    of("a leaf elsewhere", "not in its place", first(index=one["index"] + 1))
    of("a leaf beyond the note", "not in its place", first(index=1 << 40))
    of("no path", "not in its place", lambda changed: changed["transitions"][0].pop("path") and None)
    of("a path that is too long", "wrong length", first(path=one["path"] + bytes(32 * 65)))
    of("no T", "to no T", lambda changed: changed["transitions"][0].pop("trust") and None)
    of("the T that is held", "does not follow", first(trust=[held_trust]))
    of("another directory's T", "does not follow", first(trust=foreign["transitions"][0]["trust"]))
    of("no consistency", "another log", lambda changed: changed["transitions"][0].pop("consistency") and None)
    of("another step's consistency", "another log", first(consistency=two["consistency"]))
    of("a consistency that is too long", "wrong length", first(consistency=one["consistency"] + bytes(32 * 65)))
    of("the head's consistency kept back", "contradicts", lambda changed: changed.pop("consistency") and None)
    of("said to be behind", "behind", lambda changed: changed.update(behind=True))
    of("another directory's head at the end", "does not follow|another log|no log key",
       lambda changed: changed.update(proof=foreign["proof"]))
    of("another directory's transitions", "does not follow|no such way|to no T",
       lambda changed: changed.update(transitions=foreign["transitions"]))
    return made
