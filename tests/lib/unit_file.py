"""unit_file: a systemd unit of ours is right, and as closed as it should be, where systemd-analyze is at hand."""
import os
import re
import shutil
import tempfile
import unittest

from harness import POCADM, run


class UnitFile:
    """With unittest.TestCase: set SOURCE, NAME, PROGRAM, EXPOSURE_MAX (of systemd-analyze security), BESIDE (units that it names)."""
    SOURCE = NAME = PROGRAM = None
    EXPOSURE_MAX = 0.0
    BESIDE = ()

    def setUp(self):
        if not shutil.which("systemd-analyze"):
            raise unittest.SkipTest("systemd-analyze is not installed")
        folder = tempfile.mkdtemp(prefix="pocd-unit-")
        self.addCleanup(shutil.rmtree, folder)
        with open(self.SOURCE, encoding="utf-8") as file:
            text = file.read()
        self.units = [os.path.join(folder, self.NAME)]
        text = re.sub("(?m)^ExecStart=[^ ]*", "ExecStart=" + self.PROGRAM, text)  # the programs need not be installed
        text = re.sub("(?m)^ExecReload=[^ ]*/pocadm", "ExecReload=" + POCADM, text)
        with open(self.units[0], "w", encoding="utf-8") as out:
            out.write(text)
        self.units += [shutil.copy(path, folder) for path in self.BESIDE]

    def test_verify(self):
        answer = run("systemd-analyze", "verify", "--man=no", *self.units, expect=None)
        ours = [line for line in (answer.out + answer.err).splitlines() if "poc" in line]
        self.assertEqual(ours, [], answer)

    def test_exposure(self):
        answer = run("systemd-analyze", "security", "--offline=true", self.units[0], expect=None)
        level = re.search(rf"Overall exposure level for {re.escape(self.NAME)}: ([0-9.]+)", answer.out)
        self.assertIsNotNone(level, answer)
        self.assertLessEqual(float(level.group(1)), self.EXPOSURE_MAX)
