#!/usr/bin/python3
"""Starting again at once: a server that was killed while a child of it read the database leaves nothing behind that would keep
the next one out."""
import os
import time
import unittest

from crash import KILL, SLOW, TERM, World


class Restart(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(lambda: self.world.__exit__(None, None, None))

    def children(self):
        """The child that reads the database, the second one after the signer: its process id, and the signer's; None: it was
        over before it was seen."""
        pid = self.world.server.pid
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                if len(ids := children.read().split()) == 2:
                    return [int(each) for each in ids]
        return None

    def start_seen(self):
        """Starts a server; what children() saw of it, for it is often over within milliseconds."""
        for _ in range(20):
            self.world.spawn()
            if children := self.children():
                return children
            self.world.end(KILL)
        raise AssertionError("there is no second child")

    def test_killed_while_reading(self):
        for pause in (0, 0.02):
            children = self.start_seen()
            time.sleep(pause * SLOW)
            self.world.end(KILL)
            self.world.start()
            end = time.monotonic() + 2 * SLOW
            while any(os.path.exists(f"/proc/{each}") for each in children) and time.monotonic() < end:
                time.sleep(0.01)
            for each in children:
                self.assertFalse(os.path.exists(f"/proc/{each}"), "a child lives on")
            self.assertEqual(self.world.end(TERM), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
