"""A directory that has lived long: hundreds of versions of T and of a state's K."""
import unittest

from follower import current_trust, forge, make_versions, publish_trust, wait_for
from harness import World, main


class LongChains(unittest.TestCase):
    def test_hundreds_of_versions(self):
        with World() as world:
            before = world.variant("xa-reader", "before", {})
            world.poc(before, "lookup", "XB")
            make_versions(world, "T", 210)
            make_versions(world, "K/XB", 600)  # more than a page
            for user in "xa-reader", before, world.variant("xa-reader", "cold", {}):
                for _ in range(2):  # what was held can be read again
                    world.poc(user, "-t", "120", "lookup", "XB")
                self.assertEqual(world.poc(user, "-o", "json", "status").json["checkpoint"]["trust"], 211)
            world.poc("xa-reader", "-t", "120", "sync")
            world.poc("xa-reader", "--offline", "lookup", "XB")

    def test_as_long_as_may_be(self):
        """One state's K cannot become longer than an answer holds, by which others' copies would end."""
        with World() as world:
            with self.assertRaisesRegex(AssertionError, "the versions of K/XB would come to more than 800 KiB"):
                make_versions(world, "K/XB", 4000)
            world.poc("xa-reader", "-t", "120", "lookup", "XB")
            world.poc("xa-reader", "-t", "120", "sync")
            world.poc("xa-reader", "--offline", "lookup", "XB")

    def test_more_than_an_answer_holds(self):
        """T comes in pages then, to whoever holds nothing and to whoever was away."""
        with World() as world:
            root = forge.Signer.load(world.path("keys", "root.key"))
            before = world.variant("xa-reader", "before", {})
            world.poc(before, "lookup", "XB")
            publish_trust(world, [], 0, root_keys=[{"spki": each.spki} for each in (root, *(forge.Signer.fresh() for _ in range(15)))])
            wait_for(lambda: forge.payload_of(current_trust(world))["head"]["seq"] == 2, "T(2) was never published")
            make_versions(world, "T", 400)
            world.poc("xb-reader", "lookup", "XB")
            make_versions(world, "T", 500)
            for user in "xb-reader", before, world.variant("xa-reader", "cold", {}):
                for _ in range(2):
                    world.poc(user, "lookup", "XB")
                self.assertEqual(world.poc(user, "-o", "json", "status").json["checkpoint"]["trust"], 902)
            saved = world.path("xb.poc")
            world.poc("cold", "lookup", "XB", "--save", saved)
            world.poc(before, "--offline", "verify", saved)
            world.poc("cold", "--offline", "lookup", "XB")


if __name__ == "__main__":
    main()
