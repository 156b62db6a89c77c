"""What pocd.service relies on: an inherited listening socket in an empty network, readiness told to systemd; and that the
unit is right and as closed as it should be, where systemd-analyze is at hand."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

from harness import BUILD, POCADM, POCD, ROOT, World, main
from unit_file import UnitFile

SHIM = os.path.join(BUILD, "tests/crash/libdisk.so")
ASAN = "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"


def empty_network():
    """A command that runs another one in a network without interfaces; () where that is not allowed."""
    for command in (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net")):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return ()


class Activation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        cls.world.stop()

    def tearDown(self):
        if self.world.daemon:
            self.assertEqual(self.world.stop(), 0)

    def test_inherited_socket(self):
        """Descriptor 3 is listened on, whatever [server] listen says; in a network of its own that is empty."""
        with socket.create_server(("127.0.0.1", 0)) as listener, self.world.settings(reload=False, server__listen="192.0.2.1:1"):
            port = listener.getsockname()[1]
            shell = ("sh", "-c", f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&{listener.fileno()}', "sh", *empty_network())
            self.world.start(prefix=shell, pass_fds=(listener.fileno(),))
            answer = self.world.poc("xa-reader", "-s", f"127.0.0.1:{port}", "lookup", "XB")
            self.assertIn("XB-CERT", answer.out)
            interfaces = os.readlink(f"/proc/{self.world.daemon.pid}/ns/net")
            self.assertEqual(interfaces == os.readlink("/proc/self/ns/net"), not empty_network())

    def test_foreign_socket(self):
        """Variables that are meant for another process are not followed."""
        shell = ("sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=1 exec "$@"', "sh")
        self.world.start(prefix=shell)
        self.world.poc("xa-reader", "--online", "lookup", "XB")

    def test_priority(self):
        """The writer's thread lets the loops go first."""
        self.world.start()
        tasks = f"/proc/{self.world.daemon.pid}/task"

        def name(task):
            with open(f"{tasks}/{task}/comm", encoding="ascii") as file:
                return file.read().strip()

        for _ in range(100):  # a thread's first steps
            found = [(os.sched_getscheduler(int(task)), os.getpriority(os.PRIO_PROCESS, int(task)))
                     for task in os.listdir(tasks) if name(task) == "pocd-writer"]
            if found == [(os.SCHED_BATCH, 10)]:
                break
            time.sleep(0.05)
        self.assertEqual(found, [(os.SCHED_BATCH, 10)])

    def test_notify(self):
        path = os.path.join(self.world.root, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(10)
            self.world.start(prefix=("env", f"NOTIFY_SOCKET={path}"))
            self.assertEqual(listener.recv(100), b"READY=1")
            self.world.daemon.send_signal(signal.SIGHUP)
            self.assertEqual([listener.recv(100), listener.recv(100)], [b"RELOADING=1", b"READY=1"])
            self.assertEqual(self.world.stop(), 0)
            self.assertEqual(listener.recv(100), b"STOPPING=1")


    def test_watchdog(self):
        """Pings as long as loops and writer come round; none while the writer hangs in a sync."""
        path, fault = (os.path.join(self.world.root, name) for name in ("watchdog", "fault"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(60)
            self.world.start(prefix=("env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=4000000", f"CRASH_FAULT={fault}",
                                     f"LD_PRELOAD={SHIM}", ASAN))
            self.assertEqual([listener.recv(100) for _ in range(3)], [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"])
            with open(fault, "w", encoding="ascii") as file:
                file.write("stall")
            self.world.poc("xa-coordinator", "-t", "1", "confirm", "--yes", expect=None)
            self.world.wait_log("server.stalled", seconds=30)
            os.unlink(fault)
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.recv(100)
            listener.settimeout(60)
            self.assertEqual(listener.recv(100), b"WATCHDOG=1")
            self.assertEqual(self.world.stop(), 0)

    def test_foreign_watchdog(self):
        """Of a watchdog that is meant for another process nothing is heard, and nothing is broken."""
        path = os.path.join(self.world.root, "foreign")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(1)
            self.world.start(prefix=("env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=200000", "WATCHDOG_PID=1"))
            self.assertEqual(listener.recv(100), b"READY=1")
            self.assertRaises(TimeoutError, listener.recv, 100)


class Unit(UnitFile, unittest.TestCase):
    SOURCE, NAME, PROGRAM, EXPOSURE_MAX = os.path.join(BUILD, "pocd/systemd/pocd.service"), "pocd.service", POCD, 0.5
    BESIDE = [os.path.join(ROOT, "pocd/systemd/pocd.socket")]

    def lines(self, key):
        with open(self.SOURCE, encoding="utf-8") as file:
            return re.findall(rf"(?m)^{key}=(.*)$", file.read())

    def test_calls_of_the_writer(self):
        """Those that the group @resources, which is refused, holds: without them the writer's thread is as eager as the others."""
        given_back = self.lines("SystemCallFilter")[-1].split()
        with open(os.path.join(ROOT, "pocd/directory/writer.c"), encoding="utf-8") as file:
            called = set(re.findall(r"\b(?:SYS_)?(sched_set\w+|setpriority|ioprio_set)[(,]", file.read()))
        self.assertEqual(set(given_back), called)

    def test_reload_tells(self):
        """systemctl reload fails where the daemon keeps the settings before."""
        self.assertRegex(self.lines("ExecReload")[0], r"^/.*/bin/pocadm reload /var/lib/pocd/directory/pocd\.conf$")


class Reminders(UnitFile, unittest.TestCase):
    """Needs the network, and no more."""
    SOURCE, NAME, PROGRAM = os.path.join(BUILD, "pocd/systemd/pocadm-remind.service"), "pocadm-remind.service", POCADM
    EXPOSURE_MAX = 2.0
    BESIDE = [os.path.join(ROOT, "pocd/systemd/pocadm-remind.timer")]

    def test_command(self):
        with open(self.SOURCE, encoding="utf-8") as file:
            self.assertIn("-c /var/lib/poc/directory-service.conf remind", file.read())


if __name__ == "__main__":
    main()
