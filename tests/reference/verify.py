#!/usr/bin/python3
"""verify: an independent verifier of saved answers and bundles, written from docs/protocol.md alone.  Beside it: story.py
verifies saved stories of notices, held.py heads for a client that holds an older one, ceremony.py ceremony files.

    verify.py --id DIRECTORY_ID [--state CC --role ROLE]... [--quorum N] [--at SECONDS] FILE

Prints one line a record and one of the head; exit status 0 proven, 5 proven absent or withdrawn, 6 does not verify,
7 stale or suspended (of several records the highest).  --state and --role say whose file it is: the sections that this
reader is entitled to must be there; without them those that every reader is.
"""
import argparse
import base64
import binascii
import hashlib
import re
import sys
import unicodedata

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

import canonical
from canonical import get

ZERO = bytes(32)
FOUND, EMPTY, OTHER = range(3)
CLEAR, GREEN, AMBER, AMBER_STRICT = range(1, 5)
PLAIN, OPERATOR, OWN = range(3)
READERS = ["admin", "alert", "coordinator", "editor", "mirror", "operator", "reader", "server", "service"]
DAY = 86400


class Refused(Exception):
    """The proof does not verify."""


def demand(condition, why):
    if not condition:
        raise Refused(why)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def decode(kind, data):
    try:
        return canonical.decode(kind, data)
    except canonical.Malformed as error:
        raise Refused(f"{kind}: {error}") from None


# --- Names ---

UNIT = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
NAME = re.compile(rf"(?P<kind>[TS])|(?P<k>[K])/(?P<ks>[A-Z]{{2}}|@directory)|U/(?P<us>[A-Z]{{2}}|@directory)"
                  rf"|(?P<ru>[UR])/(?P<rs>[A-Z]{{2}})(/(?P<unit>{UNIT}))?|P/[A-Z]{{2}}|D/(?P<document>{UNIT})")
ID = re.compile(r"[a-z0-9-]{1,40}")
TYPES = {"T": ("trust", "Trust", 16), "S": ("register", "Register", 48), "K": ("keys", "Keys", 8),
         "U": ("users", "Users", 48),
         "R": ("record", "Record", 16), "D": ("document", "Document", 16), "P": ("pings", "Pings", 16)}


class Name:
    def __init__(self, text):
        match = NAME.fullmatch(text)
        demand(match, f"{text!r} is no name")
        self.text, self.kind = text, text[0]
        parts = text.split("/")
        self.state = parts[1] if len(parts) > 1 else ""
        self.unit = parts[2] if len(parts) > 2 else ""
        if self.kind == "D":
            self.state, self.unit = "@directory", parts[1]


def valid_state(text):
    return re.fullmatch(r"[A-Z]{2}|@directory", text) is not None


def valid_unit(text):
    return re.fullmatch(UNIT, text) is not None


# --- Keys and signatures ---

SHAPES = [("ed25519", bytes.fromhex("302a300506032b6570032100"), 32, 64, None),
          ("ecdsa-p256-sha256", bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), 64, 64,
           hashes.SHA256()),
          ("ecdsa-p384-sha384", bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), 96, 96,
           hashes.SHA384())]
LOW_ORDER = {bytes([1]) + bytes(31), bytes([0xEC]) + b"\xff" * 30 + b"\x7f", bytes(32),
             bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
             bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")}


def _sequence(data):
    """Whether one DER SEQUENCE spans the bytes."""
    if len(data) < 2 or data[0] != 0x30:
        return False
    if data[1] < 0x80:
        return len(data) == 2 + data[1]
    if data[1] == 0x81:
        return len(data) >= 3 and data[2] >= 0x80 and len(data) == 3 + data[2]
    return data[1] == 0x82 and len(data) >= 4 and data[2] != 0 and len(data) == 4 + (data[2] << 8 | data[3])


def _header(data):
    """Size of a DER header, of a length in one of three forms; 0: of another."""
    return 0 if len(data) < 2 else 2 if data[1] < 0x80 else {0x81: 3, 0x82: 4}.get(data[1], 0)


def _names_known_algorithm(spki):
    """Whether the SPKI's AlgorithmIdentifier begins with the OID of a known algorithm."""
    inner = spki[_header(spki):]
    return inner[:1] == b"\x30" and _header(inner) > 0 and inner[_header(inner):].startswith(
        (bytes.fromhex("06032b6570"), bytes.fromhex("06072a8648ce3d0201")))


class Key:
    seen = {}

    def __new__(cls, spki):
        if spki not in cls.seen:
            key = super().__new__(cls)
            key._load(spki)
            cls.seen[spki] = key
        return cls.seen[spki]

    def _load(self, spki):
        demand(len(spki) <= 512 and _sequence(spki), "a key is not DER of at most 512 bytes")
        self.id, self.algorithm, self.raw, self.checked = sha(spki), None, None, {}
        for name, prefix, size, self.signature_size, self.digest in SHAPES:
            if spki.startswith(prefix) and len(spki) == len(prefix) + size:
                self.algorithm = name
                break
        if self.algorithm == "ed25519":
            self.raw = spki[-32:]
            y = self.raw[:31] + bytes([self.raw[31] & 0x7F])
            demand(int.from_bytes(y, "little") < 2 ** 255 - 19 and y not in LOW_ORDER,
                   "an Ed25519 key is not acceptable")
            self.public = ed25519.Ed25519PublicKey.from_public_bytes(self.raw)
        elif self.algorithm:
            try:
                self.public = load_der_public_key(spki)
            except (ValueError, UnsupportedAlgorithm):
                raise Refused("a key is no point of its curve") from None
        else:
            demand(not _names_known_algorithm(spki), "a key of a known algorithm in another encoding")

    def verifies(self, signature, data):
        if (signature, data) not in self.checked:
            self.checked[signature, data] = self._verify(signature, data)
        return self.checked[signature, data]

    def _verify(self, signature, data):
        if not self.algorithm or len(signature) != self.signature_size:
            return False
        try:
            if self.raw:
                self.public.verify(signature, data)
            else:
                half = len(signature) // 2
                r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                self.public.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(self.digest))
            return True
        except InvalidSignature:
            return False


