#!/usr/bin/python3
"""story: an independent verifier of saved stories of notices, written from docs/protocol.md alone ("Notices"
to "Evidence and stories").

    story.py --id DIRECTORY_ID [--quorum N] FILE

Prints the notice, one line a step with who proves it, and the steps that no recipient's desk has in this file; exit
status 0 proven, 6 does not verify.
"""
import argparse
import re
import sys

from canonical import get, put_varint
from verify import (FOUND, ID, UNIT, Envelope, Head, Key, Leaf, Refused, ascending, bit, decode, demand,
                    hashes_of, keys_chain, replacement_of, sha, signed_register, signed_users, suspended, trust_chain,
                    valid_unit, verify_map)

TECHNICAL, DIPLOMATIC, COORDINATOR = 1, 2, 3
STORED, DELIVERED, ACKNOWLEDGED, ACCEPTED, DECLINED, ANSWERED, CLOSED, ESCALATED, TAKEN, RELEASED = range(1, 11)
WORDS = dict(zip(range(1, 11), ("stored", "delivered", "acknowledged", "accepted", "declined", "answered", "closed",
                                "escalated", "taken", "released")))
KINDS = {TECHNICAL: "technical", DIPLOMATIC: "diplomatic", COORDINATOR: "coordinator"}
FACTS, PRIVATE = (STORED, DELIVERED, ESCALATED), (TAKEN, RELEASED)
NOTE = 7
AHEAD = 3653 * 86400  # seconds: what is wanted or promised lies no further ahead
ROLE_OPERATOR, ROLE_COORDINATOR, ROLE_SERVICE = 2, 3, 8


# --- Items: header envelopes, receipts, facts ---

def valid_desk(place, kind):
    if place == "@directory":
        return kind == COORDINATOR
    return re.fullmatch(rf"[A-Z]{{2}}(/{UNIT})?", place) is not None and kind in KINDS


def event_hash(item):
    return sha(b"pocd-event-v1\n", item)


class Signed:
    """An envelope with one signature, by a user of U/<place>."""

    def __init__(self, data, word, schema, most):
        demand(0 < len(data) <= most, f"a {schema} of a wrong size")
        self.data, self.hash, self.schema = data, sha(data), schema
        outer = decode("Envelope", data)
        kind, payload = get(outer, "Envelope", "type"), get(outer, "Envelope", "payload")
        signatures = get(outer, "Envelope", "signatures")
        demand(kind == f"application/vnd.pocd.{word}.v1+protobuf" and payload, f"no envelope of a {schema}")
        demand(len(signatures) == 1, f"a {schema} has one signature")
        self.key_id = get(signatures[0], "Signature", "key_id")
        self.signature = get(signatures[0], "Signature", "signature")
        demand(len(self.key_id) == 32 and 1 <= len(self.signature) <= 128, "a wrong signature entry")
        self.signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        self.payload = decode(schema, payload)

    def get(self, field):
        return get(self.payload, self.schema, field)

    def judge(self, users, algorithms, time):
        """The signer's entry in U: its key signed, it acts for the kind, it is not past its end."""
        user = next((u for u in users.get("users") if get(u, "User", "handle") == self.handle), None)
        demand(user is not None, f"{self.handle} is no user of {users.name.text}")
        key, roles = Key(get(user, "User", "spki")), get(user, "User", "roles")
        demand(key.id == self.key_id and key.algorithm in algorithms and key.verifies(self.signature, self.signed),
               f"the signature is not that of {self.handle}")
        not_after = get(user, "User", "not_after")
        demand(not_after == 0 or not_after > time, f"{self.handle} had expired")
        demand({ROLE_OPERATOR, ROLE_COORDINATOR, ROLE_SERVICE} & set(roles), f"{self.handle} does not act for a desk")
        serves = set(get(user, "User", "kinds"))
        if {ROLE_COORDINATOR, ROLE_SERVICE} & set(roles):
            serves.add(COORDINATOR)
        demand(self.kind in serves, f"{self.handle} does not serve this kind of point of contact")
        return user


