"""followers: what auditors add to a publication, and how long a cold client takes over long chains, over real daemons on
loopback.

    followers.py        prints the former (POCD_BUILD names the build folder)
"""
import os
import statistics
import sys
import time

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import wire  # noqa: E402  pylint: disable=wrong-import-position
from follower import Follower, forge, make_versions, publish_trust, wait_for  # noqa: E402  pylint: disable=wrong-import-position
from harness import World  # noqa: E402  pylint: disable=wrong-import-position


class Documents:
    """Signs documents of the directory, one after the other."""

    def __init__(self, world):
        self.key = forge.Signer.load(world.path("keys", "coordinator.key"))
        self.directory, self.made = bytes.fromhex(world.setting("xa-reader", "directory", "id")), 0

    def next(self):
        self.made += 1
        payload = {"head": forge.head(self.directory, f"D/bench-{self.made}"), "issued": int(time.time()), "kind": 3,
                   "title": "bench", "text": "bench"}
        return wire.element(1, wire.field(1, forge.seal("D", forge.encode("Document", payload), self.key)))


def proven_ms(client, documents, n):
    """How long each of n changes takes from its sending until it is proven."""
    times = []
    for _ in range(n):
        body = documents.next() + wire.field(2, 1)
        begun = time.monotonic()
        answer = client.call(wire.SUBMIT, body)
        times.append((time.monotonic() - begun) * 1000)
        if answer.kind != wire.SUBMIT_ANSWER or dict(wire.decode(answer.body)).get(2, 0) == 0:
            raise ValueError(f"a change was not proven: {answer.text}")
    return statistics.median(times)


def walk_seconds(versions=1000, times=5, fresh=None):
    """How long a client that holds nothing takes for a lookup where T and K of the state have had so many versions; fresh:
    as make_versions has it."""
    taken = []
    with World() as world:
        make_versions(world, "K/XB", versions, fresh)
        make_versions(world, "T", versions, fresh)
        for i in range(times):
            cold = world.variant("xa-reader", f"cold{i}", {})
            begun = time.monotonic()
            world.poc(cold, "-t", "30", "lookup", "XB")
            taken.append(time.monotonic() - begun)
        if world.poc("xa-reader", "-o", "json", "status").json["checkpoint"]["trust"] <= versions:
            raise ValueError("there are too few versions")
    return statistics.median(taken)


def change_ms(fresh, versions=250):
    """Of a version of T and one of K together, each with another key."""
    return walk_seconds(versions, 3, fresh) * 1000 / versions


def p384():
    return ec.generate_private_key(ec.SECP384R1())


def measure(changes=40, states=("XA", "XB", "AD", "AE", "XA"), quorum=4):
    """{what: figure}: medians in ms without auditors and with the quorum."""
    with World() as world, world.settings(reload=False, log__checkpoint_interval="0ms"):
        world.stop()
        world.start()
        documents, followers = Documents(world), []
        try:
            with world.client("directory-admin", timeout=60) as client:
                alone = proven_ms(client, documents, changes)
                for n, state in enumerate(states):
                    followers.append(Follower(world, state, f"auditor{n}", sign=True).start())
                    followers[-1].wait_log("follow.connected", seconds=30)
                publish_trust(world, followers, quorum)
                wait_for(lambda: world.poc("xa-reader", "-o", "json", "status", expect=None).json["checkpoint"]["cosigners"] >= quorum,
                         "never cosigned", 60)
                proven_ms(client, documents, 3)
                cosigned = proven_ms(client, documents, changes)
        finally:
            for follower in followers:
                follower.stop()
    return {"alone_ms": alone, "cosigned_ms": cosigned}


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:14} {figure:.1f}")
    print(f"walk           {walk_seconds():.2f} s")
    for name, make in {"P-384": p384, "Ed25519": ed25519.Ed25519PrivateKey.generate}.items():
        print(f"change, {name:7}{change_ms(make):.1f} ms")
