"""How keys are exchanged: X25519MLKEM768 where both ends have it, and nothing is amiss where one has not."""
import ssl
import subprocess
import time
import unittest

from harness import SLOW, World, main
from ports import free_port

HYBRID = ssl.OPENSSL_VERSION_INFO >= (3, 5)  # Python's library is the programs' as well
OURS = "X25519MLKEM768" if HYBRID else "x25519"


class Groups(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def test_between_ourselves(self):
        self.assertEqual(self.world.poc("xa-reader", "-o", "json", "status").json["tls_group"], OURS)
        self.assertIn(f", TLSv1.3, {OURS})", self.world.poc("xa-reader", "status").out)

    def test_client_without_it(self):
        """s_client says what came of its offer."""
        world = self.world
        certificate, key = world.key_files("xa-reader")
        for offered, words in (("X25519", "X25519"), ("P-256", "P-256|prime256v1"), ("P-384", "P-384|secp384r1")):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{world.port}", "-tls1_3", "-alpn", "poc/1",
                                   "-groups", offered, "-cert", certificate, "-key", key], input="", capture_output=True, text=True,
                                  timeout=20 * SLOW, check=False)
            self.assertRegex(done.stdout, f"Temp Key: .*({words})", done.stdout + done.stderr)
            self.assertIn("ALPN protocol: poc/1", done.stdout)

    def test_client_with_it(self):
        if not HYBRID:
            self.skipTest("OpenSSL before 3.5 has no X25519MLKEM768")
        world = self.world
        certificate, key = world.key_files("xa-reader")
        # preferred though named last, and though no key share for it was sent first
        for offered in ("X25519MLKEM768", "X25519:X25519MLKEM768"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{world.port}", "-tls1_3", "-alpn", "poc/1",
                                   "-groups", offered, "-cert", certificate, "-key", key], input="", capture_output=True, text=True,
                                  timeout=20 * SLOW, check=False)
            self.assertIn("Negotiated TLS1.3 group: X25519MLKEM768", done.stdout, done.stderr)

    def test_server_without_it(self):
        """A server that has one group only shakes hands with poc; that it then is no pocd is another matter."""
        world = self.world
        certificate, key = world.path("server.crt"), world.path("keys", "server.key")
        for group in "X25519", "P-256", "P-384":
            port = free_port()
            with subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_3", "-alpn", "poc/1", "-groups", group,
                                   "-cert", certificate, "-key", key, "-naccept", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace") as server:
                self.wait(port)
                world.poc("xa-reader", "-s", f"127.0.0.1:{port}", "-t", "2", "status", expect=3)
                said, _ = server.communicate(timeout=20 * SLOW)
            self.assertIn("CIPHER is TLS_", said)
            self.assertRegex(said, "Shared (groups|Elliptic groups)")

    def wait(self, port):
        """Until something listens there: asked of the kernel, for the server takes one connection only."""
        end = time.monotonic() + 10 * SLOW
        needle = f"0100007F:{port:04X} 00000000:0000 0A"
        while True:
            with open("/proc/net/tcp", encoding="ascii") as table:
                if needle in table.read():
                    return
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
