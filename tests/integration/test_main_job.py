"""The main job by public commands: looked up from abroad, proven, tampered with and refused, absent, offline."""
import os
import unittest

from harness import ROOT, World, main, run


class MainJob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def test_lookup_proves_itself(self):
        saved = os.path.join(self.world.root, "xb.proof")
        answer = self.world.poc("xa-operator", "lookup", "XB", "--save", saved)
        first, second = answer.out.splitlines()[:2]
        self.assertRegex(first, r"^XB +technical +XB-CERT +(OPEN until|CLOSED)")
        # the desk's number while it is open, the out-of-hours line when it is not
        number = r"\+999000002   duty desk" if "OPEN" in first else r"\+999000012   out of hours"
        self.assertRegex(second, "^call 1  phone  " + number)
        self.assertIn("mobile", self.world.poc("xa-operator", "-o", "json", "lookup", "XB").out)
        self.world.poc("xa-reader", "--offline", "verify", saved)

    def test_reader_sees_no_person(self):
        self.assertNotIn("mobile", self.world.poc("xa-reader", "-o", "json", "lookup", "XB").out)

    def test_changed_byte_is_refused(self):
        saved = os.path.join(self.world.root, "aa.proof")
        self.world.poc("xa-reader", "lookup", "AD", "--save", saved)
        with open(saved, "rb") as proof:
            good = proof.read()
        for place in range(7, len(good), max(1, len(good) // 40)):
            with open(saved + ".bad", "wb") as bad:
                bad.write(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
            self.world.poc("xa-reader", "--offline", "verify", saved + ".bad", expect=6)

    def test_absence_is_proven(self):
        answer = self.world.poc("xa-reader", "lookup", "XZ", expect=5)
        self.assertIn("XZ", answer.err)

    def test_demo_refuses_before_it_builds(self):
        """To build begins with a look at the packages; here one is missing, and cannot be had."""
        tools = os.path.join(self.world.root, "tools")
        os.mkdir(tools)
        for name in ("dpkg-query", "apt-get", "sudo"):
            path = os.path.join(tools, name)
            with open(path, "w", encoding="ascii") as out:
                out.write("#!/bin/sh\nexit 9\n")
            os.chmod(path, 0o755)
        env = {**self.world.env, "PATH": tools + ":" + os.environ["PATH"]}

        def demo(*words, expect):
            return run(os.path.join(ROOT, "dev"), "demo", *words, expect=expect, env=env)
        for words, message in ((["--port", "abc"], "--port takes 1 to 65535"), (["--colour"], "usage: ./dev demo"),
                               (["--teams", tools + "/none"], "no such file"), (["--dir", tools], "is not empty")):
            refused = demo(*words, expect=2)
            self.assertIn(message, refused.err)
            self.assertEqual(refused.out, "")
        self.assertIn("usage", demo("--help", expect=0).out)
        new = os.path.join(self.world.root, "demo")
        self.assertIn("installing", demo("--dir", new, "--port", "7533", expect=9).out)
        self.assertFalse(os.path.exists(new))


if __name__ == "__main__":
    main()