class Notice(Signed):
    def __init__(self, data):
        super().__init__(data, "notice", "Notice", 65536)
        demand(len(self.get("body_hash")) == len(self.get("inner_hash")) == 32 and
               1 <= self.get("body_size") <= 1024000, "wrong hashes or size of a body")
        self.core = decode("Core", self.get("core"))
        self.id, self.directory, self.handle = self.of("id"), self.of("directory_id"), self.of("handle")
        self._check_core()

    def of(self, field):
        return get(self.core, "Core", field)

    def _check_core(self):
        thread, answers, created = self.of("thread"), self.of("answers"), self.of("created")
        demand(len(self.directory) == 32 and len(self.id) == 16 and len(thread) == 16 and len(answers) in (0, 16),
               "ids of a wrong length")
        demand(not answers or thread != self.id, "the first notice of a thread answers none")
        demand(valid_unit(self.handle) and self.of("category") and self.of("urgency") and self.of("tlp"),
               "handle, category, urgency or TLP is wrong")
        demand(not self.of("exercise") or ID.fullmatch(self.of("exercise")), "a wrong name of an exercise")
        demand(created > 0 and (self.of("reply_by") == 0 or 0 < self.of("reply_by") - created <= AHEAD), "wrong times")
        sender = self._desk(self.of("from"))
        self.place, self.kind = sender
        recipients = [self._desk(desk) for desk in self.of("to")]
        demand(1 <= len(recipients) <= 16 and ascending([(place.encode(), kind) for place, kind in recipients]),
               "recipients: 1 to 16, ascending")
        times, later = [created], []
        for escalation in self.of("escalations"):
            times.append(get(escalation, "Escalation", "at"))
            later.append(self._desk(get(escalation, "Escalation", "to")))
        demand(len(later) <= 4 and ascending(times) and times[-1] - created <= AHEAD and not set(later) & {sender, *recipients}, "wrong escalations")
        demand(self.of("category") != NOTE or (recipients == [sender] and not later), "a note goes to its own desk")
        self.sender, self.recipients, self.later = sender, recipients, set(later)
        self.received = {*recipients, *later}

    @staticmethod
    def _desk(desk):
        demand(desk is not None, "a desk is missing")
        place, kind, keys = (get(desk, "Desk", field) for field in ("place", "kind", "keys"))
        demand(valid_desk(place, kind), "no place and kind of a point of contact")
        demand(1 <= len(keys) <= 32 and all(len(key) == 32 for key in keys) and ascending(keys), "wrong reading keys")
        return place, kind

    def keys(self):
        """Of all desks, ascending and distinct."""
        desks = [self.of("from"), *self.of("to")] + [get(e, "Escalation", "to") for e in self.of("escalations")]
        return sorted({key for desk in desks for key in get(desk, "Desk", "keys")})

    def words(self):
        return "sent"


class Receipt(Signed):
    def __init__(self, data, notice):
        super().__init__(data, "receipt", "Receipt", 2048)
        self.step, self.place, self.kind, self.handle = (self.get(f) for f in ("step", "place", "kind", "handle"))
        check_about(self, notice)
        demand(self.step and self.step not in FACTS, "a step that no user states")
        demand(valid_desk(self.place, self.kind) and valid_unit(self.handle), "a receipt of no desk or user")
        demand((self.step == DECLINED) == bool(self.get("reason")), "a reason is given with declined, and only there")
        answer_by, time = self.get("answer_by"), self.get("time")
        demand(time > 0 and (answer_by == 0 or (0 < answer_by - time <= AHEAD and self.step in (ACKNOWLEDGED, ACCEPTED))),
               "wrong times in a receipt")
        demand(len(self.get("answer")) == (16 if self.step == ANSWERED else 0), "an answer where none belongs, or none")
        desk = self.place, self.kind
        demand(desk in notice.received or (desk == notice.sender and self.step in (CLOSED, *PRIVATE)),
               f"{self.place} cannot say this of the notice")

    def words(self):
        return WORDS[self.step]