def keys_of(message, kind, field, most):
    entries = get(message, kind, field)
    keys = [Key(get(entry, "Key", "spki")) for entry in entries]
    demand(len(keys) <= most and len({key.id for key in keys}) == len(keys), f"{kind}.{field}: too many, or one twice")
    return keys


def check_threshold(keys, threshold):
    demand(1 <= threshold <= sum(key.algorithm is not None for key in keys), "a threshold that cannot be met")


def ascending(values):
    return all(a < b for a, b in zip(values, values[1:]))


# --- Envelopes and payload rules ---

class Envelope:
    """A parsed envelope whose payload obeys the rules that need nothing else."""

    def __init__(self, data, least=1):
        """least: how many signatures it must have."""
        demand(1 <= len(data) <= 52 * 1024, "an envelope has 1 to 53,248 bytes")
        outer = decode("Envelope", data)
        self.value, self.data = sha(data), data
        self.type, payload = get(outer, "Envelope", "type"), get(outer, "Envelope", "payload")
        kinds = [k for k, (word, _, _) in TYPES.items() if self.type == f"application/vnd.pocd.{word}.v1+protobuf"]
        demand(kinds, "unknown payload type")
        self.kind, (_, self.schema, most) = kinds[0], TYPES[kinds[0]]
        demand(0 < len(payload) <= most * 1024, "a payload of a wrong size")
        self.payload_hash = sha(payload)
        self.signatures = {}
        for entry in get(outer, "Envelope", "signatures"):
            key_id, signature = get(entry, "Signature", "key_id"), get(entry, "Signature", "signature")
            demand(len(key_id) == 32 and 1 <= len(signature) <= 128 and key_id not in self.signatures,
                   "a wrong signature entry")
            self.signatures[key_id] = signature
        demand(least <= len(self.signatures) <= 16, "an envelope has 1 to 16 signatures")
        kind = self.type.encode()
        self.signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        self.payload = decode(self.schema, payload)
        self._check_head()
        getattr(self, "_check_" + self.schema.lower())()

    def get(self, field):
        return get(self.payload, self.schema, field)

    def _check_head(self):
        head = self.get("head")
        demand(head is not None, "a payload without head")
        self.name, self.seq, self.prev = Name(get(head, "Head", "name")), get(head, "Head", "seq"), get(head, "Head",
                                                                                                        "prev")
        self.directory = get(head, "Head", "directory_id")
        demand(self.name.kind == self.kind, "a name that the type cannot have")
        demand(len(self.directory) == (0 if self.kind == "T" and self.seq == 1 else 32),
               "directory id of a wrong length")
        demand(self.seq >= 1 and len(self.prev) == 32 and (self.seq == 1) == (self.prev == ZERO), "a wrong seq or prev")

    def keys(self, field, most=16):
        return keys_of(self.payload, self.schema, field, most)

    def _check_trust(self):
        origin = self.get("origin")
        demand(re.fullmatch(r"[!-*,-~]{1,128}", origin), "a wrong origin")
        log = self.keys("log_keys", 4)
        demand(log and all(key.raw for key in log), "log keys are 1 to 4 Ed25519 keys")
        check_threshold(self.keys("root_keys"), self.get("root_threshold"))
        check_threshold(self.keys("enrolment_keys"), self.get("enrolment_threshold"))
        self.auditors = [(get(a, "Auditor", "name"), Key(get(a, "Auditor", "spki"))) for a in self.get("auditors")]
        for entry, (name, key) in zip(self.get("auditors"), self.auditors):
            demand(valid_key_name(name) and key.raw and valid_state(get(entry, "Auditor", "state")), "a wrong auditor")
        n = len(self.auditors)
        demand(n <= 16 and len({a for a, _ in self.auditors}) == n == len({k.id for _, k in self.auditors}),
               "auditors are not distinct")
        demand(self.get("quorum") <= n, "a quorum above the number of auditors")
        names = self.get("algorithms")
        demand(1 <= len(names) <= 16 and ascending([a.encode() for a in names]) and
               all(1 <= len(a.encode()) <= 64 for a in names) and
               any(a == shape[0] for shape in SHAPES for a in names), "wrong algorithms")
        replaced = self.get("replaced")
        demand(len({get(r, "Replacement", "keys") for r in replaced}) == len(replaced), "one K replaces twice")
        demand(len(replaced) <= 64 and ascending([(get(r, "Replacement", "state"), get(r, "Replacement", "not_before"))
                                                  for r in replaced]),
               "wrong replacements")
        for r in replaced:
            demand(valid_state(get(r, "Replacement", "state")) and len(get(r, "Replacement", "keys")) == 32 and
                   get(r, "Replacement", "not_before") > 0, "a wrong replacement")
        demand(0 < self.get("issued") < self.get("expires") and self.get("max_age") >= 60 and
               self.get("least_protocol") >= 1,
               "wrong times in T")

    def _check_register(self):
        entries = self.get("entries")
        demand(self.get("issued") > 0 and 1 <= len(entries) <= 700, "a wrong register")
        demand(ascending([get(e, "Entry", "state") for e in entries]), "the register is not ascending")
        for e in entries:
            reference = get(e, "Entry", "reference")
            demand(valid_state(get(e, "Entry", "state")) and len(get(e, "Entry", "anchor")) == 32 and
                   re.fullmatch(r"\d{4}-\d\d-\d\d", get(e, "Entry", "date"), re.ASCII) and
                   line_text(reference, 200), "a wrong entry in the register")
            reason = get(e, "Entry", "reason")
            demand(not reason or (get(e, "Entry", "suspended") and line_text(reason, 200)), "a wrong reason in the register")

    def entry(self, state):
        return next((e for e in self.get("entries") if get(e, "Entry", "state") == state), None)

    def _check_keys(self):
        demand(self.get("issued") > 0, "K without issued")
        check_threshold(self.keys("authority"), self.get("authority_threshold"))
        self.keys("coordinators")

    def _check_users(self):
        users, reading, editors = self.get("users"), self.get("reading_keys"), self.keys("editors")
        handles = [get(u, "User", "handle") for u in users]
        demand(self.get("issued") > 0 and len(users) <= 150 and len(reading) <= 200 and ascending(handles), "a wrong U")
        demand(not editors or self.name.unit, "only a unit has editors")
        spkis = [get(u, "User", "spki") for u in users] + [get(r, "ReadingKey", "spki") for r in reading]
        spkis += [get(e, "Key", "spki") for e in self.get("editors")]
        demand(len(set(spkis)) == len(spkis), "the same key twice in U")
        staff = self.name.state == "@directory"
        for u in users:
            roles = get(u, "User", "roles")
            demand(valid_unit(get(u, "User", "handle")) and Key(get(u, "User", "spki")).algorithm and
                   get(u, "User", "not_after") >= 0, "a wrong user")
            demand(roles and 0 not in roles and ascending(roles) and all(r == 3 or (r >= 6) == staff for r in roles),
                   "wrong roles")
            self._check_kinds(get(u, "User", "kinds"))
        for r in reading:
            handle, holder = get(r, "ReadingKey", "handle"), get(r, "ReadingKey", "holder")
            demand(Key(get(r, "ReadingKey", "spki")).algorithm == "ecdsa-p384-sha384" and holder and
                   (holder == 1) == bool(handle) and (not handle or handle in handles) and
                   get(r, "ReadingKey", "not_after") >= 0,
                   "a wrong reading key")
            self._check_kinds(get(r, "ReadingKey", "kinds"))

    def _check_document(self):
        text, withdrawn = self.get("text"), self.get("withdrawn")
        demand(self.get("issued") > 0 and self.get("kind") in (1, 2, 3) and line_text(self.get("title"), 200), "a wrong D")
        demand(not text if withdrawn else text.replace("\n", "") and line_text(text.replace("\n", "."), 16 * 1024), "a wrong text in D")

    @staticmethod
    def _check_kinds(kinds):
        demand(0 not in kinds and ascending(kinds), "wrong kinds of POC")

    def _check_record(self):
        issued, confirmed, expires = self.get("issued"), self.get("confirmed"), self.get("expires")
        demand(0 < issued <= confirmed < expires <= confirmed + 400 * DAY, "wrong times in a record")
        pocs, own = self.get("pocs"), self.get("sections")
        demand(not self.get("withdrawn") or not (pocs or own), "a withdrawn record with POCs")
        demand(len(pocs) <= 16 and len(own) <= 4, "too many POCs or sections")
        ids = [get(p, "PointOfContact", "id") for p in pocs]
        demand(len(set(ids)) == len(ids) and all(ID.fullmatch(i) for i in ids), "wrong ids of POCs")
        for p in pocs:
            sections = get(p, "PointOfContact", "sections")
            demand(get(p, "PointOfContact", "kind") in (1, 2) and 1 <= len(sections) <= 16, "a wrong POC")
            self._check_references(sections)
        self._check_references(own)

    @staticmethod
    def _check_references(sections):
        names = [get(s, "SectionRef", "name") for s in sections]
        demand(len(set(names)) == len(names), "two sections of one name")
        for s in sections:
            demand(ID.fullmatch(get(s, "SectionRef", "name")) and get(s, "SectionRef", "tlp") != 0 and
                   len(get(s, "SectionRef", "digest")) == 32, "a wrong section reference")

    def _check_pings(self):
        pings, orders = self.get("pings"), []
        demand(self.get("issued") > 0 and 1 <= len(pings) <= 96, "a wrong P")
        for ping in pings:
            round_, poc, channel, asked, answered = (get(ping, "Ping", field) for field in
                                                     ("round", "poc", "channel", "asked", "answered"))
            orders.append((round_, poc, channel.encode()))
            demand(poc in (1, 2) and ID.fullmatch(channel) and round_ > 0 and asked > 0 and
                   (answered == 0 or answered >= asked) and
                   len(get(ping, "Ping", "receipt")) == (32 if answered else 0) and
                   (answered or not get(ping, "Ping", "automatic")), "a wrong ping")
        demand(ascending(orders), "pings are not ascending")

    def last_answered(self):
        """The latest answer by a person, else by a program; 0: none."""
        answers = [(not get(p, "Ping", "automatic"), get(p, "Ping", "answered")) for p in self.get("pings")
                   if get(p, "Ping", "answered")]
        return max(answers, default=(False, 0))[1]

    def references(self):
        """(POC id, reference) in the order in which sections stand."""
        for p in self.get("pocs"):
            for s in get(p, "PointOfContact", "sections"):
                yield get(p, "PointOfContact", "id"), s
        for s in self.get("sections"):
            yield "", s

    def count(self, keys, algorithms):
        return sum(key.algorithm in algorithms and
                   key.verifies(self.signatures.get(key.id, b""), self.signed) for key in keys)


