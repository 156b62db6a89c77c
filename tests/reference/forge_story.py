"""forge_story: forged stories of notices, by the two forgers of forge.py: the carrier, who has genuine files and no
key, and the operator, who has the log key and coordinators' keys, and makes a log of his own with honest proofs for what
must not pass.

    forge_story.py seeds DIR    writes genuine stories of a directory of its own (the corpus of tests/fuzz/fuzz_story.c)
"""
import copy
import os
import sys

from canonical import decode, encode
from forge import (EMPTY, ZERO, Signer, change, head, key_of, leaf, log_path, log_root, next_head, note_line, note_text,
                   payload_of, prove, seal, sha, subtree)

PUT, STATE, ANCHOR = 1, 2, 3
STORED, DELIVERED, ACKNOWLEDGED, ACCEPTED, DECLINED, ANSWERED, CLOSED, ESCALATED, TAKEN, RELEASED = range(1, 11)
LEAVES = ("anchor", "previous", "state")


# --- A carrier's forgeries ---

def by_value(envelopes):
    return sorted(envelopes, key=sha)


def resign(item, signer, **fields):
    """A receipt or notice with fields replaced, signed by another key or, without one, under the old signature."""
    outer = decode("Envelope", item)
    word = "notice" if ".notice." in outer["type"] else "receipt"
    payload = {**payload_of(item), **fields}
    if signer is None:
        schema = {"notice": "Notice", "receipt": "Receipt"}[word]
        return encode("Envelope", {**outer, "payload": encode(schema, payload)})
    return seal(word, encode(word.capitalize(), payload), signer)