class Fact:
    def __init__(self, data, notice):
        demand(0 < len(data) <= 256, "a fact of a wrong size")
        self.data, self.schema, self.payload = data, "Fact", decode("Fact", data)
        self.step, self.place, self.kind = (self.get(field) for field in ("step", "place", "kind"))
        check_about(self, notice)
        demand(self.step in FACTS and self.get("time_ms") > 0, "no fact that the directory states")
        if self.step == STORED:
            demand(not self.place and not self.kind, "stored is of the whole notice")
        else:
            demand((self.place, self.kind) in (notice.later if self.step == ESCALATED else notice.received),
                   "a fact about a desk that the notice was not for")

    def get(self, field):
        return get(self.payload, "Fact", field)

    def words(self):
        return WORDS[self.step]


def check_about(item, notice):
    demand(item.get("directory_id") == notice.directory and item.get("notice_id") == notice.id and
           item.get("notice_hash") == notice.hash, "it is about another notice")


# --- The body ---

RECIPIENT = [(bytes.fromhex("a181df020103a071a16f300906072a8648ce3d020103620004"), 96),
             (bytes.fromhex("301506062b8104010b02300b060960864801650304012d3050304ea0220420"), 32),
             (bytes.fromhex("0428"), 40)]
RECIPIENT_SIZE = 226


def der(data, tag):
    """(inside, rest) of the element with this tag that data begins with."""
    demand(len(data) >= 2 and data[0] == tag, "the body is not CMS of the one form")
    size, at = data[1], 2
    if size >= 0x80:
        at += size & 0x7F
        demand(1 <= size & 0x7F <= 3 and len(data) >= at and data[2] != 0, "a length in the body is not DER")
        size = int.from_bytes(data[2:at], "big")
        demand(size >= 0x80, "a length in the body is not DER")
    demand(at + size <= len(data), "the body is cut off")
    return data[at:at + size], data[at + size:]


def after(data, *literals):
    for literal in literals:
        demand(data.startswith(literal), "the body is not CMS of the one form")
        data = data[len(literal):]
    return data


def only(pair):
    demand(not pair[1], "the body holds more than the one form")
    return pair[0]


def check_sealed(body, keys):
    """The one form, sealed to exactly these reading keys."""
    outer = after(only(der(body, 0x30)), bytes.fromhex("060b2a864886f70d0109100117"))
    recipients, data = der(after(only(der(only(der(outer, 0xA0)), 0x30)), bytes.fromhex("020100")), 0x31)
    demand(len(recipients) == RECIPIENT_SIZE * len(keys), "the body is sealed to other keys")
    infos = [recipients[at:at + RECIPIENT_SIZE] for at in range(0, len(recipients), RECIPIENT_SIZE)]
    demand(ascending(infos), "the recipients of the body are not ascending")
    found = []
    for info in infos:
        for literal, size in RECIPIENT:
            info = after(info, literal)
            found.append(info[:size])
            info = info[size:]
    demand(sorted(found[1::3]) == keys, "the body is sealed to other keys")
    content, data = der(data, 0x30)
    content = after(content, bytes.fromhex("06092a864886f70d010701301e060960864801650304012e3011040c"))[12:]
    only(der(after(content, bytes.fromhex("020110")), 0x80))
    demand(len(only(der(data, 0x04))) == 16, "a MAC of a wrong length")


# --- Evidence and stories ---

class Moment:
    """T, S, K and U of a signer, as the map of one STATE leaf has them."""

    def __init__(self, story, evidence, state, place):
        states, users = place.split("/")[0], "U/" + place
        names = ["K/" + states, "S", "T", users]
        items = get(evidence, "Evidence", "items")
        demand([get(item, "Item", "name") for item in items] == names, "evidence of a signer is of K, S, T and U")
        values = {name: self._value(state.value, name, item) for name, item in zip(names, items)}
        self.trust = next((trust for trust in story.trust if trust.value == values["T"]), None)
        demand(self.trust is not None, "the T of that time is not in the chain")
        register = signed_register(story.envelope(values["S"]), self.trust, story.directory)
        keys, replaced = keys_chain(self._chain(story, values[names[0]]), states, self.trust, register, state.time)
        demand(not suspended(register.entry(states), replacement_of(self.trust, states), replaced),
               f"{states} was suspended then")
        self.users = signed_users(users, story.envelope(values[users]), keys, self.trust)
        demand(self.users is not None, f"{users} had lapsed then")

    @staticmethod
    def _value(root, name, item):
        proof, value = get(item, "Item", "map"), get(item, "Item", "value")
        demand(proof is not None and get(proof, "MapProof", "terminal") == FOUND and len(value) == 32 and
               not get(item, "Item", "envelopes") and not get(item, "Item", "sections"), f"{name}: a wrong item")
        verify_map(root, name, proof, value)
        return value

    @staticmethod
    def _chain(story, value):
        """From the anchor on, by the hashes of predecessors."""
        chain = []
        while True:
            chain.insert(0, story.envelope(value))
            first = Envelope(chain[0])
            demand(first.kind == "K", "no K in the chain of K")
            if first.seq == 1:
                return chain
            value = first.prev