def line_text(text, most):
    bad = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
                     "\U000e0000-\U000e007f\ufff9-\ufffb\ufdd0-\ufdef]")
    return (1 <= len(text) <= most and not bad.search(text) and not any(ord(c) & 0xFFFE == 0xFFFE for c in text) and
            any(unicodedata.category(c) != "Zs" for c in text))


# --- Log and map ---

def verify_inclusion(index, size, leaf_hash, path, root):
    at, f, s = leaf_hash, index, size - 1
    for v in path:
        if s == 0:
            return False
        if f & 1 or f == s:
            at = sha(b"\1", v, at)
            while not f & 1 and f:
                f, s = f >> 1, s >> 1
        else:
            at = sha(b"\1", at, v)
        f, s = f >> 1, s >> 1
    return s == 0 and at == root


def verify_consistency(m, old, n, new, path):
    if m == n:
        return not path and old == new
    if not 0 < m < n:
        return False
    path = [old, *path] if m & (m - 1) == 0 else list(path)
    if not path:
        return False
    f, s = m - 1, n - 1
    while f & 1:
        f, s = f >> 1, s >> 1
    a = b = path[0]
    for v in path[1:]:
        if s == 0:
            return False
        if f & 1 or f == s:
            a, b = sha(b"\1", v, a), sha(b"\1", v, b)
            while not f & 1 and f:
                f, s = f >> 1, s >> 1
        else:
            b = sha(b"\1", b, v)
        f, s = f >> 1, s >> 1
    return s == 0 and a == old and b == new


