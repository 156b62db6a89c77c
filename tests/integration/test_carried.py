"""What a notice carries: attachments and notices that it forwards, however deep; how large, how far, and to whom."""
import json
import os
import unittest

from harness import World, main


class Carried(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def poc(self, user, *words, **more):
        return self.world.poc(user, "notice", *words, **more)

    def json(self, user, *words, **more):
        return self.world.poc(user, "-o", "json", "notice", *words, **more).json

    def send(self, *words, user="xa-operator", to="XB", subject="Scans", text="We see scans."):
        return self.json(user, "send", "--to", to, "--subject", subject, "--text", text, *words)["id"]

    def file(self, name, data=b"abc"):
        path = os.path.join(self.world.root, name)
        with open(path, "wb") as out:
            out.write(data)
        return path

    def folder(self, name):
        path = os.path.join(self.world.root, name)
        os.makedirs(path)
        return path

    def passed_twice(self, *words):
        """(what XA sent, what XB forwarded to AE, what AE forwarded to AD)."""
        first = self.send(*words)
        second = self.json("xb-operator", "forward", first, "--to", "AE", "--text", "For you.")["id"]
        return first, second, self.json("ae-operator", "forward", second, "--to", "AD", "--text", "And you.")["id"]

    # --- Attachments

    def test_save_what_is_carried(self):
        """The attachments of what a notice forwards are saved as its own are, under names that are free."""
        first, second, third = self.passed_twice("--attach", self.file("f.txt"), "--attach", self.file("-g.txt", b"defg"))
        folder = self.folder("twice")
        with open(os.path.join(folder, "f.txt"), "wb") as out:
            out.write(b"mine")
        shown = self.poc("ad-operator", "show", third).out
        self.assertIn("attachment 1   f.txt (3 bytes)", shown)
        self.assertIn("attachment 2   -g.txt (4 bytes)", shown)
        would = self.poc("ad-operator", "save", third, folder, "-n")
        self.assertEqual(would.out.count("would be written"), 2)
        saved = self.json("ad-operator", "save", third, folder)
        self.assertEqual([(each["number"], each["name"], each["file"], each["size"], each["notice"]) for each in saved["files"]],
                         [(1, "f.txt", "f-2.txt", 3, first), (2, "-g.txt", "_g.txt", 4, first)])
        for name, data in ("f.txt", b"mine"), ("f-2.txt", b"abc"), ("_g.txt", b"defg"):
            with open(os.path.join(folder, name), "rb") as file:
                self.assertEqual(file.read(), data)
        text = self.poc("ae-operator", "save", second, folder)
        self.assertEqual(text.out.splitlines(), [f"{folder}/f-3.txt  3, of notice {first}", f"{folder}/_g-2.txt  4, of notice {first}"])
        self.assertEqual(text.err, "")
        # by the sender, and what is escalated
        escalated = self.json("xa-operator", "escalate", first, "--to", "AD")["id"]
        self.assertEqual([each["notice"] for each in self.json("ad-operator", "save", escalated, folder)["files"]], [first, first])
        own = self.poc("xb-operator", "save", first, folder).out.splitlines()
        self.assertEqual(own[0], f"{folder}/f-5.txt  3")
        bare = self.send()
        self.assertIn("it has no attachments", self.poc("xb-operator", "save", bare, folder).err)

    def test_shown_whole(self):
        first, second, third = self.passed_twice()
        shown = self.poc("ad-operator", "show", third).out
        for words in "And you.", "For you.", "We see scans.":
            self.assertEqual(shown.count(words), 1, shown)
        one = self.json("ad-operator", "show", third)["forwarded"]
        two = one["forwarded"]
        self.assertEqual([(each["id"], each["from"], each["verified"], each["content"]["text"]) for each in (one, two)],
                         [(second, "XB", True, "For you."), (first, "XA", True, "We see scans.")])


if __name__ == "__main__":
    main()
