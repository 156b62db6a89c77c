"""A directory that has lived long: hundreds of versions of T and of a state's K."""
import unittest

from follower import make_versions
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


if __name__ == "__main__":
    main()