class Step:
    """A proven step: .item (Notice, Receipt or Fact), .anchored, and of signed ones .published and .automatic."""

    def __init__(self, story, source, item):
        evidence = get(source, "StoryStep", "evidence")
        demand(evidence is not None, "nothing proves it")
        anchor = story.leaf(get(evidence, "Evidence", "anchor"), Leaf.ANCHOR)
        self._check_batch(anchor.value, event_hash(item.data), get(evidence, "Evidence", "siblings"))
        state = self._first_state(story, evidence, anchor)
        self.item, self.index = item, anchor.index
        self.anchored, self.published, self.automatic = anchor.time, state.time, False
        if isinstance(item, Fact):
            demand(not get(evidence, "Evidence", "items"), "a fact has no signer")
            return
        moment = Moment(story, evidence, state, item.place)
        user = item.judge(moment.users, moment.trust.get("algorithms"), state.time)
        self.automatic = bool(get(user, "User", "service"))

    @staticmethod
    def _first_state(story, evidence, anchor):
        """The STATE leaf after the anchor whose predecessor stands before it."""
        state, before = story.leaf(get(evidence, "Evidence", "state"), Leaf.STATE), get(evidence, "Evidence", "previous")
        demand(state.index > anchor.index and state.time_ms >= anchor.time_ms, "it is judged before it was stored")
        if before is None:
            demand(state.seq == 1, "no publication before it is shown")
            return state
        previous = story.leaf(before, Leaf.STATE)
        demand(previous.seq == state.seq - 1, "publications that do not follow one another")
        demand(previous.index < anchor.index and previous.time_ms <= anchor.time_ms, "an earlier publication covers it")
        return state

    @staticmethod
    def _check_batch(root, event, siblings):
        at, siblings = sha(b"\2", event, event), hashes_of(siblings, 256)
        for depth in range(len(siblings) - 1, -1, -1):
            at = sha(b"\3", *((siblings[depth], at) if bit(event, depth) else (at, siblings[depth])))
        demand(at == root, "it is not in the batch of its ANCHOR leaf")


