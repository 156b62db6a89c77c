"""hostile: a sender of notices whose client checks nothing: a header and a body as docs/protocol.md ("Notices") has them, with any
bytes for a content.  The fields of a content are protobuf bytes, made with wire.field."""
import os
import secrets
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

import wire
from harness import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import canonical  # noqa: E402
import forge  # noqa: E402

POST = POST_ANSWER = 9  # Request.body, Response.body
TECHNICAL = 1
AES_WRAP = bytes.fromhex("300b060960864801650304012d")
SHARED_INFO = bytes.fromhex("3015") + AES_WRAP + bytes.fromhex("a206040400000100")


def der(tag, *parts):
    data = b"".join(parts)
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([tag]) + (length if len(data) < 128 and length else bytes([0x80 | len(length)]) + length) + data


def recipient(content_key, spki):
    """KeyAgreeRecipientInfo for a P-384 reading key."""
    ephemeral = ec.generate_private_key(ec.SECP384R1())
    secret = ephemeral.exchange(ec.ECDH(), serialization.load_der_public_key(spki))
    wrapped = aes_key_wrap(X963KDF(hashes.SHA384(), 32, SHARED_INFO).derive(secret), content_key)
    point = ephemeral.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return (bytes.fromhex("a181df020103a071a16f300906072a8648ce3d0201036200") + point + bytes.fromhex("301506062b8104010b02") + AES_WRAP
            + bytes.fromhex("3050304ea0220420") + forge.sha(spki) + bytes.fromhex("0428") + wrapped)


def sealed(inner, spkis):
    """CMS AuthEnvelopedData around an Inner."""
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    encrypted = AESGCM(key).encrypt(nonce, inner, None)
    content = der(0x30, bytes.fromhex("06092a864886f70d010701301e060960864801650304012e3011040c"), nonce, bytes.fromhex("020110"),
                  der(0x80, encrypted[:-16]))
    body = der(0x30, bytes.fromhex("020100"), der(0x31, *sorted(recipient(key, spki) for spki in spkis)), content,
               der(0x04, encrypted[-16:]))
    return der(0x30, bytes.fromhex("060b2a864886f70d0109100117"), der(0xA0, body))


def reading_key(world, place):
    """SPKI of the reading key of a place's user "operator"."""
    with world.client("xa-reader") as client:
        answer = client.call(wire.GET_ENVELOPES, wire.element(1, f"U/{place}".encode()))
    users = forge.payload_of(forge.item(canonical.decode("Proof", answer.body), f"U/{place}")["envelopes"][-1])
    return next(key["spki"] for key in users["reading_keys"] if key.get("handle") == "operator")


def send(world, content, source="XA", to="XB"):
    """Posts a notice of one state's operator to the other's, both technical; its id, as poc prints it."""
    keys = {place: reading_key(world, place) for place in (source, to)}
    desk = {place: {"place": place, "kind": TECHNICAL, "keys": [forge.sha(key)]} for place, key in keys.items()}
    number = secrets.token_bytes(16)
    core = canonical.encode("Core", {
        "directory_id": bytes.fromhex(world.setting("xa-reader", "directory", "id")), "id": number, "thread": number,
        "from": desk[source], "handle": "operator", "to": [desk[to]], "category": 1, "urgency": 1, "tlp": 3, "created": int(time.time())})
    inner = wire.field(1, core) + wire.field(2, secrets.token_bytes(32)) + wire.element(3, content)
    body, user = sealed(inner, keys.values()), source.lower() + "-operator"
    header = forge.seal("notice", canonical.encode("Notice", {
        "core": core, "body_hash": forge.sha(body), "body_size": len(body), "inner_hash": forge.sha(inner)}),
        forge.Signer.load(world.key_files(user)[1]))
    with world.client(user) as client:
        answer = client.call(POST, wire.field(1, header) + wire.field(2, body))
        assert answer.kind == POST_ANSWER, answer.text
    return number