def carrier(saved, older, other, stranger):
    """saved, older: stories of one notice, the older before its last steps; other: one of another notice between the
    same desks; all of one directory, as bytes, each with the steps notice, stored, delivered, acknowledged, ...  Gives
    (label, bytes)."""
    made, new, old, foreign = [], *(decode("NoticeStory", data) for data in (saved, older, other))
    acked = next(i for i, step in enumerate(new["steps"]) if not step.get("fact") and i > 0)
    last, fact = len(new["steps"]) - 1, 1

    def of(label, alter, genuine=new):
        story = copy.deepcopy(genuine)
        made.append((label, encode("NoticeStory", alter(story) or story)))

    def step(number, **parts):
        return lambda story: story["steps"][number].update(parts)

    def evidence(number, **parts):
        return lambda story: story["steps"][number]["evidence"].update(parts)

    def logged(number, which, **parts):
        return lambda story: story["steps"][number]["evidence"][which].update(parts)

    their = foreign["steps"]
    for label, number in (("header", 0), ("stored", fact), ("receipt", acked)):
        of(f"another notice's {label}", step(number, **their[number]))
        of(f"another notice's {label}, the item alone", step(number, item=their[number]["item"]))
        of(f"another notice's evidence of {label}", step(number, evidence=their[number]["evidence"]))
    of("another notice's steps after this header", lambda story: story.update(steps=new["steps"][:1] + their[1:]))
    of("another notice's receipt at the end", lambda story: story["steps"].append(their[acked]))
    of("receipts in another order", lambda story: story["steps"].insert(acked, story["steps"].pop()))
    of("the notice at the end", lambda story: story["steps"].append(story["steps"].pop(0)))
    of("a receipt twice", lambda story: story["steps"].append(new["steps"][last]))
    of("a receipt as a fact", step(acked, fact=True))
    of("a fact as a receipt", step(fact, fact=False))
    of("a notice as a step", lambda story: story["steps"].append(new["steps"][0]))
    for number in range(last + 1):
        for gone in ("evidence", "item"):
            of(f"no {gone} of step {number}",
               lambda story, number=number, gone=gone: story["steps"][number].pop(gone) and None)
        of(f"a time of storage of step {number}", step(number, stored_ms=1))
        mine, theirs = (new["steps"][i]["evidence"] for i in (number, 0 if number == last else last))
        for which in ("siblings", *LEAVES):
            of(f"another step's {which} in step {number}", evidence(number, **{which: theirs.get(which, b"")}))
            of(f"no {which} of step {number}",
               lambda story, number=number, which=which: story["steps"][number]["evidence"].pop(which, None) and None)
        lists = [("siblings", mine.get("siblings", b""), lambda data, number=number: evidence(number, siblings=data))]
        for which in LEAVES:
            leaf_, place = mine[which], f"the {which} leaf of step {number}"
            for part in ("leaf", "path"):
                of(f"another step's {part} of {place}", logged(number, which, **{part: theirs[which][part]}))
            of(f"{place}, cut", logged(number, which, leaf=leaf_["leaf"][:-1]))
            of(f"{place}, longer", logged(number, which, leaf=leaf_["leaf"] + b"\0"))
            of(f"{place}, empty", evidence(number, **{which: {}}))
            of(f"{place}, one place earlier", logged(number, which, index=leaf_["index"] - 1))
            for other in LEAVES:
                of(f"the {other} leaf in place of {place}", evidence(number, **{which: mine[other]}))
            lists.append((f"path of {which}", leaf_["path"],
                          lambda data, number=number, which=which: logged(number, which, path=data)))
        for part, hashes, put in lists:
            of(f"{part} of step {number} with one hash more", put(hashes + ZERO))
            of(f"{part} of step {number} without its last hash", put(hashes[:-32]))
            of(f"{part} of step {number} without its last byte", put(hashes[:-1]))
        items = mine.get("items")
        if not items:
            of(f"items of a fact, step {number}", evidence(number, items=new["steps"][0]["evidence"]["items"]))
            continue
        of(f"no items of step {number}", evidence(number, items=[]))
        of(f"items of step {number} in another order", evidence(number, items=items[::-1]))
        for i, item in enumerate(items):
            less, others = items[:i] + items[i + 1:], lambda **parts: [*items[:i], {**item, **parts}, *items[i + 1:]]
            of(f"no {item['name']} of step {number}", evidence(number, items=less))
            of(f"{item['name']} of step {number} twice", evidence(number, items=items[:i + 1] + items[i:]))
            of(f"another value of {item['name']} of step {number}",
               evidence(number, items=others(value=items[(i + 1) % 4]["value"])))
            of(f"{item['name']} of step {number} under another name", evidence(number, items=others(name="R/XA")))
            of(f"{item['name']} of step {number}, absent",
               evidence(number, items=others(map={**item["map"], "terminal": EMPTY})))
            of(f"{item['name']} of step {number} with its envelope in it",
               evidence(number, items=others(envelopes=[new["envelopes"][0]])))
            of(f"{item['name']} of step {number}, a shorter proof",
               evidence(number, items=others(map={**item["map"], "siblings": item["map"]["siblings"][:-32]})))
    of("the sender's items for a receipt", evidence(acked, items=new["steps"][0]["evidence"]["items"]))

    for gone in ("version", "trust", "checkpoint", "steps", "envelopes"):
        of(f"no {gone}", lambda story, gone=gone: story.pop(gone) and None)
    of("version 2", lambda story: story.update(version=2))
    for part in ("note", "leaf", "path"):
        of(f"the older checkpoint's {part}", lambda story, part=part: story["checkpoint"].update(
            {part: old["checkpoint"][part]}))
    of("the older checkpoint", lambda story: story.update(checkpoint=old["checkpoint"]))
    of("the newer checkpoint over older proofs", lambda story: story.update(checkpoint=new["checkpoint"]), old)
    for number, envelope in enumerate(new["envelopes"]):
        name = payload_of(envelope)["head"]["name"]
        of(f"no {name}", lambda story, number=number: story["envelopes"].pop(number) and None)
        forged = by_value(new["envelopes"][:number] + new["envelopes"][number + 1:] + [
            encode("Envelope", {**decode("Envelope", envelope), "signatures": [
                {"signature": bytes(64), "key_id": decode("Envelope", envelope)["signatures"][0]["key_id"]}]})])
        of(f"{name} under a wrong signature", lambda story, forged=forged: story.update(envelopes=forged))
    of("envelopes in another order", lambda story: story["envelopes"].reverse())
    of("an envelope twice", lambda story: story["envelopes"].insert(0, story["envelopes"][0]))
    of("an envelope that no step needs",
       lambda story: story.update(envelopes=by_value(new["envelopes"] + [new["trust"][0]])))

    header, receipt = new["steps"][0]["item"], new["steps"][acked]["item"]
    core = decode("Core", payload_of(header)["core"])
    for label, change_of in (("re-addressed", {"to": [{**core["to"][0], "place": "ZZ"}]}),
                             ("at another time", {"created": core["created"] - 3600}),
                             ("in another thread", {"thread": bytes(16)}),
                             ("by another user", {"handle": "coordinator"}),
                             ("for other keys", {"to": [{**core["to"][0], "keys": [bytes(32)]}, *core["to"][1:]]}),
                             ("of an exercise", {"exercise": "spring"})):
        altered = encode("Core", {**core, **change_of})
        of(f"the notice {label}", step(0, item=resign(header, None, core=altered)))
        of(f"the notice {label}, signed by a stranger", step(0, item=resign(header, stranger, core=altered)))
    of("the notice with another body", step(0, item=resign(header, None, body_hash=bytes(32))))
    of("the notice signed by a stranger", step(0, item=resign(header, stranger)))
    for label, change_of in (("accepted", {"step": ACCEPTED}), ("closed", {"step": CLOSED}), ("taken", {"step": TAKEN}),
                             ("of another time", {"time": 1}), ("of another desk", {"place": "AD"}),
                             ("of the sender", {"place": "XA"}), ("with a promise", {"answer_by": 1 << 40})):
        of(f"a receipt made {label}", step(acked, item=resign(receipt, None, **change_of)))
        of(f"a receipt made {label}, by a stranger", step(acked, item=resign(receipt, stranger, **change_of)))
    of("a receipt by a stranger", step(acked, item=resign(receipt, stranger)))
    doubled = decode("Envelope", receipt)
    doubled["signatures"] = doubled["signatures"] * 2
    of("a receipt with two signatures", step(acked, item=encode("Envelope", doubled)))
    stated = decode("Fact", new["steps"][fact]["item"])
    for label, change_of in (("earlier", {"time_ms": stated["time_ms"] - 1000}), ("delivered", {
            "step": DELIVERED, "place": "XB", "kind": 1}), ("of another notice", {"notice_id": bytes(16)})):
        of(f"a fact made {label}", step(fact, item=encode("Fact", {**stated, **change_of})))
    of("a body that is not the notice's", lambda story: story.update(body=b"something else"))
    genuine = {saved, older, other}
    return [(label, data) for label, data in made if data not in genuine]