class Story:
    """A verified saved story: .notice, .steps (the notice first), .head; or Refused, which names the step."""

    def __init__(self, data, directory, quorum=0):
        self.directory, story = directory, decode("NoticeStory", data)
        demand(get(story, "NoticeStory", "version") == 1, "not a story of version 1")
        self.trust = trust_chain(get(story, "NoticeStory", "trust"), directory)
        self.head = Head(get(story, "NoticeStory", "checkpoint"), self.trust[-1], quorum)
        self._take_envelopes(get(story, "NoticeStory", "envelopes"))
        self._take_steps(get(story, "NoticeStory", "steps"))
        demand(not self.unused, "an envelope that no step needs")
        self._check_body(get(story, "NoticeStory", "body"), get(story, "NoticeStory", "padding"))

    def _take_envelopes(self, envelopes):
        values = [sha(envelope) for envelope in envelopes]
        demand(ascending(values), "envelopes are not ascending by value")
        self.envelopes, self.unused = dict(zip(values, envelopes)), set(values)

    def envelope(self, value):
        demand(value in self.envelopes, "an envelope of that time is missing")
        self.unused.discard(value)
        return self.envelopes[value]

    def leaf(self, logged, kind):
        demand(logged is not None, "evidence without its leaves")
        data, index, path = (get(logged, "LoggedLeaf", field) for field in ("leaf", "index", "path"))
        return Leaf(data, kind, index, self.head.note, path)

    def _take_steps(self, sources):
        demand(sources and not get(sources[0], "StoryStep", "fact"), "a story begins with its notice")
        self.notice, self.steps, seen = None, [], set()
        for number, source in enumerate(sources):
            try:
                step = self._take_step(source, seen)
            except Refused as refused:
                raise Refused(f"step {number}: {refused}") from None
            demand(not self.steps or step.index >= self.steps[-1].index, "the steps are not in the order of the log")
            self.steps.append(step)

    def _take_step(self, source, seen):
        data = get(source, "StoryStep", "item")
        if self.notice is None:
            item = self.notice = Notice(data)
            demand(item.directory == self.directory, "the notice is of another directory")
        else:
            item = Fact(data, self.notice) if get(source, "StoryStep", "fact") else Receipt(data, self.notice)
            demand(item.step not in PRIVATE, "a step that is private to a desk")
        demand(data not in seen, "the same step twice")
        seen.add(data)
        demand(get(source, "StoryStep", "stored_ms") == 0, "a time of storage that nothing proves")
        if item is not self.notice and (item.place, item.kind) in self.notice.later and item.step != ESCALATED:
            demand((ESCALATED, item.place, item.kind) in {(s.item.step, s.item.place, s.item.kind) for s in self.steps[1:]},
                   "a desk to which the notice was not released")
        return Step(self, source, item)

    def _check_body(self, body, padding):
        if padding:
            demand(body and padding <= 1024000, "padding of a body that has none")
            demand(sha(body, b"\x22", put_varint(padding), bytes(padding)) == self.notice.get("inner_hash"),
                   "the body is not, with its padding, what the header was signed for")
            return
        if not body or sha(body) == self.notice.get("inner_hash"):
            return
        demand(len(body) == self.notice.get("body_size") and sha(body) == self.notice.get("body_hash"),
               "the body is not the header's")
        check_sealed(body, self.notice.keys())

    def expected(self):
        """{desk: when its answer may be expected}: what the last of its steps that gives a time says."""
        said = [step.item for step in self.steps[1:] if isinstance(step.item, Receipt) and step.item.get("answer_by")]
        return {(item.place, item.kind): item.get("answer_by") for item in said}

    def missing(self):
        """(step, desk) that no step of this file states, of stored and of what recipients are asked for."""
        stated = {(step.item.step, step.item.place, step.item.kind) for step in self.steps[1:]}
        wanted = [(STORED, "", 0)] + [(step, *desk) for desk in self.notice.recipients
                                      for step in (DELIVERED, ACKNOWLEDGED)]
        return [each for each in wanted if each not in stated]


def main():
    parser = argparse.ArgumentParser(description="verifies the saved story of a notice")
    parser.add_argument("--id", required=True, help="directory id, 64 hexadecimal digits")
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("file")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        data = file.read()
    try:
        story = Story(data, bytes.fromhex(options.id), options.quorum)
    except Refused as refused:
        print(f"refused: {refused}")
        return 6
    print(f"notice {story.notice.id.hex()}")
    for step in story.steps:
        item, by = step.item, "the directory"
        if isinstance(item, Signed):
            by = f"{item.handle} of {item.place}{' (a program)' if step.automatic else ''}, listed at {step.published}"
        of = f" {item.place} {KINDS[item.kind]}" if item.place else ""
        print(f"{item.words()}{of}: anchored at {step.anchored}, by {by}")
    for (place, kind), answer_by in story.expected().items():
        print(f"{place} {KINDS[kind]}: answer expected by {answer_by}")
    for step, place, kind in story.missing():
        print(f"not in this story: {WORDS[step]}{f' by {place} {KINDS[kind]}' if place else ''}")
    print(f"as of {story.head.time}, checkpoint {story.head.note.size}, {story.head.cosigners} cosigners, "
          f"under T({story.trust[-1].seq}); later events unknown")
    return 0


if __name__ == "__main__":
    sys.exit(main())
