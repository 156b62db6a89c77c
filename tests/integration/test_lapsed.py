"""A K marked as an emergency drops the key that signed its state's users and record: they lapse, and nobody else is harmed."""
import time
import unittest

import wire
from follower import forge
from harness import World, main

import verify  # noqa: E402  follower says where it is


class Lapsed(unittest.TestCase):
    def submit(self, world, envelope):
        with world.client("directory-admin") as client:
            return client.call(wire.SUBMIT, wire.element(1, wire.field(1, envelope)) + wire.field(2, 1))

    def test_emergency(self):
        with World() as world:
            world.poc("xa-reader", "sync")
            with world.client("directory-admin") as client:
                item = next(value for number, value in wire.decode(client.call(wire.GET_ENVELOPES, wire.field(1, "K/XB")).body) if number == 4)
            keys = [value for number, value in wire.decode(item) if number == 3][-1]
            authority = forge.Signer.load(world.path("states", "XB-authority.key"))
            directory = bytes.fromhex(world.setting("xa-reader", "directory", "id"))
            fields = {"head": forge.next_head(keys, directory), "issued": int(time.time()), "coordinators": [{"spki": forge.Signer.fresh().spki}]}
            refused = self.submit(world, forge.change(keys, authority, **fields))
            self.assertIn("U/XB", refused.text)  # orphans: without the mark it is refused
            self.assertEqual(self.submit(world, forge.change(keys, authority, **fields, emergency=True)).kind, wire.SUBMIT_ANSWER)
            # the record is worth nothing, and says why
            self.assertIn("R/XB has lapsed", world.poc("xa-reader", "lookup", "XB", expect=6).err)
            # whoever stood in its U is listed no more
            world.poc("xb-operator", "lookup", "XA", expect=4)
            # all others go on
            self.assertEqual(world.poc("xa-reader", "sync").status, 0)
            self.assertEqual(world.poc("xa-reader", "--offline", "lookup", "XA").status, 0)
            self.assertIn("R/XB has lapsed", world.poc("xa-reader", "--offline", "lookup", "XB", expect=6).err)
            found = world.poc("xa-reader", "-o", "json", "search", "").json
            self.assertNotIn('"XB"', str(found).replace("'", '"'))
            bundle = world.path("all.proof")
            world.poc("xa-reader", "export", bundle)
            lines = world.poc("xa-reader", "--offline", "verify", bundle).out
            self.assertIn("XA", lines)
            self.assertNotIn("XB technical", lines)
            with open(bundle, "rb") as file:  # as the independent verifier has it
                findings = verify.Proof(file.read(), directory, verify.Reader("XA", ["reader"])).findings
            self.assertEqual([finding.name.text for finding in findings if finding.lapsed], ["R/XB"])
            self.assertGreater(len(findings), 3)
            world.pocadm("state", "list")
            world.pocadm("stats")
            world.poc("xa-coordinator", "-y", "confirm")


if __name__ == "__main__":
    main()