def name_key(name):
    return sha(b"pocd-name-v1\n", name.encode())


def bit(key, depth):
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def map_root(entries, depth=0):
    """M of a list of (key, value)."""
    if not entries:
        return ZERO
    if len(entries) == 1:
        return sha(b"\2", *entries[0])
    sides = [], []
    for entry in entries:
        sides[bit(entry[0], depth)].append(entry)
    return sha(b"\3", map_root(sides[0], depth + 1), map_root(sides[1], depth + 1))


def verify_map(root, name, proof, value):
    """True: present with this value; False: proven absent.  Refused if the proof leads elsewhere."""
    key, terminal = name_key(name), get(proof, "MapProof", "terminal")
    siblings = hashes_of(get(proof, "MapProof", "siblings"), 256)
    other_key, other_value = get(proof, "MapProof", "other_key"), get(proof, "MapProof", "other_value")
    size = 32 if terminal == OTHER else 0
    demand(len(other_key) == size and len(other_value) == size, f"{name}: a map proof of a wrong form")
    if terminal == FOUND:
        at = sha(b"\2", key, value)
    elif terminal == EMPTY:
        at = ZERO
    else:
        demand(other_key != key and all(bit(other_key, i) == bit(key, i) for i in range(len(siblings))),
               f"{name}: the other leaf is not in this place")
        at = sha(b"\2", other_key, other_value)
    for depth in range(len(siblings) - 1, -1, -1):
        pair = (siblings[depth], at) if bit(key, depth) else (at, siblings[depth])
        at = sha(b"\3", *pair)
    demand(at == root, f"{name}: the map proof does not lead to the checkpoint")
    return terminal == FOUND


