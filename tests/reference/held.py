"""held: an independent verifier of what a server answers to GetHead, for a client that holds an older head and an older
trust root: docs/protocol.md, sections 14 (steps 1 to 5) and 15, transitions included.  Written from that document alone.

    held = Held(directory_id)                  # first contact
    held = held.advanced(answer_bytes)         # or verify.Refused: then nothing has changed

A Held is never changed: advancing makes another one.  An answer that says `behind` is not judged here.
"""
from canonical import get
from verify import (FOUND, Head, Leaf, ascending, cosigned, decode, demand, hashes_of, log_note,
                    name_key, next_trust, sha, signed_register, trust_chain, verify_consistency, verify_map)

TRANSITIONS_MAX = 16
AHEAD = 300  # seconds that a head may be ahead of the clock


class Held:
    """What a client keeps of a directory, as far as heads need it."""

    def __init__(self, directory, chain=(), register=None, note=None, time=0):
        self.directory, self.chain, self.register, self.note, self.time = directory, list(chain), register, note, time

    def advanced(self, data, quorum=0, clock=None):
        """The state after a HeadAnswer; clock: seconds, where the reader has one."""
        answer = decode("HeadAnswer", data)
        demand(not get(answer, "HeadAnswer", "behind"), "the server is behind")
        chain, ways = self._transitions(get(answer, "HeadAnswer", "transitions"))
        proof = decode("Proof", get(answer, "HeadAnswer", "proof"))
        items = self._items(proof)
        before = chain[-1] if chain else None
        chain = trust_chain(get(proof, "Proof", "trust"), self.directory, chain)
        demand(chain[-1].get("least_protocol") <= 1, "the directory asks for a later protocol")
        head = Head(get(proof, "Proof", "checkpoint"), chain[-1], quorum, before)
        demand(clock is None or max(head.time, head.state.time, self.time) <= clock + AHEAD, "the clock is wrong")
        self._check_log(head.note, get(answer, "HeadAnswer", "consistency"), ways)
        demand(self._value(items["T"], head) == chain[-1].value, "T is not the one in the map")
        register = self._register(items["S"], head, chain[-1])
        return Held(self.directory, chain, register, head.note, head.time)

    @staticmethod
    def _items(proof):
        """S and T, each with its map proof, and nothing else."""
        demand(get(proof, "Proof", "version") == 1 and not get(proof, "Proof", "complete"), "not a proof of a head")
        items = {get(item, "Item", "name"): item for item in get(proof, "Proof", "items")}
        names = [get(item, "Item", "name") for item in get(proof, "Proof", "items")]
        demand(ascending(names) and set(items) == {"S", "T"}, "a proof of a head has the items S and T")
        for name, item in items.items():
            envelopes, value = get(item, "Item", "envelopes"), get(item, "Item", "value")
            demand(get(item, "Item", "map") is not None and get(get(item, "Item", "map"), "MapProof", "terminal") == FOUND and
                   len(envelopes) <= (name == "S") and len(value) == (0 if envelopes else 32) and
                   not get(item, "Item", "sections"), f"{name}: a wrong item")
        return items

    @staticmethod
    def _value(item, head):
        """The value that the map has for an item's name."""
        envelopes = get(item, "Item", "envelopes")
        value = sha(envelopes[0]) if envelopes else get(item, "Item", "value")
        verify_map(head.state.value, get(item, "Item", "name"), get(item, "Item", "map"), value)
        return value

    def _register(self, item, head, trust):
        value, envelopes = self._value(item, head), get(item, "Item", "envelopes")
        if envelopes:
            data = envelopes[0]
        else:
            demand(self.register is not None and self.register.value == value, "no register")
            data = self.register.data
        register = signed_register(data, trust, self.directory)
        if self.register is not None:
            demand(register.seq > self.register.seq or register.value == self.register.value, "the register went back")
            for entry in self.register.get("entries"):
                kept = register.entry(get(entry, "Entry", "state"))
                demand(kept is not None and get(kept, "Entry", "anchor") == get(entry, "Entry", "anchor"),
                       "the register dropped a state or changed its anchor")
        return register

    def _check_log(self, note, consistency, ways):
        if self.note is not None:
            demand(self.note.size <= note.size, "the server hides that its head is older")
            demand(leads(self.note, note, consistency), "the head contradicts the one that is held")
        else:
            demand(not consistency, "a consistency proof from nothing")
        for earlier, path in ways:
            demand(leads(earlier, note, path), "a transition's checkpoint is of another log")

    def _transitions(self, transitions):
        """(the chain of T that they lead to, [(note, consistency)])"""
        demand(len(transitions) <= TRANSITIONS_MAX and (self.chain or not transitions), "there is no such way")
        chain, ways = list(self.chain), []
        for transition in transitions:
            ways.append(self._transition(chain, transition))
        return chain, ways

    def _transition(self, chain, transition):
        """One step of the way; chain grows by it."""
        before, trust = chain[-1], get(transition, "Transition", "trust")
        demand(trust, "a transition to no T")
        for data in trust:
            chain.append(next_trust(chain[-1], data, self.directory))
        note = log_note(get(transition, "Transition", "note"), chain[-1])
        cosigned(note, before)
        cosigned(note, chain[-1])
        leaf = Leaf(get(transition, "Transition", "leaf"), Leaf.PUT, get(transition, "Transition", "index"), note,
                    get(transition, "Transition", "path"), name_key("T"))
        demand(leaf.seq == chain[-1].seq and leaf.value == chain[-1].value, "the leaf is of another T")
        return note, get(transition, "Transition", "consistency")


def leads(earlier, later, path):
    return verify_consistency(earlier.size, earlier.root, later.size, later.root, hashes_of(path, 64))
