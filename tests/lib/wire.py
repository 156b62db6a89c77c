"""wire: the protocol by hand, for tests that say what no decent client says: protobuf bytes field by field, frames, and a
Client that keeps answers by id.  Field numbers are those of proto/wire/poc.proto."""
import struct

HELLO, GET_HEAD, LOOKUP, GET_ENVELOPES, SUBMIT, CHANGES, GET_STATS = range(2, 9)  # Request.body
ERROR, HELLO_ANSWER, HEAD_ANSWER, PROOF, SUBMIT_ANSWER, CHANGES_ANSWER, STATS_ANSWER = range(2, 9)  # Response.body
DENIED, MALFORMED, INVALID, TOO_LARGE, PROTOCOL, DIRECTORY = 5, 13, 14, 15, 22, 23  # proto/wire/status.h
NO_ID = 0xFFFFFFFF  # of an answer to bytes that are no request


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """One field; a default value is left out, as canonical bytes ask."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return element(number, value) if value else b""


def element(number, value):
    """A submessage or an element of a repeated field: written even if it is empty."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def request(number, kind, body):
    return b"\x0d" + struct.pack("<I", number) + element(kind, body)


def decode(data):
    """The fields of a message as [(number, value)]: ints, and bytes."""
    fields, at = [], 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            fields.append((tag >> 3, number()))
        elif tag & 7 == 5:
            fields.append((tag >> 3, struct.unpack_from("<I", data, at)[0]))
            at += 4
        else:
            size = number()
            fields.append((tag >> 3, data[at:at + size]))
            at += size
    return fields


def frame(body):
    return struct.pack(">I", len(body)) + body


def hello(directory_id, state, protocol=1, software="test"):
    return field(1, directory_id) + field(2, protocol) + field(3, state) + field(4, software)


def lookup(place, size=0):
    return field(1, place) + field(2, size)


class Answer:
    def __init__(self, message):
        fields = decode(message)
        self.id, (self.kind, self.body) = fields[0][1], fields[1]
        self.code = dict(decode(self.body)).get(1, 0) if self.kind == ERROR else 0
        self.text = dict(decode(self.body)).get(2, b"").decode() if self.kind == ERROR else ""


class Closed(Exception):
    """The server has closed the connection."""


class Client:
    """Frames on a connection (TLS).  Not for several threads."""

    def __init__(self, connection):
        self.connection, self.buffer, self.last = connection, bytearray(), 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.connection.close()

    def send(self, data):
        try:
            self.connection.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from None

    def ask(self, kind, body, number=None):
        """Sends a request, returns its id."""
        self.last = number if number is not None else self.last + 1
        self.send(frame(request(self.last, kind, body)))
        return self.last

    def _read(self, size):
        while len(self.buffer) < size:
            try:
                more = self.connection.recv(65536)
            except TimeoutError:
                raise
            except OSError as error:
                raise Closed(str(error)) from None
            if not more:
                raise Closed("end")
            self.buffer += more
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def answer(self):
        return Answer(self._read(struct.unpack(">I", self._read(4))[0]))

    def call(self, kind, body):
        number = self.ask(kind, body)
        answer = self.answer()
        assert answer.id == number, (answer.id, number)
        return answer

    def until_closed(self):
        """Reads on until the server closes; the answers that still came."""
        answers = []
        try:
            while True:
                answers.append(self.answer())
        except Closed:
            return answers
