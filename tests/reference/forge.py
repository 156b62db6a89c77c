#!/usr/bin/python3
"""forge: makes forged saved answers and bundles from genuine ones, and the worked example of docs/protocol.md.

Two kinds of forger.  A *carrier* has genuine files and no key: he changes, mixes and re-encodes.  An *operator* has
the log key (and, where a test says so, keys of states): he publishes a map and a log of his own, with honest proofs for
what must not pass.

    forge.py example            prints the worked example: directory id, then the saved answer's bytes, in hexadecimal
"""
import base64
import copy
import hashlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

import canonical
from canonical import decode, encode, put_varint

ZERO = bytes(32)
FOUND, EMPTY, OTHER = range(3)
TYPES = {"T": ("trust", "Trust"), "S": ("register", "Register"), "K": ("keys", "Keys"), "U": ("users", "Users"),
         "R": ("record", "Record"), "notice": ("notice", "Notice"), "receipt": ("receipt", "Receipt"), "D": ("document", "Document"),
         "P": ("pings", "Pings")}


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Signing ---

class Signer:
    """A private key: Ed25519, P-256 or P-384."""

    def __init__(self, private):
        self.private = private
        self.spki = private.public_key().public_bytes(serialization.Encoding.DER,
                                                      serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id, self.raw = sha(self.spki), self.spki[-32:]

    @classmethod
    def load(cls, path):
        with open(path, "rb") as file:
            return cls(serialization.load_pem_private_key(file.read(), None))

    @classmethod
    def derived(cls, label):
        """The same key for the same label: for the worked example only."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(sha(b"pocd worked example: ", label.encode())))

    @classmethod
    def fresh(cls):
        return cls(ed25519.Ed25519PrivateKey.generate())

    def sign(self, data):
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        size = self.private.key_size // 8
        digest = hashes.SHA256() if size == 32 else hashes.SHA384()
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def seal(kind, payload, *signers):
    """Envelope bytes around payload bytes."""
    name = f"application/vnd.pocd.{TYPES[kind][0]}.v1+protobuf"
    signed = b"DSSEv1 %d %s %d %s" % (len(name), name.encode(), len(payload), payload)
    signatures = [{"signature": signer.sign(signed), "key_id": signer.id} for signer in signers]
    return encode("Envelope", {"payload": payload, "type": name, "signatures": signatures})


def payload_of(envelope):
    outer = decode("Envelope", envelope)
    return decode(next(schema for word, schema in TYPES.values() if f".{word}." in outer["type"]), outer["payload"])


def head(directory, name, seq=1, prev=ZERO):
    return {"directory_id": directory, "name": name, "seq": seq, "prev": prev}


def change(envelope, *signers, **fields):
    """A later or other version: the payload with fields replaced, signed anew."""
    payload = payload_of(envelope)
    kind = payload["head"]["name"][0]
    return seal(kind, encode(TYPES[kind][1], {**payload, **fields}), *signers)


def next_head(envelope, directory=None):
    """The head of the version after this one."""
    before = payload_of(envelope)["head"]
    return head(directory or before["directory_id"], before["name"], before["seq"] + 1, sha(envelope))


# --- Map and log ---

def key_of(name):
    return sha(b"pocd-name-v1\n", name.encode())


def bit(key, depth):
    return key[depth // 8] >> (7 - depth % 8) & 1


def subtree(entries, depth):
    if len(entries) < 2:
        return sha(b"\2", *entries[0]) if entries else ZERO
    return sha(b"\3", *(subtree([e for e in entries if bit(e[0], depth) == side], depth + 1) for side in (0, 1)))


def prove(values, name):
    """The honest MapProof of a name in a map {name: value}."""
    key, siblings, depth = key_of(name), [], 0
    entries = [(key_of(each), value) for each, value in values.items()]
    while len(entries) > 1:
        siblings.append(subtree([e for e in entries if bit(e[0], depth) != bit(key, depth)], depth + 1))
        entries = [e for e in entries if bit(e[0], depth) == bit(key, depth)]
        depth += 1
    proof = {"siblings": b"".join(siblings), "terminal": FOUND}
    if not entries:
        proof["terminal"] = EMPTY
    elif entries[0][0] != key:
        proof.update(terminal=OTHER, other_key=entries[0][0], other_value=entries[0][1])
    return proof


def log_root(leaves):
    if len(leaves) == 1:
        return sha(b"\0", leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha(b"\1", log_root(leaves[:split]), log_root(leaves[split:]))


def log_path(leaves, index):
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return log_path(leaves[:split], index) + [log_root(leaves[split:])]
    return log_path(leaves[split:], index - split) + [log_root(leaves[:split])]


def leaf(kind, key, seq, value, time_ms):
    return bytes([1, kind]) + key + seq.to_bytes(8, "big") + value + time_ms.to_bytes(8, "big")


def note_line(name, kind, signer, text, hint=None, time=None):
    keyid = hint or sha(name.encode(), b"\n", bytes([kind]), signer.raw)[:4]
    stamp = b"" if time is None else time.to_bytes(8, "big")
    message = text if time is None else b"cosignature/v1\ntime %d\n" % time + text
    return "— {} {}\n".format(name, base64.b64encode(keyid + stamp + signer.sign(message)).decode()).encode()


def note_text(origin, size, root):
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


class Operator:
    """A directory of his own making: envelopes in, a saved answer with honest proofs out."""

    def __init__(self, log_key, time_ms):
        self.log_key, self.time_ms = log_key, time_ms
        self.trust, self.chains, self.sections, self.state_kind = [], {}, {}, 2
        self.cosigners = []  # (name, signer, time, keyid4 or None)
        self.lines = b""  # signature lines from elsewhere

    def put(self, envelope, sections=(), name=None):
        """name: of an envelope that no strict decoder can read."""
        name = name or payload_of(envelope)["head"]["name"]
        if name == "T":
            self.trust.append(envelope)
        elif name[0] == "K":
            self.chains.setdefault(name, []).append(envelope)
        else:
            self.chains[name] = [envelope]
        self.sections[name] = list(sections)
        return self

    def values(self):
        return {"T": sha(self.trust[-1]), **{name: sha(chain[-1]) for name, chain in self.chains.items()}}

    def checkpoint(self):
        origin, values = payload_of(self.trust[0])["origin"], self.values()
        chains = {"T": self.trust, **self.chains}
        leaves = [leaf(1, key_of(name), seq, sha(each), self.time_ms) for name, chain in chains.items() for seq,
                  each in enumerate(chain, 1)]
        entries = [(key_of(name), value) for name, value in values.items()]
        leaves.append(leaf(self.state_kind, ZERO, 1, subtree(entries, 0), self.time_ms))
        text = note_text(origin, len(leaves), log_root(leaves))
        note = text + b"\n" + note_line(origin, 1, self.log_key, text)
        for name, signer, time, hint in self.cosigners:
            note += note_line(name, 4, signer, text, hint, time)
        return {"note": note + self.lines, "leaf": leaves[-1], "path": b"".join(log_path(leaves, len(leaves) - 1))}

    def saved(self, *names):
        """A saved answer about these names, beside T and S."""
        values, items = self.values(), []
        for name in sorted({"T", "S", *names}, key=str.encode):
            item = {"name": name, "map": prove(values, name)}
            if name == "T":
                item["value"] = values["T"]
            elif name in self.chains:
                item.update(envelopes=self.chains[name], sections=self.sections[name])
            items.append(item)
        return {"version": 1, "trust": self.trust, "checkpoint": self.checkpoint(), "items": items}

    def bundle(self):
        items = [{"name": name, "envelopes": chain, "sections": self.sections[name]}
                 for name, chain in sorted(self.chains.items(), key=lambda each: each[0].encode())]
        return {"version": 1, "trust": self.trust, "checkpoint": self.checkpoint(), "items": items, "complete": True}


# --- The worked example ---

def example():
    """(directory id, saved answer bytes, parts) of docs/protocol.md section 17; the same bytes every time."""
    root, enrolment, log, authority, coordinator = (
        Signer.derived(label) for label in ("root", "enrolment", "log", "authority", "coordinator"))
    day, issued = 86400, 1767225600  # 2026-01-01T00:00:00Z
    trust = encode("Trust", {
        "head": head(b"", "T"), "issued": issued, "expires": issued + 365 * day, "origin": "example.test/2026",
        "log_keys": [{"spki": log.spki}], "root_keys": [{"spki": root.spki}], "root_threshold": 1,
        "enrolment_keys": [{"spki": enrolment.spki}], "enrolment_threshold": 1, "max_age": day,
                             "algorithms": ["ed25519"],
        "least_protocol": 1, "replacement_delay": 3 * day})
    directory = sha(trust)
    keys = encode("Keys", {"head": head(directory, "K/XA"), "issued": issued, "authority": [{"spki": authority.spki}],
                           "authority_threshold": 1, "coordinators": [{"spki": coordinator.spki}]})
    register = encode("Register", {"head": head(directory, "S"), "issued": issued, "entries": [
        {"state": "XA", "anchor": sha(keys), "reference": "note 1/2026", "date": "2026-01-01"}]})
    section = encode("Section", {
        "directory_id": directory, "record": "R/XA", "poc": "technical-1", "name": "office", "salt": sha(b"salt"),
                                 "content": {
            "names": [{"lang": "en", "text": "XA-CERT"}],
            "channels": [{"id": "phone-1", "type": "phone", "value": "+999000001"}]}})
    digest = sha(b"pocd-section-v1\n", section)
    record = encode("Record", {
        "head": head(directory, "R/XA"), "issued": issued, "confirmed": issued, "expires": issued + 365 * day, "pocs": [
            {"id": "technical-1", "kind": 1, "sections": [{"name": "office", "tlp": 2, "digest": digest}]}]})
    operator = Operator(log, issued * 1000)
    for envelope in (seal("T", trust, root), seal("S", register, enrolment), seal("K", keys, authority)):
        operator.put(envelope)
    operator.put(seal("R", record, coordinator), [section])
    proof = operator.saved("K/XA", "R/XA")
    parts = {"record": record, "envelope": operator.chains["R/XA"][0], "section": section, "digest": digest,
             "values": operator.values(),
             "proof": proof}
    return directory, encode("Proof", proof), parts


# --- A carrier's forgeries ---

def item(proof, name):
    return next(each for each in proof["items"] if each["name"] == name)


class Forgeries:
    """Collects (label, bytes) from changes to a copy of a genuine proof."""

    def __init__(self):
        self.made = []

    def add(self, label, data):
        self.made.append((label, data if isinstance(data, bytes) else encode("Proof", data)))

    def of(self, label, genuine, alter):
        """alter changes a deep copy in place; a returned value takes its place."""
        proof = copy.deepcopy(decode("Proof", genuine))
        replaced = alter(proof)
        self.add(label, replaced if replaced is not None else proof)


def fields(data):
    """The fields of a message, uncut: [(number, wire, start, body start, end)]."""
    found, at = [], 0
    while at < len(data):
        start = at
        tag, at = canonical._varint(data, at, len(data))
        if tag & 7 == 0:
            body, (_, at) = at, canonical._varint(data, at, len(data))
        else:
            size, body = canonical._varint(data, at, len(data))
            at = body + size
        found.append((tag >> 3, tag & 7, start, body, at))
    return found


def long_varint(value):
    """Two bytes or more for what needs fewer."""
    short = put_varint(value)
    return short[:-1] + bytes([short[-1] | 0x80, 0])


def recodings(data):
    """Other encodings of one message, that a lenient decoder takes for the same or for more: (label, bytes)."""
    parts = fields(data)
    for number, kind, start, body, end in parts:
        tag = put_varint(number << 3 | kind)
        size = end - body
        long_tag = long_varint(number << 3 | kind)
        yield f"field {number} with a long tag", data[:start] + long_tag + data[start + len(tag):]
        if kind == 2:
            yield f"field {number} with a long length", data[:start] + tag + long_varint(size) + data[body:]
        else:
            value, _ = canonical._varint(data, body, end)
            yield f"field {number} with a long number", data[:body] + long_varint(value) + data[end:]
    if len(parts) > 1:
        middle = parts[1][2]
        yield "fields in another order", data[middle:] + data[:middle]
        yield "the first field twice", data[:middle] + data
    yield "an unknown varint field", data + put_varint(1000 << 3) + b"\1"
    yield "an unknown bytes field", data + put_varint(1000 << 3 | 2) + b"\1x"
    yield "an unknown fixed field", data + put_varint(1000 << 3 | 5) + b"\1\0\0\0"
    yield "a stray byte", data + b"\0"


def replace_bytes(data, path, new):
    """data with the message at path (a list of field indexes) replaced; lengths are mended on the way out."""
    if not path:
        return new
    number, kind, start, body, end = fields(data)[path[0]]
    inner = replace_bytes(data[body:end], path[1:], new)
    return data[:start] + put_varint(number << 3 | kind) + put_varint(len(inner)) + inner + data[end:]


def messages_in(data, kind="Proof", path=()):
    """(path, schema, bytes) of a message and all within it, those in bytes fields included."""
    yield list(path), kind, data
    inside = {("Proof", "trust"): "Envelope", ("Item", "envelopes"): "Envelope", ("Item", "sections"): "Section",
              ("NoticeStory", "trust"): "Envelope", ("NoticeStory", "envelopes"): "Envelope",
              ("Notice", "core"): "Core"}
    for index, (number, wire_type, _, body, end) in enumerate(fields(data)):
        name, of, _ = canonical.MESSAGES[kind][number]
        of = inside.get((kind, name), of)
        if kind == "StoryStep" and name == "item":
            of = "Fact" if decode(kind, data).get("fact") else "Envelope"
        if kind == "Envelope" and name == "payload":
            of = next(schema for word, schema in TYPES.values() if f".{word}." in decode("Envelope", data)["type"])
        if wire_type == 2 and of in canonical.MESSAGES:
            yield from messages_in(data[body:end], of, (*path, index))


def carrier(saved, older, absent, other, bundle, log_key_of_another):
    """All that a forger without keys can do.  saved, older: two versions' answers of one place; absent: an answer that
    proves an absence; other: an answer of another place; all of one directory, as bytes."""
    made = Forgeries()
    new, old, none, foreign = (decode("Proof", data) for data in (saved, older, absent, other))
    name = next(each["name"] for each in new["items"] if each["name"][0] == "R")
    missing = next(each["name"] for each in none["items"] if each["name"][0] == "R")
    elsewhere = next(each["name"] for each in foreign["items"] if each["name"][0] == "R")
    keys = "K/" + name[2:4]

    def put(**parts):
        return lambda proof: item(proof, name).update(parts)

    theirs, before = item(foreign, elsewhere), item(old, name)
    made.of("another state's record in its place", saved,
            put(envelopes=theirs["envelopes"], sections=theirs["sections"]))
    made.of("another state's record with its map proof", saved, put(**{**theirs, "name": name}))
    made.of("another state's sections", saved, put(sections=theirs["sections"]))
    made.of("an older record under a newer checkpoint", saved,
            put(envelopes=before["envelopes"], sections=before["sections"]))
    made.of("an older record with its map proof under a newer checkpoint", saved, put(**before))
    made.of("an older record, envelope only", saved, put(envelopes=before["envelopes"]))
    made.of("older sections", saved, put(sections=before["sections"]))
    for part in ("note", "leaf", "path"):
        made.of(f"the older checkpoint's {part}", saved, lambda proof,
                part=part: proof["checkpoint"].update({part: old["checkpoint"][part]}))
    made.of("the newer checkpoint over older proofs", older, lambda proof: proof.update(checkpoint=new["checkpoint"]))

    sections = item(new, name)["sections"]
    made.of("swapped sections", saved, put(sections=[sections[1], sections[0], *sections[2:]]))
    made.of("the first section twice", saved, put(sections=[sections[0], *sections]))
    made.of("a section missing that every reader may see", saved, put(sections=sections[1:]))
    made.of("no sections", saved, lambda proof: item(proof, name).pop("sections") and None)

    def claim_present(proof):
        item(proof, missing).update(map={**item(new, name)["map"]}, envelopes=item(new, name)["envelopes"],
                                    sections=sections)

    def claim_found(proof):
        entry = item(proof, missing)
        entry["map"] = {"siblings": entry["map"].get("siblings", b""), "terminal": FOUND}
        entry["envelopes"], entry["sections"] = item(new, name)["envelopes"], sections

    made.of("presence of an absent name, another's proof", absent, claim_present)
    made.of("presence of an absent name, its own path", absent, claim_found)
    made.of("presence of an absent name, by value", absent,
            lambda proof: item(proof,
                               missing).update(map={"siblings": item(proof, missing)["map"]["siblings"],
                                                    "terminal": FOUND}, value=ZERO))

    siblings = item(new, name)["map"]["siblings"]
    other_leaf = {"other_key": key_of(elsewhere), "other_value": sha(theirs["envelopes"][-1])}
    itself = {"other_key": key_of(name), "other_value": sha(item(new, name)["envelopes"][-1])}

    def absence(proof, **terms):
        entry = item(proof, name)
        for gone in ("envelopes", "sections"):
            entry.pop(gone)
        entry["map"] = {"siblings": siblings, **terms}

    made.of("absence of a present name, an empty place", saved, lambda proof: absence(proof, terminal=EMPTY))
    made.of("absence of a present name, another leaf", saved,
            lambda proof: absence(proof, terminal=OTHER, **other_leaf))
    made.of("absence of a present name, its own leaf as the other", saved,
            lambda proof: absence(proof, terminal=OTHER, **itself))
    made.of("absence of a present name, a shorter path", saved,
            lambda proof: absence(proof, terminal=EMPTY, siblings=siblings[:-32]))
    made.of("absence of a present name, another name's proof", saved,
            lambda proof: absence(proof, **item(none, missing)["map"]))

    made.of("a map proof without its last hash", saved,
            lambda proof: item(proof, name)["map"].update(siblings=siblings[:-32]))
    made.of("a map proof without its last byte", saved,
            lambda proof: item(proof, name)["map"].update(siblings=siblings[:-1]))
    made.of("a map proof with one hash more", saved,
            lambda proof: item(proof, name)["map"].update(siblings=siblings + ZERO))
    made.of("no map proof", saved, lambda proof: item(proof, name).pop("map") and None)
    path = new["checkpoint"]["path"]
    made.of("a log path without its last hash", saved, lambda proof: proof["checkpoint"].update(path=path[:-32]))
    made.of("a log path with one hash more", saved, lambda proof: proof["checkpoint"].update(path=path + ZERO))
    for gone in ("trust", "checkpoint", "items", "version"):
        made.of(f"no {gone}", saved, lambda proof, gone=gone: proof.pop(gone) and None)
    for gone in ("T", "S", keys, name):
        made.of(f"no {gone}", saved, lambda proof, gone=gone: proof["items"].remove(item(proof, gone)))
    made.of(f"an absence without {missing}", absent, lambda proof: proof["items"].remove(item(proof, missing)))
    made.of("nothing but T and S", saved,
            lambda proof: proof.update(items=[item(proof, "S"), item(proof, "T")]))
    made.of("a complete proof, says the forger", saved, lambda proof: proof.update(complete=True))
    made.of("an item twice", saved, lambda proof: proof["items"].insert(0, proof["items"][0]))
    made.of("items in another order", saved, lambda proof: proof["items"].reverse())
    made.of("another state's keys", saved,
            lambda proof: item(proof, keys).update(envelopes=item(foreign, "K/" + elsewhere[2:4])["envelopes"]))

    note, origin = new["checkpoint"]["note"], payload_of(new["trust"][0])["origin"]
    text = note[:note.rindex(b"\n\n") + 1]
    stranger, hint = log_key_of_another, base64.b64decode(note.split(b" ")[-1])[:4]
    made.of("a checkpoint by another key", saved,
            lambda proof: proof["checkpoint"].update(note=text + b"\n" + note_line(origin, 1, stranger, text)))
    made.of("a checkpoint by another key under the log key's hash", saved,
            lambda proof: proof["checkpoint"].update(note=text + b"\n" + note_line(origin, 1, stranger, text, hint)))
    made.of("a checkpoint with a second, wrong line by the log key", saved,
            lambda proof: proof["checkpoint"].update(note=note + note_line(origin, 1, stranger, text, hint)))
    made.of("a checkpoint without signature", saved, lambda proof: proof["checkpoint"].update(note=text + b"\n"))
    made.of("a checkpoint with a fourth line", saved,
            lambda proof: proof["checkpoint"].update(note=text + b"more\n" + note[len(text):]))

    whole = decode("Proof", bundle)
    present = [each["name"] for each in whole["items"]]
    made.of("a bundle without one record", bundle, lambda proof: proof["items"].remove(item(proof, name)))
    made.of("a bundle with a record's value only", bundle, lambda proof: item(proof, name).update(
        value=sha(item(proof, name)["envelopes"][0]), envelopes=[], sections=[]))
    made.of("a bundle with an older record", bundle, put(envelopes=before["envelopes"], sections=before["sections"]))
    made.of("a bundle without a record's sections", bundle, put(sections=[]))
    made.of("a bundle with a name more", bundle, lambda proof: proof["items"].append({"name": "U/ZZ", "value": ZERO}))
    made.of("a bundle without keys", bundle, lambda proof: proof["items"].remove(item(proof, present[0])))
    return made.made


def re_encoded(saved, schema="Proof"):
    """Every message within a saved answer or story, in every other encoding: (label, bytes)."""
    for path, kind, data in messages_in(saved, schema):
        for label, other in recodings(data):
            yield f"{kind} at {'.'.join(map(str, path)) or 'the top'}: {label}", replace_bytes(saved, path, other)


# --- An operator's forgeries ---


def users_name(record):
    return "U" + record[1:]

def operator(saved, log_key, root, authority, coordinator, stranger):
    """What an operator publishes who has the log key, and keys as named: (label, why it is refused, bytes); why is None
    for the controls, which are genuine.  saved: an answer of a place in the authority's and coordinator's state."""
    proof, made = decode("Proof", saved), []
    name = next(each["name"] for each in proof["items"] if each["name"][0] == "R")
    keys_name = "K/" + name[2:4]
    trust, register = proof["trust"][0], item(proof, "S")["envelopes"][0]
    keys, record = item(proof, keys_name)["envelopes"][0], item(proof, name)["envelopes"][0]
    sections, directory = item(proof, name)["sections"], sha(decode("Envelope", trust)["payload"])
    time_ms = int.from_bytes(proof["checkpoint"]["leaf"][74:], "big")

    def world(*chain, key=log_key, record=record, sections=sections, register=register, canonical_record=True):
        its = Operator(key, time_ms).put(trust).put(register)
        for envelope in chain or (keys,):
            its.put(envelope)
        return its.put(record, sections, None if canonical_record else name)

    def add(label, why, its, *names):
        made.append((label, why, encode("Proof", its.saved(*(names or (keys_name, name))))))

    dropped = change(keys, authority, head=next_head(keys), coordinators=[{"spki": stranger.spki}])
    kept = change(keys, authority, head=next_head(keys),
                  coordinators=payload_of(keys)["coordinators"] + [{"spki": stranger.spki}])
    add("control: what is genuine", None, world())
    made.append(("control: a bundle", None, encode("Proof", world().bundle())))
    add("control: K(2) that keeps the coordinator", None, world(keys, kept))
    add("control: K(2), and the record signed by its new coordinator", None,
        world(keys, dropped, record=change(record, stranger)))
    add("key dropped from K", "not signed by a current key", world(keys, dropped))
    made.append(("key dropped from K, in a bundle", "not signed by a current key",
                 encode("Proof", world(keys, dropped).bundle())))
    add("K(2) not signed by the authority", "too few signatures", world(keys, change(kept, stranger)))
    usurped = change(keys, stranger, head=next_head(keys), authority=[{"spki": stranger.spki}])
    add("K(2) by a new authority that the old one did not sign", "too few signatures", world(keys, usurped))
    add("K without its anchor", "does not begin at its anchor", world(kept))
    add("K(1) of another authority", "does not begin at its anchor",
        world(change(keys, stranger, authority=[{"spki": stranger.spki}], coordinators=[{"spki": stranger.spki}]),
              record=change(record, stranger)))
    add("K(3) on top of K(1)", "does not follow",
        world(keys, change(kept, authority, head=head(directory, keys_name, 3, sha(keys)))))
    add("a record signed by nobody's key", "not signed by a current key", world(record=change(record, stranger)))
    add("a record signed by the authority, not the coordinator", "not signed by a current key",
        world(record=change(record, authority)))

    outlaw = change(keys, stranger, head=head(directory, "K/XQ"), authority=[{"spki": stranger.spki}],
                    coordinators=[{"spki": stranger.spki}])
    add("a state not in S", "not in the register",
        world(keys, outlaw).put(change(record, stranger, head=head(directory, "R/XQ"), pocs=[])), "K/XQ", "R/XQ")
    add("a record of a state without keys", "not in the register|without keys",
        world().put(change(record, stranger, head=head(directory, "R/XQ"), pocs=[])), "K/XQ", "R/XQ")
    listed = payload_of(register)["entries"] + [{"state": "XQ", "anchor": sha(decode("Envelope", outlaw)["payload"]),
                                                 "reference": "none",
                                                 "date": "2026-01-01"}]
    add("a register that the enrolment keys did not sign", "too few enrolment signatures",
        world(keys, outlaw, register=change(register, stranger, head=next_head(register), entries=listed))
        .put(change(record, stranger, head=head(directory, "R/XQ"), pocs=[])), "K/XQ", "R/XQ")

    elsewhere = sha(b"another directory")
    add("another directory's record", "another directory",
        world(record=change(record, coordinator, head=head(elsewhere, name)), sections=[]))
    add("another directory's keys", "another directory",
        world(change(keys, authority, head=head(elsewhere, keys_name))))
    made.append(("another directory as a whole", "another directory's trust root", example()[1]))
    foreign = encode("Section", {**decode("Section", sections[0]), "directory_id": elsewhere})
    references = copy.deepcopy(payload_of(record)["pocs"])
    references[0]["sections"][0]["digest"] = sha(b"pocd-section-v1\n", foreign)
    add("another directory's section", "another place",
        world(record=change(record, coordinator, pocs=references), sections=[foreign, *sections[1:]]))
    moved = copy.deepcopy(payload_of(record)["pocs"])
    moved[0]["sections"][0]["name"] = "elsewhere"
    add("a section under another name", "another place", world(record=change(record, coordinator, pocs=moved)))

    add("a checkpoint by another key", "no log key", world(key=stranger))
    second = world()
    second.put(change(trust, stranger, head={**head(directory, "T", 2, sha(trust))},
                      root_keys=[{"spki": stranger.spki}]))
    add("T(2) that the root keys of T(1) did not sign", "too few root signatures", second)
    third = world()
    third.put(change(trust, root, stranger, head=head(directory, "T", 2, sha(trust)),
                     root_keys=[{"spki": stranger.spki}],
                     log_keys=[{"spki": stranger.spki}]))
    add("T(2) drops the log key that signed", "no log key", third)
    fourth = world(key=stranger)
    fourth.trust = third.trust
    add("control: T(2) with new root and log keys", None, fourth)
    no_state = world()
    no_state.state_kind = 1
    add("a checkpoint that does not end on a STATE leaf", "not a STATE leaf", no_state)

    made.extend(trust_roots(trust, root, stranger, world))
    made.extend(authorities(keys, authority, keys_name, name, world))
    made.extend(algorithms(trust, register, keys, record, coordinator, root, world))
    made.extend(replacements(trust, register, keys, record, sections, log_key, root, stranger))

    for label, curve in (("P-256", ec.SECP256R1()), ("P-384", ec.SECP384R1())):
        signer = Signer(ec.generate_private_key(curve))
        its = change(keys, authority, head=next_head(keys), coordinators=[{"spki": signer.spki}])
        add(f"control: a coordinator's {label} key", None, world(keys, its, record=change(record, signer)))
        add(f"a record that another {label} key signed", "not signed by a current key",
            world(keys, its, record=change(record, Signer(ec.generate_private_key(curve)))))

    unit, editor = name + "/harbour", Signer.fresh()
    users = seal("U", encode("Users", {"head": head(directory, users_name(unit)), "issued": time_ms // 1000,
                                       "editors": [{"spki": editor.spki}]}), coordinator)
    own = head(directory, unit)
    for label, why, its, signer in (("control: a unit's record by its editor", None, users, editor),
                                    ("control: a unit's record by a coordinator", None, users, coordinator),
                                    ("a unit's record by a stranger", "not signed by a current key", users, stranger),
                                    ("a unit's record by the editor of a U that a stranger signed",
                                     "not signed by a current key", change(users, stranger), editor)):
        add(label, why, world().put(its).put(change(record, signer, head=own, pocs=[])), keys_name, users_name(unit),
            unit)
    add("a state's record by a unit's editor", "not signed by a current key",
        world(record=change(record, editor)).put(users), keys_name, users_name(unit), name)

    auditors = [(f"auditor{i}.example", Signer.fresh()) for i in range(3)]
    audited = change(trust, root, head=head(directory, "T", 2, sha(trust)), quorum=2,
                     auditors=[{"name": each, "spki": signer.spki, "state": "XA"} for each, signer in auditors])
    now = time_ms // 1000

    def cosigned(label, why, *lines):
        its = world().put(audited)
        its.cosigners = [(*auditors[i], time, None) for i, time in lines]
        add(label, why, its)

    cosigned("control: two of three auditors", None, (0, now), (2, now))
    cosigned("control: two of three, one of them twice", None, (0, now), (0, now + 1), (1, now))
    cosigned("no auditor", "too few auditors")
    cosigned("one auditor", "too few auditors", (1, now))
    cosigned("one auditor twice", "too few auditors", (1, now), (1, now + 1))
    for label, line in (("a stranger under an auditor's name", (auditors[1][0], stranger, now, None)),
                        ("an unlisted auditor", ("auditor9.example", stranger, now, None))):
        its = world().put(audited)
        its.cosigners = [(*auditors[0], now, None), line]
        add(label, "too few auditors", its)
    before, its = world().put(audited), world().put(audited)
    before.time_ms -= 1000
    before.cosigners = [(*auditors[i], now - 1, None) for i in (0, 1)]
    older = before.checkpoint()["note"]
    its.lines = older[older.rindex(b"\n\n") + 2:].split(b"\n", 1)[1]
    add("two auditors' lines from another checkpoint", "is wrong", its)
    its = world().put(audited)
    hint = sha(auditors[2][0].encode(), b"\n\4", auditors[2][1].raw)[:4]
    its.cosigners = [(*auditors[0], now, None), (*auditors[1], now, None), (auditors[2][0], stranger, now, hint)]
    add("a quorum, and a wrong line by the third auditor", "is wrong", its)

    payload = decode("Envelope", record)["payload"]
    for label, other in recodings(payload):
        add(f"a signed record with {label}", "Record: ",
            world(record=seal("R", other, coordinator), canonical_record=False))
    for label, other in recodings(sections[0]):
        pocs = copy.deepcopy(payload_of(record)["pocs"])
        pocs[0]["sections"][0]["digest"] = sha(b"pocd-section-v1\n", other)
        add(f"a signed section with {label}", "Section: ",
            world(record=change(record, coordinator, pocs=pocs), sections=[other, *sections[1:]]))
    for label, other in recodings(record):
        add(f"an envelope with {label}", "Envelope: ", world(record=other, canonical_record=False))
    return made


def trust_roots(trust, root, stranger, world):
    """Versions of T that some of the root keys signed."""
    made, others = [], [Signer.fresh() for _ in range(3)]

    def version(before, *signers, **fields):
        return change(before, *signers, head=head(sha(decode("Envelope", trust)["payload"]), "T",
                                                  payload_of(before)["head"]["seq"] + 1, sha(before)), **fields)

    def add(label, why, *chain):
        its = world()
        for each in chain:
            its.put(each)
        made.append((label, why, encode("Proof", its.saved(*(name for name in its.chains if name[0] in "KR")))))

    roots = [{"spki": signer.spki} for signer in others]
    two_of_three = version(trust, root, *others[:2], root_keys=roots, root_threshold=2)
    add("control: T(2) with two of three new root keys", None, two_of_three)
    add("control: T(3) by two of three", None, two_of_three, version(two_of_three, *others[1:]))
    add("T(3) by one of three", "too few root signatures", two_of_three, version(two_of_three, others[0]))
    add("T(3) by the root key that T(2) dropped", "too few root signatures", two_of_three,
        version(two_of_three, root, root_keys=[{"spki": root.spki}], root_threshold=1))
    add("T(3) by the dropped root key and one of three", "too few root signatures", two_of_three,
        version(two_of_three, root, others[0]))
    add("T(2) that its own root keys did not sign", "too few root signatures",
        version(trust, root, root_keys=[{"spki": stranger.spki}]))
    add("T(2) with another origin", "does not follow", version(trust, root, origin="elsewhere.test/2026"))
    add("T(3) on top of T(1)", "follow", version(two_of_three, *others[1:]))
    add("T(2) that drops the enrolment key that signed S", "too few enrolment signatures",
        version(trust, root, enrolment_keys=[{"spki": stranger.spki}]))
    return made


def authorities(keys, authority, keys_name, name, world):
    """K(2) and K(3) with thresholds: of the old list and of the new one."""
    made, new = [], [Signer(ec.generate_private_key(ec.SECP384R1())) for _ in range(3)]
    later = [Signer.fresh() for _ in range(3)]

    def version(before, signers, list_, threshold):
        return change(before, *signers, head=next_head(before), authority=[{"spki": each.spki} for each in list_],
                      authority_threshold=threshold)

    def add(label, why, *chain):
        made.append((label, why, encode("Proof", world(keys, *chain).saved(keys_name, name))))

    second = version(keys, [authority, *new[:2]], new, 2)
    add("control: K(2) with two of three authority keys", None, second)
    add("K(2) that one of its three signed", "too few signatures", version(keys, [authority, new[0]], new, 2))
    add("K(2) that none of its three signed", "too few signatures", version(keys, [authority], new, 2))
    add("K(2) that the old authority did not sign", "too few signatures", version(keys, new, new, 2))
    add("control: K(3) by two of the old and two of the new", None, second, version(second, [*new[1:], *later[:2]], later, 2))
    add("K(3) by one of the old and three of the new", "too few signatures", second, version(second, [new[0], *later], later, 2))
    add("K(3) by three of the old and one of the new", "too few signatures", second, version(second, [*new, later[0]], later, 2))
    add("K(3) by one of the old and the key that K(2) dropped", "too few signatures", second,
        version(second, [new[0], authority, *later], later, 2))
    add("K(3) by two who stand in both lists", "too few signatures", second,
        version(second, [new[0], later[0]], [new[0], *later], 2))
    add("control: K(3) by two of both lists", None, second, version(second, new[:2], new, 2))
    for label, why, spki in odd_keys():
        add(label, why, change(keys, authority, head=next_head(keys),
                               coordinators=[*payload_of(keys)["coordinators"], {"spki": bytes.fromhex(spki)}]))
    return made


def odd_keys():
    """(label, why, SPKI in hexadecimal): of unknown algorithms, and of known ones in other encodings."""
    known, ed25519 = "known algorithm in another encoding", Signer.fresh().raw.hex()
    return [("control: a key of an unknown algorithm", None, "3009300706032a03040500"),
            ("control: a known algorithm's name elsewhere in a key", None, "3009300406022a03" + "06032b65"[:0] + "040100"),
            ("control: the name of Ed25519 behind another", None, "300b300406022a0306032b6570"),
            ("control: an empty SEQUENCE", None, "3000"),
            ("Ed25519 with parameters", known, "302c300706032b65700500032100" + ed25519),
            ("Ed25519 without a key", known, "3007300506032b6570"),
            ("a long length within", known, "302b30810506032b6570032100" + ed25519),
            ("an unknown curve", known, "3012300d06072a8648ce3d020106022a03030100"),
            ("a compressed point", known, "3039301306072a8648ce3d020106082a8648ce3d030107032200" + "02" + "11" * 32),
            ("no SEQUENCE", "not DER", "310500"),
            ("a byte behind the SEQUENCE", "not DER", "300000")]


def algorithms(trust, register, keys, record, coordinator, root, world):
    """T(2) names other algorithms than T(1): what was signed by another counts for nothing."""
    made, enrolment = [], Signer(ec.generate_private_key(ec.SECP384R1()))
    council, authority, writer = (Signer(ec.generate_private_key(ec.SECP384R1())) for _ in range(3))
    directory, names = sha(decode("Envelope", trust)["payload"]), [payload_of(each)["head"]["name"] for each in (keys, record)]

    def add(label, why, named, council=council, enrolment=enrolment, authority=authority, writer=writer):
        first = change(keys, authority, authority=[{"spki": authority.spki}], coordinators=[{"spki": writer.spki}])
        entries = [{**entry, "anchor": sha(decode("Envelope", first)["payload"])} if entry["state"] == names[0][2:] else entry
                   for entry in payload_of(register)["entries"]]
        its = world(first, register=change(register, enrolment, entries=entries), record=change(record, writer))
        its.put(change(trust, root, council, head=head(directory, "T", 2, sha(trust)), algorithms=named,
                       root_keys=[{"spki": council.spki}], enrolment_keys=[{"spki": enrolment.spki}]))
        made.append((label, why, encode("Proof", its.saved(*names))))

    only = ["ecdsa-p384-sha384"]
    add("control: one algorithm for all", None, only)
    add("control: one known algorithm and one of tomorrow", None, ["ecdsa-p384-sha384", "ml-dsa-65"])
    add("a council by an algorithm that T does not name", "too few root signatures", only, council=Signer.fresh())
    add("a register by an algorithm that T does not name", "too few enrolment signatures", only, enrolment=Signer.fresh())
    add("an authority by an algorithm that T does not name", "too few signatures", only, authority=Signer.fresh())
    add("a record by an algorithm that T does not name", "not signed by a current key", only, writer=coordinator)
    add("a T that names no known algorithm", "wrong algorithms", ["ml-dsa-65"])
    add("a T that names algorithms out of order", "wrong algorithms", ["ed25519", "ecdsa-p384-sha384"])
    return made


def verdicts(saved, log_key, root, enrolment, authority, stranger):
    """What verifies and is not simply good: (label, exit status, verdict, bytes)."""
    proof, made = decode("Proof", saved), []
    name = next(each["name"] for each in proof["items"] if each["name"][0] == "R")
    state, keys_name = name[2:4], "K/" + name[2:4]
    trust, register = proof["trust"][0], item(proof, "S")["envelopes"][0]
    keys, record = item(proof, keys_name)["envelopes"][0], item(proof, name)["envelopes"][0]
    directory, time = sha(decode("Envelope", trust)["payload"]), int.from_bytes(proof["checkpoint"]["leaf"][74:], "big") // 1000

    def add(label, status, words, *more, time=time):
        its = Operator(log_key, time * 1000).put(trust).put(register).put(keys).put(record, item(proof, name)["sections"])
        for each in more:
            its.put(each, its.sections.get(payload_of(each)["head"]["name"], []))
        made.append((label, status, words, encode("Proof", its.saved(keys_name, name))))

    def second(**fields):
        return change(trust, root, head=head(directory, "T", 2, sha(trust)), **fields)

    def replaced(*listed):
        return second(replaced=[{"state": state, "keys": sha(decode("Envelope", each)["payload"]), "not_before": at}
                                for each, at in listed])

    council = change(keys, stranger, head=next_head(keys), authority=[{"spki": stranger.spki}])
    again = change(council, root, head=next_head(council), authority=[{"spki": root.spki}])
    soon, issued = time + payload_of(trust)["replacement_delay"], payload_of(trust)["issued"]
    add("control", 0, "fresh")
    add("a T that ends this second", 7, "stale", second(expires=time))
    add("a T that ends a second later", 0, "fresh", second(expires=time + 1))
    add("a T with another greatest age", 0, "fresh", second(max_age=60))
    entries = payload_of(register)["entries"]
    for flag, status, words in ((True, 7, "suspended"), (False, 0, "fresh")):
        add(f"the flag in S is {flag}", status, words, change(register, enrolment, head=next_head(register), entries=[
            {**entry, "suspended": entry["state"] == state and flag} for entry in entries]))
    add("the flag in S is another state's", 0, "fresh", change(register, enrolment, head=next_head(register), entries=[
        {**entry, "suspended": entry["state"] == "XA" != state} for entry in entries]))
    add("a replacement that has not come", 7, "suspended", replaced((council, soon)))
    add("a replacement that could have come", 7, "suspended", replaced((council, issued + payload_of(trust)["replacement_delay"])), time=soon)
    add("a replacement that has come", 0, "fresh, replaced by the council", replaced((council, soon)), council, time=soon)
    add("the second of two has not come", 7, "suspended", replaced((council, soon), (again, soon + 1)), council, time=soon)
    add("both have come", 0, "fresh, replaced by the council", replaced((council, soon), (again, soon + 1)), council, again, time=soon + 1)
    add("another state's replacement", 0, "fresh", second(replaced=[{"state": "XQ", "keys": sha(b"XQ"), "not_before": soon}]))
    dropped = change(keys, authority, head=next_head(keys), coordinators=[{"spki": stranger.spki}], emergency=True)
    kept = change(keys, authority, head=next_head(keys), emergency=True)
    add("an emergency that drops who signed the record", 6, "lapsed", dropped)
    add("an emergency that drops nobody", 0, "fresh", kept)
    return made


def cosignatures(saved, log_key, root):
    """(label, why, when, bytes): auditors' lines; when: the time that a verifier reads from them."""
    proof, made = decode("Proof", saved), []
    trust, time = proof["trust"][0], int.from_bytes(proof["checkpoint"]["leaf"][74:], "big") // 1000
    auditors = [(f"auditor{i}.example", Signer.fresh()) for i in range(3)]
    audited = change(trust, root, head=next_head(trust, sha(decode("Envelope", trust)["payload"])), quorum=2,
                     auditors=[{"name": name, "spki": signer.spki, "state": "XA"} for name, signer in auditors])

    def add(label, why, when, *lines):
        its = Operator(log_key, time * 1000).put(trust).put(audited)
        for each in proof["items"]:
            for envelope in each.get("envelopes", []):
                its.put(envelope, each.get("sections", []))
        its.cosigners = [(*auditors[i], time + at, None) for i, at in lines]
        made.append((label, why, time + when, encode("Proof", its.saved(*(name for name in its.chains if name != "S")))))

    add("the second newest counts", None, 5, (0, 9), (1, 1), (2, 5))
    add("of one auditor's lines the newest", None, 7, (0, 2), (0, 9), (1, 7))
    add("in any order", None, 7, (0, 9), (1, 7), (0, 2))
    add("an auditor's older line and another's", None, 3, (0, 2), (0, 9), (1, 3), (1, 1))
    add("thirty-two lines", None, 30, *[(i % 2, i) for i in range(1, 32)])
    add("thirty-three lines", "32 signature lines", 0, *[(i % 2, i) for i in range(1, 33)])
    add("one auditor, thirty times", "too few auditors", 0, *[(0, i) for i in range(1, 31)])
    return made


def replacements(trust, register, keys, record, sections, log_key, root, stranger):
    """The council replaces a state's authority by T(2), after the delay or before."""
    made, delay = [], payload_of(trust)["replacement_delay"]
    soonest = payload_of(trust)["issued"] + delay
    state = payload_of(keys)["head"]["name"][2:]
    council = change(keys, stranger, head=next_head(keys), authority=[{"spki": stranger.spki}],
                     coordinators=[{"spki": stranger.spki}])
    directory = sha(decode("Envelope", trust)["payload"])

    def add(label, why, not_before=soonest, time=soonest, value=sha(decode("Envelope", council)["payload"])):
        its = Operator(log_key, time * 1000).put(trust).put(change(
            trust, root, head=head(directory, "T", 2, sha(trust)),
            replaced=[{"state": state, "keys": value, "not_before": not_before}]))
        its.put(register).put(keys).put(council).put(change(record, stranger), sections)
        made.append((label, why, encode("Proof", its.saved("K/" + state, payload_of(record)["head"]["name"]))))

    add("control: an authority replaced by the council", None)
    again = change(council, root, head=next_head(council), authority=[{"spki": root.spki}],
                   coordinators=[{"spki": root.spki}])
    for label, why, listed in (("control: an authority replaced twice", None, (council, again)),
                               ("the first of two replacements left out", "too few signatures", (again,))):
        its = Operator(log_key, (soonest + 1) * 1000).put(trust).put(change(
            trust, root, head=head(directory, "T", 2, sha(trust)),
            replaced=[{"state": state, "keys": sha(decode("Envelope", each)["payload"]), "not_before": soonest + i}
                      for i, each in enumerate(listed)]))
        its.put(register).put(keys).put(council).put(again).put(change(record, root), sections)
        made.append((label, why, encode("Proof", its.saved("K/" + state, payload_of(record)["head"]["name"]))))
    twice = [{"state": state, "keys": sha(decode("Envelope", council)["payload"]), "not_before": soonest + at} for at in (0, 9)]
    its = Operator(log_key, (soonest + 9) * 1000).put(trust).put(change(trust, root, head=head(directory, "T", 2, sha(trust)), replaced=twice))
    its.put(register).put(keys).put(council).put(change(record, stranger), sections)
    made.append(("one K that replaces at two times", "one K replaces twice", encode("Proof", its.saved("K/" + state, payload_of(record)["head"]["name"]))))
    add("an authority replaced a second before its time", "before its time", time=soonest - 1)
    add("an authority replaced sooner than the delay allows", "comes too early", not_before=soonest - 1)
    add("an authority replaced by another K than T says", "too few signatures", value=sha(b"another"))
    return made


def documents(bundle, log_key, coordinator, stranger):
    """Bundles of an operator whose document is not as it must be; coordinator: of the directory."""
    proof = decode("Proof", bundle)
    time_ms = int.from_bytes(proof["checkpoint"]["leaf"][74:], "big")
    genuine = next(each["envelopes"][0] for each in proof["items"] if each["name"][0] == "D")

    def world(document):
        its = Operator(log_key, time_ms)
        for envelope in proof["trust"]:
            its.put(envelope)
        for each in proof["items"]:
            for envelope in each.get("envelopes", []):
                its.put(document if each["name"][0] == "D" else envelope, each.get("sections", []))
        return encode("Proof", its.bundle())

    return [("control: the genuine document", None, world(genuine)),
            ("control: signed anew", None, world(change(genuine, coordinator))),
            ("control: withdrawn", None, world(change(genuine, coordinator, text="", withdrawn=True))),
            ("a document signed by nobody's key", "not signed by a current key", world(change(genuine, stranger))),
            ("a withdrawn document with text", "a wrong text in D", world(change(genuine, coordinator, withdrawn=True))),
            ("a document without text", "a wrong text in D", world(change(genuine, coordinator, text=""))),
            ("a document without title", "a wrong D", world(change(genuine, coordinator, title=""))),
            ("a document of no kind", "a wrong D", world(change(genuine, coordinator, kind=0)))]


def main():
    if sys.argv[1:] != ["example"]:
        sys.exit(__doc__)
    directory, data, parts = example()
    print(directory.hex())
    text = data.hex()
    for at in range(0, len(text), 128):
        print(text[at:at + 128])
    print("\nrecord", parts["record"].hex(), "\nsection", parts["section"].hex(), "\ndigest", parts["digest"].hex())
    for name, value in parts["values"].items():
        print(name, key_of(name).hex(), value.hex())
    print("leaf", parts["proof"]["checkpoint"]["leaf"].hex(), "\n" + parts["proof"]["checkpoint"]["note"].decode())


if __name__ == "__main__":
    main()
