#!/usr/bin/python3
"""ceremony: an independent reader of ceremony files (docs/protocol.md, section 22), written from that document alone.

    ceremony.py --id DIRECTORY_ID [--quorum N] FILE [COPY...]

Prints what is proposed, its code to compare, and per group who has signed and how many signatures are missing, those of
the copies counted too.  Exit status 0 complete, 1 signatures are missing, 6 does not verify.
"""
import argparse
import base64
import sys

from canonical import encode, get
from verify import Envelope, Proof, Refused, continued, decode, demand

MOST = 4 * 1024 * 1024


def fingerprint(digest):
    """The form in which hashes are read aloud."""
    text = base64.b32encode(digest[:20]).decode()
    return "-".join(text[at:at + 4] for at in range(0, 32, 4))


class Group:
    """Keys of one list, of which so many must sign."""

    def __init__(self, title, keys, threshold, algorithms):
        self.title, self.keys, self.threshold, self.algorithms = title, keys, threshold, algorithms
        self.signed = []

    def count(self, envelope):
        self.signed = [key.id for key in self.keys if envelope.count([key], self.algorithms)]

    @property
    def missing(self):
        return max(0, self.threshold - len(self.signed))


def group_of(title, of, field, threshold, trust):
    """of: the T or K that lists the keys; trust: whose algorithms count."""
    return Group(f"{title} of {of.name.text}({of.seq})", of.keys(field), of.get(threshold), trust.get("algorithms"))


class Proposal:
    def __init__(self, envelope, prev, groups):
        self.envelope, self.prev, self.groups = envelope, prev, groups
        self.code = fingerprint(envelope.payload_hash)
        asked = {signer for group in groups for signer in self._counted(group)}
        demand(asked == set(envelope.signatures), "a signature is wrong, or by a key that is not asked")

    def _counted(self, group):
        group.count(self.envelope)
        return group.signed


class Ceremony:
    """A file that was read: .proposals, each with .groups; or Refused."""

    def __init__(self, data, directory, quorum=0):
        demand(1 <= len(data) <= MOST, "a ceremony file has 1 byte to 4 MiB")
        message = decode("Ceremony", data)
        demand(get(message, "Ceremony", "version") == 1, "not a ceremony of version 1")
        self.directory, self.shown = directory, get(message, "Ceremony", "proof")
        self.proof = Proof(self.shown, directory, quorum=quorum, records=False)
        envelopes = [Envelope(each, 0) for each in get(message, "Ceremony", "proposals")]
        kinds = "".join(each.kind for each in envelopes)
        demand(kinds in ("T", "TS", "K"), "a ceremony is of T, of T and S, or of one K")
        wanted = {"S", "T"} | ({envelopes[0].name.text} if kinds == "K" else set())
        demand(not self.proof.complete and set(self.proof.items) == wanted, "the proof is of more or less than is proposed")
        self.proposals = []
        for each in envelopes:
            demand(each.directory == directory, "a proposal of another directory")
            self.proposals.append(getattr(self, "_propose_" + each.kind.lower())(each))

    @staticmethod
    def _check_follows(envelope, prev):
        demand(envelope.name.text == prev.name.text and envelope.seq == prev.seq + 1 and envelope.prev == prev.value,
               f"{prev.name.text} does not follow the one that the file shows")

    def _propose_t(self, envelope):
        prev = self.proof.trust
        continued(prev, envelope, self.directory)
        return Proposal(envelope, prev, [group_of("root keys", each, "root_keys", "root_threshold", each)
                                         for each in (prev, envelope)])

    def _propose_s(self, envelope):
        prev, trust = self.proof.register, self.proposals[0].envelope
        self._check_follows(envelope, prev)
        demand(envelope.get("entries") == prev.get("entries"), "the register is not the current one signed anew")
        return Proposal(envelope, prev, [group_of("enrolment keys", trust, "enrolment_keys", "enrolment_threshold", trust)])

    def _propose_k(self, envelope):
        prev, _ = self.proof.chains[envelope.name.text]
        demand(prev is not None, "there is no K yet")
        self._check_follows(envelope, prev)
        return Proposal(envelope, prev, [group_of("authority keys", each, "authority", "authority_threshold", self.proof.trust)
                                         for each in (prev, envelope)])

    @property
    def missing(self):
        return sum(group.missing for each in self.proposals for group in each.groups)

    def merged(self, other):
        """A file with the signatures of both."""
        demand([each.code for each in self.proposals] == [each.code for each in other.proposals],
               "the copies propose different things")
        proposals = []
        for ours, theirs in zip(self.proposals, other.proposals):
            outer = decode("Envelope", ours.envelope.data)
            signatures = {**theirs.envelope.signatures, **ours.envelope.signatures}
            outer["signatures"] = [{"signature": signature, "key_id": key} for key, signature in signatures.items()]
            proposals.append(encode("Envelope", outer))
        return encode("Ceremony", {"version": 1, "proof": self.shown, "proposals": proposals})


def main():
    parser = argparse.ArgumentParser(description="reads a ceremony file")
    parser.add_argument("--id", required=True, help="directory id, 64 hexadecimal digits")
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args()
    directory, found = bytes.fromhex(options.id), None
    try:
        for path in options.files:
            with open(path, "rb") as file:
                one = Ceremony(file.read(), directory, options.quorum)
            found = one if found is None else Ceremony(found.merged(one), directory, options.quorum)
    except Refused as refused:
        print(f"refused: {refused}")
        return 6
    for each in found.proposals:
        print(f"{each.envelope.name.text}({each.envelope.seq}), code to compare {each.code}")
        for group in each.groups:
            print(f"  {group.title}: {len(group.signed)} of {group.threshold} have signed")
            for key in group.keys:
                print(f"    {fingerprint(key.id)}  {'signed' if key.id in group.signed else 'open'}")
    print(f"{found.missing} signatures are missing")
    return 1 if found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