def hashes_of(data, most):
    demand(len(data) % 32 == 0 and len(data) // 32 <= most, "a proof of a wrong length")
    return [data[i:i + 32] for i in range(0, len(data), 32)]


# --- Checkpoint ---

def valid_key_name(name):
    return (1 <= len(name.encode()) <= 128 and "+" not in name and
            not any(unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") for c in name))


def base64_strict(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("base64 is not canonical") from None
    demand(base64.b64encode(data) == text, "base64 is not canonical")
    return data


class Note:
    def __init__(self, data):
        demand(4 <= len(data) <= 8192 and data.endswith(b"\n"), "not a signed note")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("the note is not UTF-8") from None
        demand(not any(c < 0x20 and c != 0x0A for c in data), "the note holds control characters")
        split = data.rfind(b"\n\n")
        demand(split > 0, "a note without signatures")
        self.text, self.lines = data[:split + 1], []
        for line in data[split + 2:-1].split(b"\n"):
            words = line.split(b" ")
            demand(len(words) == 3 and words[0] == "—".encode(), "a signature line is malformed")
            name, blob = words[1].decode(), base64_strict(words[2])
            demand(valid_key_name(name) and 5 <= len(blob) <= 132, "a signature line is malformed")
            self.lines.append((name, blob[:4], blob[4:]))
        demand(1 <= len(self.lines) <= 32, "1 to 32 signature lines")
        body = self.text.split(b"\n")
        demand(len(body) == 4 and 1 <= len(body[0]) <= 128, "a checkpoint has three lines")
        demand(re.fullmatch(rb"0|[1-9]\d{0,18}", body[1]) and len(body[2]) == 44, "no size or no root")
        self.origin, self.size, self.root = body[0].decode(), int(body[1]), base64_strict(body[2])
        demand(len(self.root) == 32, "the root has a wrong length")

    def signed_by(self, name, key, kind):
        """None if no line is the key's; else the newest time (0 for the log).  Refused if one of its lines is wrong."""
        newest = None
        keyid = sha(name.encode(), b"\n", bytes([kind]), key.raw)[:4]
        for line, hint, signature in self.lines:
            if line != name or hint != keyid:
                continue
            time, message = 0, self.text
            if kind == 4:
                time = int.from_bytes(signature[:8], "big")
                signature, message = signature[8:], b"cosignature/v1\ntime %d\n" % time + self.text
            demand(key.verifies(signature, message) and time <= (2 ** 63 - 1) // 1000,
                   f"{name}: its signature on the checkpoint is wrong")
            newest = max(newest or 0, time)
        return newest


# --- What proofs and stories share (section 14) ---

def envelope_of(name, data, directory):
    """The envelope of this very name and directory."""
    envelope = Envelope(data)
    demand(envelope.name.text == name, f"the envelope is of {envelope.name.text}, not of {name}")
    demand(envelope.directory == directory, f"{name} is of another directory")
    return envelope


def continued(prev, each, directory):
    """What a T must be, signatures apart, to stand after prev (None: it is the first)."""
    if prev is None:
        demand(each.kind == "T" and each.seq == 1, "no T(1)")
        demand(each.payload_hash == directory, "another directory's trust root")
    else:
        demand(each.kind == "T", "not a T")
        demand(each.seq == prev.seq + 1 and each.prev == prev.value and each.directory == directory and
               each.get("origin") == prev.get("origin"), "T does not follow the one before")
    _check_delays(prev, each)


def next_trust(prev, data, directory):
    """The T that follows prev (None: the first), signed as both ask (step 1)."""
    each = Envelope(data)
    continued(prev, each, directory)
    for by in (prev, each) if prev else (each,):
        demand(each.count(by.keys("root_keys"), by.get("algorithms")) >= by.get("root_threshold"),
               "too few root signatures")
    return each


def trust_chain(trust, directory, held=()):
    """The envelopes of T from T(1) on, or of those that are held and these after them."""
    chain = list(held)
    for data in trust:
        chain.append(next_trust(chain[-1] if chain else None, data, directory))
    demand(chain, "no T(1)")
    return chain


def _check_delays(prev, trust):
    known = prev.get("replaced") if prev else []
    delay = (prev or trust).get("replacement_delay")
    for replacement in trust.get("replaced"):
        demand(replacement in known or get(replacement, "Replacement", "not_before") >= trust.get("issued") + delay,
               "a replacement that comes too early")


class Leaf:
    """A leaf of the log that stands at an index below the checkpoint (section 10)."""
    PUT, STATE, ANCHOR = 1, 2, 3
    WORDS = {PUT: "a PUT leaf", STATE: "a STATE leaf", ANCHOR: "an ANCHOR leaf"}

    def __init__(self, data, kind, index, note, path, key=ZERO):
        word = self.WORDS[kind]
        demand(len(data) == 82 and data[0] == 1 and data[1] == kind and data[2:34] == key and
               any(data[34:42]) == (kind != self.ANCHOR) and data[74] < 0x80, f"not {word}")
        self.seq, self.value = int.from_bytes(data[34:42], "big"), data[42:74]
        self.index, self.time_ms = index, int.from_bytes(data[74:], "big")
        self.time = self.time_ms // 1000
        demand(index < note.size and
               verify_inclusion(index, note.size, sha(b"\0", data), hashes_of(path, 64), note.root),
               f"{word} is not in its place in the log")


def log_note(data, trust):
    """A checkpoint of T's log: a good line of one of its log keys, and none that is bad."""
    note = Note(data)
    demand(note.origin == trust.get("origin"), "the checkpoint is of another log")
    logs = [note.signed_by(note.origin, key, 1) for key in trust.keys("log_keys", 4)]
    demand(any(log is not None for log in logs), "no log key of T signed the checkpoint")
    return note


def cosigned(note, trust, quorum=0):
    """When auditors of T cosigned, newest first; at least as many as T, and quorum, ask for."""
    times = [note.signed_by(name, key, 4) for name, key in trust.auditors]
    times = sorted((time for time in times if time is not None), reverse=True)
    demand(len(times) >= max(quorum, trust.get("quorum")), "too few auditors")
    return times


class Head:
    """Steps 2, 3 and 5 but for the map: the checkpoint that ends a log, under its last T.  before: the T from which it
    is the first step, whose quorum it needs too."""

    def __init__(self, checkpoint, trust, quorum, before=None):
        demand(checkpoint is not None, "no checkpoint")
        note = self.note = log_note(get(checkpoint, "Checkpoint", "note"), trust)
        times = cosigned(note, trust, quorum)
        if before is not None and before.seq != trust.seq:
            cosigned(note, before)
        quorum, self.cosigners = max(quorum, trust.get("quorum")), len(times)
        demand(note.size > 0, "an empty log")
        self.state = Leaf(get(checkpoint, "Checkpoint", "leaf"), Leaf.STATE, note.size - 1, note,
                          get(checkpoint, "Checkpoint", "path"))
        self.time = times[quorum - 1] if quorum else self.state.time


def signed_register(data, trust, directory):
    """S under a T."""
    register = envelope_of("S", data, directory)
    demand(register.count(trust.keys("enrolment_keys"),
                          trust.get("algorithms")) >= trust.get("enrolment_threshold"), "too few enrolment signatures")
    return register


def replacements_of(trust, state):
    """Oldest first."""
    return [r for r in trust.get("replaced") if get(r, "Replacement", "state") == state]


def replacement_of(trust, state):
    """The newest."""
    return next(reversed(replacements_of(trust, state)), None)


def suspended(entry, replacement, replaced):
    """Section 16, of a state with this entry in S and this replacement in T."""
    return entry is not None and (get(entry, "Entry", "suspended") or (replacement is not None and not replaced))


def keys_chain(chain, state, trust, register, time):
    """(last K, whether the council replaced it) of envelopes from the anchor on, at a STATE time (step 6)."""
    name, entry, newest = "K/" + state, register.entry(state), replacement_of(trust, state)
    replaced_by = {get(r, "Replacement", "keys"): r for r in replacements_of(trust, state)}
    demand(entry is not None, f"{state} is not in the register")
    prev, replaced = None, False
    for data in chain:
        keys = envelope_of(name, data, register.directory)
        signers = [keys]
        council = replaced_by.get(keys.payload_hash)
        if prev is None:
            demand(keys.seq == 1 and keys.payload_hash == get(entry, "Entry", "anchor"),
                   f"{name} does not begin at its anchor")
        else:
            demand(keys.seq == prev.seq + 1 and keys.prev == prev.value, f"{name} does not follow the one before")
            if council:
                demand(time >= get(council, "Replacement", "not_before"), "a replacement before its time")
            else:
                signers.append(prev)
        replaced = replaced or (council is not None and council is newest)
        for by in signers:
            demand(keys.count(by.keys("authority"), trust.get("algorithms")) >= by.get("authority_threshold"),
                   f"{name}: too few signatures")
        prev = keys
    demand(prev is not None, f"{name} without envelopes")
    return prev, replaced


def signed_users(name, data, keys, trust):
    """U of a name under its state's K, or D under the directory's; None: it has lapsed (step 7)."""
    users = envelope_of(name, data, keys.directory)
    if users.count(keys.keys("coordinators"), trust.get("algorithms")) >= 1:
        return users
    demand(keys.get("emergency"), f"{name} is not signed by a current key")
    return None


# --- Proofs ---

class Reader:
    """Whose file it is: which sections must be there."""

    def __init__(self, state="", roles=()):
        self.state, self.roles = state, set(roles)

    def of(self, state):
        acts = self.roles & {"operator", "coordinator", "editor"}
        if self.state == "@directory":
            return OWN if "admin" in self.roles else OPERATOR if "coordinator" in self.roles else PLAIN
        if state == self.state and (acts or "reader" in self.roles):
            return OWN
        return OPERATOR if acts else PLAIN


def entitled(tlp, reader):
    return tlp in (CLEAR, GREEN) or (tlp == AMBER and reader >= OPERATOR) or (tlp == AMBER_STRICT and reader == OWN)


class Finding:
    """What was proven of one record."""

    def __init__(self, name, absent=False):
        self.name, self.absent = name, absent
        self.record, self.suspended, self.replaced, self.withheld, self.sections = None, False, False, 0, []
        self.answered, self.lapsed = 0, False

    @property
    def withdrawn(self):
        return self.record is not None and self.record.get("withdrawn")


class Proof:
    """A verified saved answer or bundle: .findings, .time, .checkpoint; or Refused."""

    def __init__(self, data, directory, reader=Reader(), quorum=0, records=True):
        """records: it must tell of a record, or be complete."""
        self.directory, self.reader = directory, reader
        self.proof = decode("Proof", data)
        self.complete = get(self.proof, "Proof", "complete")
        self._check_form()
        self.trust = trust_chain(get(self.proof, "Proof", "trust"), directory)[-1]
        self.algorithms = set(self.trust.get("algorithms"))
        head = Head(get(self.proof, "Proof", "checkpoint"), self.trust, quorum)
        self.checkpoint, self.cosigners, self.time = head.note, head.cosigners, head.time
        self.map_root, self.state_time = head.state.value, head.state.time
        self._check_map()
        self._check_register()
        self.chains, self.findings = {}, []
        for name in self.items:
            if name[0] in "KUD":
                self._check_users_or_keys(Name(name))
        answered = {name[2:]: self._check_pings(name) for name in self.items if name[0] == "P"}
        for name in self.items:
            if name[0] == "R":
                self.findings.append(self._check_record(Name(name)))
                self.findings[-1].answered = answered.get(name[2:], 0)
        demand(self.findings or self.complete or not records, "the file proves nothing about any record")

    def _check_form(self):
        demand(get(self.proof, "Proof", "version") == 1, "not a proof of version 1")
        self.items = {}
        items = get(self.proof, "Proof", "items")
        demand(ascending([get(i, "Item", "name").encode() for i in items]), "items are not ascending")
        for item in items:
            name = Name(get(item, "Item", "name"))
            proof, envelopes = get(item, "Item", "map"), get(item, "Item", "envelopes")
            demand((proof is None) == self.complete, f"{name.text}: a map proof is missing, or one too many")
            present = self.complete or get(proof, "MapProof", "terminal") == FOUND
            demand(len(get(item, "Item", "value")) == (32 if present and not envelopes else 0),
                   f"{name.text}: a wrong value")
            demand(present or not envelopes, f"{name.text}: an absent name with an envelope")
            demand(len(envelopes) <= 1 or name.kind == "K", f"{name.text}: several versions")
            demand(envelopes or not self.complete or name.kind == "U", f"{name.text}: its envelope is kept back")
            demand(not get(item, "Item", "sections") or (name.kind == "R" and len(envelopes) == 1),
                   f"{name.text}: sections")
            demand(name.kind in "TSKURDP" and (name.kind != "T" or not (self.complete or envelopes)),
                   f"{name.text} does not belong here")
            self.items[name.text] = item

    def _value(self, name):
        envelopes = get(self.items[name], "Item", "envelopes")
        return sha(envelopes[-1]) if envelopes else get(self.items[name], "Item", "value")

    def _present(self, name):
        """Whether a name of the items is present in the map (proven)."""
        return self.complete or verify_map(self.map_root, name, get(self.items[name], "Item", "map"), self._value(name))

    def _check_map(self):
        if self.complete:
            entries = [(name_key(name), self._value(name)) for name in self.items]
            root = map_root(entries + [(name_key("T"), self.trust.value)])
            demand(root == self.map_root, "the names do not add up to the map root")
            return
        demand("T" in self.items and self._present("T") and self._value("T") == self.trust.value,
               "T is not the one in the map")

    def _check_register(self):
        demand("S" in self.items and self._present("S") and get(self.items["S"], "Item", "envelopes"), "no register")
        self.register = signed_register(get(self.items["S"], "Item", "envelopes")[0], self.trust, self.directory)

    # 6
    def _keys(self, state):
        """(current K or None, whether the council replaced it)"""
        name = "K/" + state
        if name not in self.chains:
            self.chains[name] = self._walk_keys(name, state)
        return self.chains[name]

    def _walk_keys(self, name, state):
        if name not in self.items:
            demand(self.complete, f"the proof lacks {name}")
            return None, False
        if not self._present(name):
            return None, False
        return keys_chain(get(self.items[name], "Item", "envelopes"), state, self.trust, self.register,
                          self.state_time)

    # 7
    def _check_users_or_keys(self, name):
        keys, _ = self._keys(name.state)
        if name.kind in "UD" and self._present(name.text):
            demand(keys is not None, f"{name.text} without keys of its state")
            for data in get(self.items[name.text], "Item", "envelopes"):
                signed_users(name.text, data, keys, self.trust)

    # 8
    def _check_pings(self, name):
        """When a state last answered; 0 too if no current key of K/@directory signed its P."""
        present, envelopes = self._present(name), get(self.items[name], "Item", "envelopes")
        if not present:
            return 0
        demand(envelopes, f"{name} is missing")
        pings = envelope_of(name, envelopes[0], self.directory)
        staff, _ = self._keys("@directory")
        signed = staff is not None and pings.count(staff.keys("coordinators"), self.algorithms) >= 1
        return pings.last_answered() if signed else 0

    def _check_record(self, name):
        keys, replaced = self._keys(name.state)
        entry, present = self.register.entry(name.state), self._present(name.text)
        finding = Finding(name, not present)
        demand(entry is not None or (keys is None and not present), f"{name.state} is not in the register")
        demand(keys is not None or not present, f"{name.text} without keys of its state")
        finding.replaced = replaced
        finding.suspended = suspended(entry, replacement_of(self.trust, name.state), replaced)
        if not present:
            return finding
        envelopes = get(self.items[name.text], "Item", "envelopes")
        demand(len(envelopes) == 1, f"{name.text} is missing")
        finding.record = envelope_of(name.text, envelopes[0], self.directory)
        if not self._record_signed(finding.record, keys, name):
            demand(keys.get("emergency"), f"{name.text} is not signed by a current key")
            finding.lapsed = True
            return finding
        self._check_sections(finding)
        return finding

    def _record_signed(self, record, keys, name):
        if record.count(keys.keys("coordinators"), self.algorithms) >= 1:
            return True
        unit = f"U/{name.state}/{name.unit}"
        if not name.unit or unit not in self.items or not get(self.items[unit], "Item", "envelopes"):
            return False
        users = signed_users(unit, get(self.items[unit], "Item", "envelopes")[0], keys, self.trust)
        return users is not None and record.count(users.keys("editors"), self.algorithms) >= 1

    def _check_sections(self, finding):
        name, sent = finding.name.text, list(get(self.items[finding.name.text], "Item", "sections"))
        reader = self.reader.of(finding.name.state)
        for poc, ref in finding.record.references():
            digest, section = get(ref, "SectionRef", "digest"), get(ref, "SectionRef", "name")
            if sent and sha(b"pocd-section-v1\n", sent[0]) == digest:
                finding.sections.append(self._section(sent.pop(0), name, poc, section))
            elif poc or self.complete:
                demand(not entitled(get(ref, "SectionRef", "tlp"), reader), f"{name}: the section {section} is missing")
                finding.withheld += 1
        demand(not sent, f"{name} has a section that its record does not name in this place")

    def _section(self, data, record, poc, section):
        units = not poc and section == "units"
        demand(len(data) <= (48 if units else 8) * 1024, f"{record}: a section is too large")
        parsed = decode("Section", data)
        place = [get(parsed, "Section", field) for field in ("directory_id", "record", "poc", "name")]
        demand(place == [self.directory, record, poc, section], f"{record}: a section of another place")
        content = get(parsed, "Section", "content")
        demand(len(get(parsed, "Section", "salt")) == 32 and content is not None,
               f"{record}: a section of a wrong form")
        demand(units or not get(content, "Content", "units"), f"{record}: units in another section")
        return parsed

    # section 16
    def verdict(self, finding, at=None, max_age=0):
        """(words, exit status)"""
        words, status = self._verdict(finding, at, max_age)
        return words + ", replaced by the council" * (finding.replaced and not finding.suspended), status

    def _verdict(self, finding, at, max_age):
        now = at or self.time
        if finding.absent:
            return "not in the directory, proven", 5
        if finding.lapsed:
            return "lapsed", 6
        if finding.suspended:
            return "suspended", 7
        if finding.withdrawn:
            return "withdrawn, proven", 5
        confirmed, expires = finding.record.get("confirmed"), finding.record.get("expires")
        if now - self.time > (max_age or self.trust.get("max_age")) or now >= self.trust.get("expires"):
            return "stale", 7
        if now - confirmed > 120 * DAY or now >= expires:
            return "stale", 7
        return ("due" if now - confirmed > 90 * DAY else "fresh"), 0


def main():
    parser = argparse.ArgumentParser(description="verifies a saved answer or a bundle")
    parser.add_argument("--id", required=True, help="directory id, 64 hexadecimal digits")
    parser.add_argument("--state", default="", help="the reader's state")
    parser.add_argument("--role", action="append", default=[], choices=READERS)
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("--at", type=int)
    parser.add_argument("file")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        data = file.read()
    try:
        proof = Proof(data, bytes.fromhex(options.id), Reader(options.state, options.role), options.quorum)
    except Refused as refused:
        print(f"refused: {refused}")
        return 6
    worst = 0 if proof.findings else 5
    for finding in proof.findings:
        words, status = proof.verdict(finding, options.at)
        shown = f", {len(finding.sections)} sections, {finding.withheld} withheld" if finding.record and not finding.lapsed else ""
        print(f"{finding.name.text[2:]}: {words}{shown}")
        worst = max(worst, status)
    print(f"as of {proof.time}, checkpoint {proof.checkpoint.size}, {proof.cosigners} cosigners, "
          f"under T({proof.trust.seq}); later events unknown")
    return worst


if __name__ == "__main__":
    sys.exit(main())
