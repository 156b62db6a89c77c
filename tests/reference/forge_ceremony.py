"""forge_ceremony: forged ceremony files, from genuine ones."""
from canonical import decode, encode
from forge import ZERO, change, head, item, next_head, payload_of, seal, sha


def parts(data):
    """(the message, its proof, its proposals)"""
    message = decode("Ceremony", data)
    return message, decode("Proof", message["proof"]), message["proposals"]


def with_signature(envelope, key_id, signature):
    """One signature more, whatever it is."""
    outer = decode("Envelope", envelope)
    outer["signatures"] = [*outer.get("signatures", []), {"signature": signature, "key_id": key_id}]
    return encode("Envelope", outer)


def signed(envelope, *signers, **fields):
    """The same version with these signatures alone; fields are changed before."""
    return change(envelope, *signers, **fields)


class Forgeries:
    """Collects (label, why, bytes) around one genuine file."""

    def __init__(self, genuine):
        self.message, self.proof, self.proposals = parts(genuine)
        self.made = []

    def add(self, label, why, *proposals, **fields):
        self.made.append((label, why, encode("Ceremony", {**self.message, "proposals": list(proposals), **fields})))


def of_trust(genuine, root, second, stranger, foreign):
    """A T ceremony that the root keys `root`, of T(1) alone, and `second`, of T(2) alone, are to sign; foreign: another
    directory's saved proof, and its T."""
    its = Forgeries(genuine)
    draft, register = its.proposals[0], item(its.proof, "S")["envelopes"][0]
    payload = payload_of(draft)
    good = signed(draft, root)
    signature = decode("Envelope", good)["signatures"][0]
    its.add("control: one has signed", None, good)
    its.add("control: both have", None, signed(draft, root, second))
    its.add("control: nobody has", None, signed(draft))
    asked = "wrong, or by a key that is not asked"
    its.add("a stranger's signature", asked, signed(draft, stranger))
    its.add("a stranger's beside a good one", asked, signed(draft, root, stranger))
    its.add("the same key twice", "wrong signature entry", with_signature(good, signature["key_id"], signature["signature"]))
    its.add("a signature under another key's id", asked, with_signature(good, second.id, signature["signature"]))
    its.add("a signature of something else", asked, with_signature(signed(draft), root.id, root.sign(b"something else")))
    its.add("a signature of another payload", asked,
            with_signature(signed(draft), root.id, decode("Envelope", signed(draft, root, max_age=90))["signatures"][0]["signature"]))
    for label, fields in (("a version too far", {"seq": payload["head"]["seq"] + 1}), ("another predecessor", {"prev": sha(b"another")}),
                          ("another directory's", {"directory_id": sha(b"another")})):
        its.add(label, "does not follow|another directory", signed(draft, root, head={**payload["head"], **fields}))
    its.add("another origin", "does not follow", signed(draft, root, origin="elsewhere.test/2026"))
    its.add("T(1)", "does not follow|another directory", its.proof["trust"][0])
    its.add("the same key twice in a list", "one twice", signed(draft, root, root_keys=payload["root_keys"] * 2))
    its.add("a threshold that nobody can meet", "cannot be met", signed(draft, root, root_threshold=16))
    its.add("a replacement before its time", "comes too early", signed(draft, root, replaced=[
        {"state": "XB", "keys": sha(b"keys"), "not_before": payload["issued"]}]))
    its.add("by an algorithm that T does not name", asked, signed(draft, second, algorithms=["ed25519"]))
    its.add("T twice", "of T, of T and S, or of one K", good, good)
    its.add("an S alone", "of T, of T and S, or of one K", change(register, stranger, head=next_head(register)))
    its.add("an S that says something else", "not the current one signed anew", good, seal("S", encode("Register", {
        **payload_of(register), "head": next_head(register), "entries": payload_of(register)["entries"][:-1]})))
    its.add("an S that does not follow", "does not follow", good, seal("S", encode("Register", {
        **payload_of(register), "head": {**next_head(register), "prev": sha(b"another")}})))
    its.add("no proposal", "of T, of T and S, or of one K")
    its.add("another version of the format", "version 1", good, version=2)
    its.add("no proof", "not a proof|no T", good, proof=b"")
    its.add("another directory's proof", "another directory", good, proof=foreign)
    its.add("a proof of more", "more or less|wrong value|map proof", good, proof=encode("Proof", {
        **its.proof, "items": [{**item(its.proof, "S"), "name": "K/XB"}, *its.proof["items"]]}))
    its.add("a proof of less", "no register|T is not", good, proof=encode("Proof", {**its.proof, "items": [item(its.proof, "T")]}))
    return its.made


def of_keys(genuine, old, new, stranger, other_state):
    """A K ceremony that `old`, of K(n), and `new`, of K(n + 1), are to sign; other_state: a genuine file of another state."""
    its = Forgeries(genuine)
    draft = its.proposals[0]
    payload = payload_of(draft)
    asked = "wrong, or by a key that is not asked"
    its.add("control: the old one has signed", None, signed(draft, old))
    its.add("control: both have", None, signed(draft, old, new))
    its.add("a stranger's signature", asked, signed(draft, stranger))
    its.add("a stranger's beside both", asked, signed(draft, old, new, stranger))
    one = decode("Envelope", signed(draft, old))["signatures"][0]
    its.add("the same key twice", "wrong signature entry", with_signature(signed(draft, old), one["key_id"], one["signature"]))
    its.add("two versions further", "does not follow", signed(draft, old, head={**payload["head"], "seq": payload["head"]["seq"] + 1}))
    its.add("the first version again", "does not follow", signed(draft, old, head=head(payload["head"]["directory_id"], payload["head"]["name"], 1, ZERO)))
    its.add("another state's K", "more or less|another directory|does not follow", parts(other_state)[2][0])
    its.add("another state's proof", "more or less", signed(draft, old), proof=parts(other_state)[0]["proof"])
    its.add("two K", "of T, of T and S, or of one K", signed(draft, old), signed(draft, old))
    return its.made