# --- An operator's forgeries ---

class Play:
    """A directory of his own making: genuine T, S and K, users of his own, a log, and one notice from XA to XB."""

    def __init__(self, genuine, log_key, coordinators):
        story = decode("NoticeStory", genuine)
        self.log_key, self.coordinators, self.trust = log_key, coordinators, story["trust"][:1]
        self.directory = sha(decode("Envelope", self.trust[0])["payload"])
        self.time_ms = int.from_bytes(story["checkpoint"]["leaf"][74:], "big")
        self.chains, self.leaves, self.told, self.moments, self.extra = {}, [], [], {}, []
        self.previous = {}  # of a publication's index: what is shown as the one before it, where that is a lie
        for envelope in story["envelopes"]:
            name = payload_of(envelope)["head"]["name"]
            if name[0] in "SK":
                self.chains[name] = [envelope]
        self.signers = {place: {"operator": Signer.fresh(), "reader": Signer.fresh()} for place in ("XA", "XB")}
        self.body = self.notice = None
        for place in self.signers:
            self.users(place)

    # What is current.

    def users(self, place, signer=None, **operator):
        """U/<place> with an operator, fields of his as given, and a reader."""
        its, list_ = self.signers[place], []
        for handle, fields in (("operator", {"roles": [2], "kinds": [1], **operator}), ("reader", {"roles": [1]})):
            list_.append({"handle": handle, "spki": its[handle].spki, **fields})
        payload = {"head": head(self.directory, "U/" + place), "issued": self.time_ms // 1000 + len(self.leaves),
                   "users": [user for user in list_ if user["roles"]]}
        self.chains["U/" + place] = [seal("U", encode("Users", payload), signer or self.coordinators[place])]
        return self

    def add_key(self, envelope):
        self.chains[payload_of(envelope)["head"]["name"]].append(envelope)

    def values(self):
        return {"T": sha(self.trust[-1]), **{name: sha(chain[-1]) for name, chain in self.chains.items()}}

    # The log.

    def append(self, kind, seq, value):
        self.leaves.append(leaf(kind, ZERO, seq, value, self.time_ms + 1000 * len(self.leaves)))
        return len(self.leaves) - 1

    def publish(self, kind=STATE):
        values = self.values()
        index = self.append(kind, len(self.moments) + 1 if kind == STATE else 0,
                            subtree([(key_of(name), value) for name, value in values.items()], 0))
        self.moments[index] = values, {name: list(chain) for name, chain in self.chains.items()}
        return index

    def tell(self, *items, kind=ANCHOR, publish=True, batch=None):
        """Anchors items (bytes, place of the signer or None of a fact) together, and publishes."""
        events = sorted(sha(b"pocd-event-v1\n", data) for data, _ in batch or items)
        index = self.append(kind, 0, subtree([(event, event) for event in events], 0))
        self.told += [[data, place, index, events, None] for data, place in items]
        if publish:
            self.settle()
        return self

    def settle(self):
        """The next publication judges all that is not yet judged."""
        index = self.publish()
        for told in self.told:
            told[4] = index if told[4] is None else told[4]
        return index

    # Items.

    def header(self, signer=None, body=None, body_keys=None, inner=b"inner", **fields):
        self.body = body or b"inner"
        keys = body_keys or [bytes(32)]
        core = encode("Core", {
            "directory_id": self.directory, "id": b"notice-of-forger", "thread": b"notice-of-forger",
            "handle": "operator", "from": {"place": "XA", "kind": 1, "keys": keys},
            "to": [{"place": "XB", "kind": 1, "keys": keys}],
            "category": 1, "urgency": 1, "tlp": 3, "created": self.time_ms // 1000, **fields})
        self.notice = seal("notice", encode("Notice", {
            "core": core, "body_hash": sha(self.body), "body_size": len(self.body), "inner_hash": sha(inner)}),
            signer or self.signers["XA"]["operator"])
        return self.notice, "XA"

    def about(self):
        return {"directory_id": self.directory, "notice_id": b"notice-of-forger", "notice_hash": sha(self.notice)}

    def receipt(self, step=ACKNOWLEDGED, place="XB", signer=None, **fields):
        payload = {**self.about(), "step": step, "place": place, "kind": 1, "handle": "operator",
                   "time": self.time_ms // 1000 + 60, **fields}
        return seal("receipt", encode("Receipt", payload),
                    signer or self.signers.get(place, self.signers["XB"])["operator"]), place

    def fact(self, step=STORED, **fields):
        desk = {} if step == STORED else {"place": "XB", "kind": 1}
        return encode("Fact", {**self.about(), "step": step, "time_ms": self.time_ms, **desk, **fields}), None

    def opening(self, **fields):
        """The notice and stored."""
        return self.tell(self.header(**fields), self.fact())

    # The file.

    def logged(self, index):
        return {"leaf": self.leaves[index], "index": index, "path": b"".join(log_path(self.leaves, index))}

    def evidence(self, place, index, events, item, state):
        values, _ = self.moments[state]
        made = {"anchor": self.logged(index), "state": self.logged(state), "siblings": self.batch_path(events, item)}
        before = self.previous.get(state, max((other for other in self.moments if other < state), default=None))
        if before is not None:
            made["previous"] = self.logged(before)
        if place is not None:
            names = ["K/" + place.split("/")[0], "S", "T", "U/" + place]
            made["items"] = [{"name": name, "map": prove(values, name), "value": values[name]} for name in names]
        return made

    @staticmethod
    def batch_path(events, item):
        event, siblings, depth = sha(b"pocd-event-v1\n", item), [], 0
        inside = list(events)
        while len(inside) > 1:
            bit = event[depth // 8] >> (7 - depth % 8) & 1
            sides = [], []
            for each in inside:
                sides[each[depth // 8] >> (7 - depth % 8) & 1].append(each)
            siblings.append(subtree([(each, each) for each in sides[1 - bit]], depth + 1))
            inside, depth = sides[bit], depth + 1
        return b"".join(siblings)

    def file(self, **more):
        """The story of all that was told, as bytes."""
        steps, needed = [], set(self.extra)
        for item, place, index, events, state in self.told:
            steps.append({"item": item, "fact": place is None,
                          "evidence": self.evidence(place, index, events, item, state)})
            if place is not None:
                chains = self.moments[state][1]
                needed |= {chains["S"][-1], chains["U/" + place][-1], *chains["K/" + place.split("/")[0]]}
        origin, size = payload_of(self.trust[0])["origin"], len(self.leaves)
        text = note_text(origin, size, log_root(self.leaves))
        checkpoint = {"note": text + b"\n" + note_line(origin, 1, self.log_key, text), "leaf": self.leaves[-1],
                      "path": b"".join(log_path(self.leaves, size - 1))}
        return encode("NoticeStory", {"version": 1, "trust": self.trust, "checkpoint": checkpoint, "steps": steps,
                                      "envelopes": by_value(needed), **more})


def operator(genuine, log_key, root, enrolment, authorities, coordinators, sealed):
    """(label, why it is refused, bytes); why None: a control, which is accepted.  genuine: a story between XA and XB;
    authorities, coordinators: keys of both states; sealed: (body, key ids) of a genuine CMS body."""
    made, stranger = [], Signer.fresh()

    def add(label, why, play, **more):
        made.append((label, why, play.file(**more)))

    def play():
        return Play(genuine, log_key, coordinators)

    def answered(step=ACKNOWLEDGED, **fields):
        its = play().opening()
        return its.tell(its.receipt(step, **fields))

    def stated(step, **fields):
        its = play().opening()
        return its.tell(its.fact(step, **fields))

    add("control: a notice", None, play().opening())
    add("control: acknowledged", None, answered())
    add("control: closed by the sender", None, answered(CLOSED, place="XA"))
    add("control: declined", None, answered(DECLINED, reason=1))
    add("control: answered", None, answered(ANSWERED, answer=bytes(15) + b"\1"))
    add("control: delivered", None, stated(DELIVERED))
    add("control: with the inner bytes", None, play().opening(), body=b"inner")
    padded = b"inner\x22\x81\x01" + bytes(129)
    for label, why, more in (("control: without their padding", None, {"body": b"inner", "padding": 129}),
                             ("padding of another length", "with its padding", {"body": b"inner", "padding": 130}),
                             ("padding that was not left out", "with its padding", {"body": padded, "padding": 129}),
                             ("padding of no body", "that has none", {"padding": 129}),
                             ("padding of any length", "that has none", {"body": b"inner", "padding": 2 ** 32 - 1})):
        add(label, why, play().opening(inner=padded), **more)

    # Who signs.
    its = play().opening()
    add("a receipt by the sender's operator", "not that of operator",
        its.tell(its.receipt(signer=its.signers["XA"]["operator"])))
    add("a receipt by a stranger", "not that of operator", answered(signer=stranger))
    its = play().opening()
    add("a receipt by a reader", "does not act",
        its.tell(its.receipt(handle="reader", signer=its.signers["XB"]["reader"])))
    add("a receipt by somebody who is not listed", "is no user", answered(handle="nobody"))
    its = play()
    add("a notice by a reader", "does not act", its.opening(signer=its.signers["XA"]["reader"], handle="reader"))
    for label, why, fields in (
            ("another kind", "does not serve", {"kinds": [2]}), ("no kind", "does not serve", {"kinds": []}),
            ("the role alert", "does not act", {"roles": [4]}), ("an end in the past", "had expired", {"not_after": 1})):
        its = play().users("XB", **fields).opening()
        add(f"a receipt by a user with {label}", why, its.tell(its.receipt()))
        add(f"a notice by a user with {label}", why, play().users("XA", **fields).opening())
    now = play().time_ms // 1000
    for label, why, end in (("just before", None, 1000), ("just at", "had expired", 0)):
        its = play().opening()  # leaf 3 will be the STATE leaf by which the receipt is judged
        its.users("XB", not_after=now + 3 + end)
        add(f"{'control: ' if why is None else ''}a receipt {label} its signer's end", why, its.tell(its.receipt()))
    add("control: a coordinator for the coordinator's desk", None, play().users("XA", roles=[3], kinds=[]).opening(
        **{"from": {"place": "XA", "kind": 3, "keys": [bytes(32)]}}))
    its = play().users("XB", signer=stranger).opening()
    add("U that a stranger signed", "not signed by a current key", its.tell(its.receipt()))
    its = play().opening()
    its.tell(its.receipt(), publish=False)
    its.users("XB", roles=[])
    its.settle()
    add("a receipt by a user who left before its publication", "is no user", its)
    its = play()
    before = its.publish()
    its.opening()
    its.users("XB", roles=[])
    its.tell(its.receipt())
    its.told[-1][4] = before
    add("a receipt judged by a publication before it", "before it was stored", its)

    # Which publication is the first after it.
    def later(listed=True):
        """A receipt by a user who was not listed at the next publication, judged by the one after that."""
        its = play().opening()
        its.users("XB", roles=[])
        its.tell(its.receipt())
        its.users("XB", roles=[2] if listed else [])
        its.told[-1][4] = its.publish()
        return its, *list(its.moments)[-3:]

    its, first, next_, last = later()
    add("a receipt judged by a later publication", "an earlier publication covers", its)
    for label, why, before in (("after the last but one", "do not follow", first), ("after itself", "do not follow", last),
                               ("after the receipt's ANCHOR leaf", "not a STATE leaf", next_ - 1),
                               ("after none", "no publication before", None)):
        its.previous[last] = before
        add(f"a receipt judged by a later publication, as if it came {label}", why, its)
    its = later()[0]
    its.leaves[last] = leaf(STATE, ZERO, 2, its.leaves[last][42:74], its.time_ms + 1000 * last)
    its.previous[last] = first
    add("two publications of one number, which only the log's readers see", None, its)
    its = play().opening()
    its.tell(its.receipt())
    its.previous[its.told[-1][4]] = None
    add("a receipt whose publication has none before it", "no publication before", its)
    its = play()
    its.opening()
    its.previous[its.told[0][4]] = its.told[0][4]
    add("a first publication with one before it", "do not follow", its)
    its = play()
    its.publish()
    its.tell(its.header(), its.fact(), publish=False)
    its.time_ms -= 5000
    its.settle()
    add("a publication older than what it covers", "before it was stored", its)
    its = play()
    its.time_ms += 5000
    its.publish()
    its.time_ms -= 5000
    add("an anchor older than the publication before it", "an earlier publication covers", its.opening())

    # K, S and T of that time.
    its = play()
    keys = its.chains["K/XB"][0]
    its.add_key(change(keys, authorities["XB"], head=next_head(keys), coordinators=[{"spki": stranger.spki}]))
    add("U under a coordinator whom K dropped", "not signed by a current key", its.opening().tell(its.receipt()))
    its = play()
    its.add_key(change(keys, authorities["XB"], head=next_head(keys), coordinators=[{"spki": stranger.spki}]))
    its.users("XB", signer=stranger).opening()
    add("control: U under the coordinator of K(2)", None, its.tell(its.receipt()))
    its = play()
    its.add_key(change(keys, stranger, head=next_head(keys), coordinators=[{"spki": stranger.spki}]))
    its.users("XB", signer=stranger).opening()
    add("K(2) that the authority did not sign", "too few signatures", its.tell(its.receipt()))
    its = play().opening()
    its.add_key(change(keys, authorities["XB"], head=next_head(keys)))
    its.extra = [its.chains["K/XB"][1]]
    its.tell(its.receipt())
    its.moments[its.told[-1][4]][1]["K/XB"].pop(0)
    add("K(2) without K(1)", "missing|no step needs", its)
    for suspended, why in (([], None), (["XB"], "was suspended"), (["XA"], "was suspended")):
        its = play()
        register = its.chains["S"][0]
        entries = [{**e, "suspended": e["state"] in suspended} for e in payload_of(register)["entries"]]
        its.chains["S"] = [change(register, enrolment, head=next_head(register), entries=entries)]
        its.opening()
        add(f"{suspended[0]} suspended" if suspended else "control: S(2)", why, its.tell(its.receipt()))
    its = play()
    its.chains["S"] = [change(register, stranger, head=next_head(register))]
    add("S that a stranger signed", "too few enrolment signatures", its.opening())
    its = play().opening()
    its.chains["S"] = [change(register, enrolment, head=next_head(register),
                              entries=[e for e in payload_of(register)["entries"] if e["state"] != "XB"])]
    add("a state that is not in S", "not in the register", its.tell(its.receipt()))
    its = play().opening()
    second = change(its.trust[0], root, head=head(its.directory, "T", 2, sha(its.trust[0])))
    its.trust.append(second)
    add("control: T(2) in between", None, its.tell(its.receipt()))
    its = play().opening()
    its.trust.append(second)
    its.tell(its.receipt())
    its.trust.pop()
    add("a T that is not in the file", "T of that time", its)
    its = play()
    its.trust.append(change(its.trust[0], root, head=head(its.directory, "T", 2, sha(its.trust[0])), replaced=[
        {"state": "XB", "keys": bytes(32), "not_before": payload_of(its.trust[0])["issued"] + 100 * 86400}]))
    add("a state that the council replaces", "was suspended", its.opening().tell(its.receipt()))
    its = play()
    its.trust.append(change(its.trust[0], stranger, head=head(its.directory, "T", 2, sha(its.trust[0]))))
    add("T(2) that a stranger signed", "too few root signatures", its.opening())

    # What is said.
    elsewhere = sha(b"another directory")
    add("a notice of another directory", "another directory", play().opening(directory_id=elsewhere))
    for label, fields in (("directory", {"directory_id": elsewhere}), ("notice", {"notice_id": bytes(16)}),
                          ("header", {"notice_hash": elsewhere})):
        add(f"a receipt about another {label}", "another notice", answered(**fields))
        add(f"a fact about another {label}", "another notice", stated(DELIVERED, **fields))
    add("a receipt by a desk that is no party", "cannot say", answered(kind=2))
    for step in (ACKNOWLEDGED, ACCEPTED, ANSWERED):
        add(f"step {step} by the sender", "cannot say",
            answered(step, place="XA", **({"answer": bytes(15) + b"\1"} if step == ANSWERED else {})))
    for step in (TAKEN, RELEASED):
        add(f"private step {step}", "private", answered(step))
    for step in (STORED, DELIVERED, ESCALATED, 0):
        add(f"step {step} by a user", "no user states", answered(step))
    for step in (ACKNOWLEDGED, CLOSED, 0):
        add(f"step {step} as a fact", "no fact", stated(step))
    add("declined without reason", "reason", answered(DECLINED))
    add("acknowledged with a reason", "reason", answered(reason=1))
    add("accepted with an answer", "answer", answered(ACCEPTED, answer=bytes(15) + b"\1"))
    add("answered without answer", "answer", answered(ANSWERED))
    add("a promise of the past", "wrong times", answered(answer_by=1))
    add("a promise of another age", "wrong times", answered(answer_by=1 << 40))
    add("a promise with closed", "wrong times", answered(CLOSED, answer_by=now + 999))
    add("a receipt of no time", "wrong times", answered(time=0))
    add("a fact of no time", "no fact", stated(DELIVERED, time_ms=0))
    add("stored of one desk", "whole notice", stated(STORED, place="XB", kind=1))
    add("delivered to nobody", "was not for", stated(DELIVERED, place="", kind=0))
    for label, desk in (("a stranger", {"place": "AD"}), ("the sender", {"place": "XA"}), ("another kind", {"kind": 2})):
        add(f"delivered to {label}", "was not for", stated(DELIVERED, **desk))
        add(f"escalated to {label}", "was not for", stated(ESCALATED, **desk))
    add("escalated to a recipient", "was not for", stated(ESCALATED))
    desk, second_id = {"place": "XB", "kind": 1, "keys": [bytes(32)]}, b"another-notice.."
    for label, why, fields in (
            ("control: in a thread", None, {"thread": second_id, "answers": second_id}),
            ("the first of a thread, and an answer", "answers none", {"answers": second_id}),
            ("an id of 15 bytes", "ids of a wrong length", {"answers": second_id[1:], "thread": second_id}),
            ("no recipient", "recipients", {"to": []}), ("a recipient twice", "recipients", {"to": [desk, desk]}),
            ("recipients in another order", "recipients", {"to": [desk, {**desk, "place": "AD"}]}),
            ("no reading key", "reading keys", {"to": [{**desk, "keys": []}]}),
            ("a short reading key", "reading keys", {"to": [{**desk, "keys": [bytes(31)]}]}),
            ("reading keys in another order", "reading keys", {"to": [{**desk, "keys": [b"\1" * 32, bytes(32)]}]}),
            ("a desk of no kind", "point of contact", {"to": [{**desk, "kind": 0}]}),
            ("a technical desk of the directory", "point of contact", {"to": [{**desk, "place": "@directory"}]}),
            ("no category", "category", {"category": 0}), ("no urgency", "category", {"urgency": 0}),
            ("no TLP", "category", {"tlp": 0}), ("no time", "wrong times", {"created": 0}),
            ("a wrong exercise", "exercise", {"exercise": "Spring 27"}),
            ("a wish before it was sent", "wrong times", {"reply_by": 1}),
            ("a wish of another age", "wrong times", {"reply_by": 1 << 40}),
            ("a note to somebody else", "own desk", {"category": 7}),
            ("control: an escalation", None, {"escalations": [{"at": now + 9, "to": {**desk, "kind": 2}}]}),
            ("an escalation of the past", "escalations", {"escalations": [{"at": 1, "to": {**desk, "kind": 2}}]}),
            ("an escalation of another age", "escalations", {"escalations": [{"at": 1 << 40, "to": {**desk, "kind": 2}}]}),
            ("an escalation to a recipient", "escalations", {"escalations": [{"at": now + 9, "to": desk}]}),
            ("an escalation to the sender", "escalations", {"escalations": [
                {"at": now + 9, "to": {**desk, "place": "XA"}}]})):
        add(label if why is None else f"a notice with {label}", why, play().opening(**fields))

    def escalating():
        return play().users("XB", kinds=[1, 2]).opening(escalations=[{"at": now + 9, "to": {**desk, "kind": 2}}])

    its = escalating()
    add("control: acknowledged by an escalation's desk", None, its.tell(its.fact(ESCALATED, kind=2)).tell(
        its.fact(DELIVERED, kind=2), its.receipt(kind=2)))
    its = escalating()
    add("a receipt before the release", "not released", its.tell(its.receipt(kind=2)).tell(its.fact(ESCALATED, kind=2)))
    its = escalating()
    add("a receipt without a release", "not released", its.tell(its.receipt(kind=2)))
    its = escalating()
    add("delivered without a release", "not released", its.tell(its.fact(DELIVERED, kind=2)))
    add("a category that nobody knows", "Category", play().opening(category=8))

    # Where it stands.
    its = play().opening()
    add("a receipt that its batch does not hold", "not in the batch",
        its.tell(its.receipt(), batch=[its.receipt(CLOSED)]))
    its = play().opening()
    add("a batch under a leaf of another kind", "not an ANCHOR leaf", its.tell(its.receipt(), kind=PUT))
    its = play().opening()
    its.tell(its.receipt(), publish=False)
    its.told[-1][4] = its.publish(kind=ANCHOR)
    its.publish()
    add("a publication under a leaf of another kind", "not a STATE leaf", its)
    its = play()
    header = its.header()
    its.tell(its.receipt()).tell(header, its.fact())
    its.told.insert(0, its.told.pop(1))
    add("a receipt that stands before its notice", "order of the log", its)
    its = play().opening()
    its.tell(its.receipt()).tell(its.receipt(ACCEPTED))
    its.told[-2:] = its.told[:-3:-1]
    add("receipts in another order than the log's", "order of the log", its)
    its = play().opening()
    its.tell(its.receipt()).tell(*[told[:2] for told in its.told[-1:]])
    add("a receipt that is anchored twice", "same step twice", its)
    its = play().opening()
    its.extra = [change(register, enrolment, head=next_head(register))]
    add("an envelope that no step needs", "no step needs", its)

    # The body.
    body, keys = sealed
    add("control: with the CMS bytes", None, play().opening(body=body, body_keys=keys), body=body)
    add("the CMS bytes, cut", "not the header's", play().opening(body=body, body_keys=keys), body=body[:-1])
    add("a body for other keys", "other keys", play().opening(body=body), body=body)
    at = body.index(bytes.fromhex("020100"))
    for label, other in (("of another version", body[:at + 2] + b"\1" + body[at + 3:]),
                         ("with a MAC length of 12", body.replace(bytes.fromhex("020110"), bytes.fromhex("02010c"))),
                         ("with another KDF", body.replace(bytes.fromhex("2b8104010b02"),
                                                           bytes.fromhex("2b8104010b01"))),
                         ("with another cipher", body.replace(bytes.fromhex("60864801650304012e"),
                                                              bytes.fromhex("60864801650304011a"))),
                         ("with a byte more", body + b"\0"), ("cut", body[:-1]), ("of no form", b"CMS")):
        add(f"a body {label}", "body|MAC", play().opening(body=other, body_keys=keys), body=other)
    return made


# --- Seeds ---

def seeds():
    """{name: bytes}: stories of a small directory, whose keys come from their labels."""
    names = ("root", "enrolment", "log", "XA", "XB", "operator of XA", "operator of XB")
    keys, day, issued = {name: Signer.derived(name) for name in names}, 86400, 1767225600
    trust = encode("Trust", {
        "head": head(b"", "T"), "issued": issued, "expires": issued + 365 * day, "origin": "example.test/2026",
        "log_keys": [{"spki": keys["log"].spki}], "root_keys": [{"spki": keys["root"].spki}], "root_threshold": 1,
        "enrolment_keys": [{"spki": keys["enrolment"].spki}], "enrolment_threshold": 1, "max_age": day,
        "algorithms": ["ed25519"], "least_protocol": 1, "replacement_delay": 3 * day})
    directory, chains = sha(trust), {}
    for state in ("XA", "XB"):
        chains[state] = encode("Keys", {
            "head": head(directory, "K/" + state), "issued": issued, "authority": [{"spki": keys[state].spki}],
            "authority_threshold": 1, "coordinators": [{"spki": keys[state].spki}]})
    register = encode("Register", {"head": head(directory, "S"), "issued": issued, "entries": [
        {"state": state, "anchor": sha(chain), "reference": "note 1/2026", "date": "2026-01-01"}
        for state, chain in chains.items()]})
    envelopes = [seal("S", register, keys["enrolment"])] + [seal("K", chain, keys[state]) for state, chain in
                                                            chains.items()]
    start = encode("NoticeStory", {"trust": [seal("T", trust, keys["root"])], "envelopes": envelopes, "checkpoint": {
        "leaf": leaf(STATE, ZERO, 1, ZERO, issued * 1000)}})

    def play(**fields):
        its = Play(start, keys["log"], keys)
        for place, its_signers in its.signers.items():
            its_signers.update(operator=keys["operator of " + place], reader=keys[place])
            its.users(place)
        return its.opening(**fields)

    acknowledged, escalated = play(), play(escalations=[{"at": issued + 9, "to": {
        "place": "XB", "kind": 2, "keys": [bytes(32)]}}])
    acknowledged.tell(acknowledged.fact(DELIVERED), acknowledged.receipt(answer_by=issued + day))
    acknowledged.tell(acknowledged.receipt(DECLINED, reason=1))
    escalated.tell(escalated.fact(ESCALATED, kind=2))
    return {"declined": acknowledged.file(), "escalated": escalated.file(), "inner": play().file(body=b"inner"),
            "unpadded": play(inner=b"inner\x22\x02\0\0").file(body=b"inner", padding=2)}


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "seeds":
        sys.exit(__doc__)
    for name, data in seeds().items():
        with open(os.path.join(sys.argv[2], name), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
