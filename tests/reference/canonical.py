"""canonical: protobuf by hand, canonical only (docs/protocol.md, section 4): a strict decoder and the one encoder.

Written from the document and the schemas of what is signed or proven; uses no generated code.  A message is a dict with
one entry for every field that is present; get() fills in defaults.
"""

ENUMS = {"Role": range(9), "PocKind": range(4), "Holder": range(4), "Tlp": range(5), "Terminal": range(3),
         "DocumentKind": range(4), "Category": range(8), "Urgency": range(4), "NoticeTlp": range(6), "Step": range(11), "Reason": range(7)}

# message: {number: (name, type, repeated)}
MESSAGES = {}


def _message(name, *fields):
    MESSAGES[name] = {number: (field, kind, many) for number, field, kind, many in fields}


def _f(number, field, kind):
    many = kind.startswith("*")
    return number, field, kind.lstrip("*"), many


def _define(name, text):
    _message(name, *[_f(number + 1, *item.split(":")) for number, item in enumerate(text.split())])


_define("Signature", "signature:bytes key_id:bytes")
_define("Envelope", "payload:bytes type:string signatures:*Signature")
_define("Head", "directory_id:bytes name:string seq:uint64 prev:bytes")
_define("Key", "spki:bytes")
_define("Auditor", "name:string spki:bytes state:string")
_define("Replacement", "state:string keys:bytes not_before:int64")
_define("Trust",
        "head:Head issued:int64 expires:int64 origin:string log_keys:*Key root_keys:*Key root_threshold:uint32 "
        "enrolment_keys:*Key enrolment_threshold:uint32 auditors:*Auditor quorum:uint32 max_age:uint32 "
        "algorithms:*string least_protocol:uint32 replaced:*Replacement replacement_delay:uint32")
_define("Entry", "state:string anchor:bytes reference:string date:string suspended:bool reason:string")
_define("Register", "head:Head issued:int64 entries:*Entry")
_define("Keys", "head:Head issued:int64 authority:*Key authority_threshold:uint32 coordinators:*Key emergency:bool")
_define("User", "handle:string spki:bytes service:bool roles:*Role kinds:*PocKind not_after:int64")
_define("ReadingKey", "spki:bytes holder:Holder handle:string kinds:*PocKind not_after:int64")
_define("Users", "head:Head issued:int64 users:*User reading_keys:*ReadingKey editors:*Key")
_define("SectionRef", "name:string tlp:Tlp digest:bytes")
_define("PointOfContact", "id:string kind:PocKind sections:*SectionRef")
_define("Record",
        "head:Head issued:int64 confirmed:int64 expires:int64 pocs:*PointOfContact sections:*SectionRef "
        "withdrawn:bool")
_define("Document", "head:Head issued:int64 kind:DocumentKind title:string text:string withdrawn:bool")
_define("Ping", "round:int64 poc:PocKind channel:string asked:int64 answered:int64 automatic:bool receipt:bytes")
_define("Pings", "head:Head issued:int64 pings:*Ping")
_define("Text", "lang:string text:string")
_define("Interval", "day:uint32 open:uint32 close:uint32")
_define("Exception", "date:string intervals:*Interval note:string")
_define("Hours", "zone:string always:bool weekly:*Interval exceptions:*Exception")
_define("Channel",
        "id:string type:string value:string languages:*string hours:Hours valid_from:int64 valid_until:int64 "
        "notes:*Text out_of_hours:bool source:string source_date:string")
_define("PgpKey", "fingerprint:string key:bytes")
_define("Membership", "organisation:string reference:string")
_define("Constituency", "descriptions:*Text asns:*uint32 prefixes:*string domains:*string")
_define("Person", "id:string names:*Text positions:*Text channels:*Channel languages:*string")
_define("Source", "name:string date:string note:string")
_define("Content",
        "names:*Text institutions:*Text descriptions:*Text channels:*Channel hours:Hours languages:*string "
        "websites:*string pgp_keys:*PgpKey memberships:*Membership constituency:Constituency persons:*Person "
        "addresses:*Text team_types:*string established:string sources:*Source incomplete:*string units:*string")
_define("Section", "directory_id:bytes record:string poc:string name:string salt:bytes content:Content")
_define("MapProof", "siblings:bytes terminal:Terminal other_key:bytes other_value:bytes")
_define("Checkpoint", "note:bytes leaf:bytes path:bytes")
_define("Item", "name:string map:MapProof envelopes:*bytes value:bytes sections:*bytes")
_define("Proof", "version:uint32 trust:*bytes checkpoint:Checkpoint items:*Item complete:bool")
_define("Desk", "place:string kind:PocKind keys:*bytes")
_define("Escalation", "at:int64 to:Desk")
_define("Core",
        "directory_id:bytes id:bytes thread:bytes answers:bytes from:Desk handle:string to:*Desk category:Category "
        "urgency:Urgency tlp:NoticeTlp exercise:string created:int64 reply_by:int64 escalations:*Escalation")
_define("Notice", "core:bytes body_hash:bytes body_size:uint32 inner_hash:bytes")
_define("Receipt",
        "directory_id:bytes notice_id:bytes notice_hash:bytes step:Step place:string kind:PocKind handle:string "
        "reason:Reason answer_by:int64 time:int64 answer:bytes")
_define("Fact",
        "directory_id:bytes notice_id:bytes notice_hash:bytes step:Step place:string kind:PocKind time_ms:int64")
_define("LoggedLeaf", "leaf:bytes index:uint64 path:bytes")
_define("Evidence", "siblings:bytes anchor:LoggedLeaf previous:LoggedLeaf state:LoggedLeaf items:*Item")
_define("StoryStep", "item:bytes fact:bool evidence:Evidence stored_ms:int64")
_define("NoticeStory",
        "version:uint32 trust:*bytes checkpoint:Checkpoint steps:*StoryStep envelopes:*bytes body:bytes padding:uint32")

_define("Transition", "trust:*bytes note:bytes leaf:bytes index:uint64 path:bytes consistency:bytes")
_define("HeadAnswer", "proof:bytes consistency:bytes behind:bool transitions:*Transition")
_define("Ceremony", "version:uint32 proof:bytes proposals:*bytes")

DEFAULTS = {"bytes": b"", "string": "", "bool": False}


class Malformed(Exception):
    """Bytes that are not the canonical encoding of the message."""


def _is_number(kind):
    return kind in ("uint32", "uint64", "int64", "bool") or kind in ENUMS


def get(message, kind, field):
    """A field's value, or its default: an empty list, 0, b"", "", False; None for a submessage."""
    if field in message:
        return message[field]
    for name, of, many in MESSAGES[kind].values():
        if name == field:
            return [] if many else None if of in MESSAGES else DEFAULTS.get(of, 0)
    raise KeyError(field)


def _varint(data, at, end):
    value = shift = 0
    while True:
        if at >= end:
            raise Malformed("number is cut off")
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            raise Malformed("number is too long")
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if byte == 0 and shift:
                raise Malformed("number is not minimal")
            return value, at
        shift += 7


def _number(kind, value):
    if kind in ENUMS:
        if value not in ENUMS[kind]:
            raise Malformed(f"unknown {kind}")
    elif kind == "bool":
        if value > 1:
            raise Malformed("bool is neither 0 nor 1")
        return bool(value)
    elif kind == "uint32" and value >> 32:
        raise Malformed("number is out of range")
    elif kind == "int64" and value >> 63:
        return value - (1 << 64)
    return value


def _value(kind, data, at, end, depth):
    """One length-delimited element."""
    piece = bytes(data[at:end])
    if kind == "bytes":
        return piece
    if kind == "string":
        if b"\0" in piece:
            raise Malformed("text holds a NUL")
        try:
            return piece.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Malformed("text is not UTF-8") from None
    if depth >= 8:
        raise Malformed("nested too deep")
    return _decode(kind, data, at, end, depth + 1)


def _packed(kind, data, at, end):
    if at == end:
        raise Malformed("empty list")
    values = []
    while at < end:
        value, at = _varint(data, at, end)
        values.append(_number(kind, value))
    return values


def _decode(kind, data, at, end, depth):
    fields, message, last = MESSAGES[kind], {}, 0
    while at < end:
        tag, at = _varint(data, at, end)
        if tag >> 32:
            raise Malformed("tag is too long")
        number, wire = tag >> 3, tag & 7
        if number not in fields:
            raise Malformed(f"{kind} has no field {number}")
        name, of, many = fields[number]
        packed = many and _is_number(of)
        if number < last or (number == last and (not many or packed)):
            raise Malformed(f"{kind}.{name} is out of order or repeated")
        last = number
        if wire != (0 if _is_number(of) and not many else 2):
            raise Malformed(f"{kind}.{name} has the wrong wire type")
        if wire == 0:
            value, at = _varint(data, at, end)
            if value == 0:
                raise Malformed(f"{kind}.{name} holds its default")
            message[name] = _number(of, value)
            continue
        size, at = _varint(data, at, end)
        if size > end - at:
            raise Malformed(f"{kind}.{name} is cut off")
        stop = at + size
        if packed:
            message[name] = _packed(of, data, at, stop)
        elif many:
            message.setdefault(name, []).append(_value(of, data, at, stop, depth))
        else:
            if size == 0 and of not in MESSAGES:
                raise Malformed(f"{kind}.{name} holds its default")
            message[name] = _value(of, data, at, stop, depth)
        at = stop
    return message


def decode(kind, data):
    """The message, or Malformed."""
    return _decode(kind, data, 0, len(data), 0)


def put_varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number, piece):
    return put_varint(number << 3 | 2) + put_varint(len(piece)) + piece


def encode(kind, message):
    """The canonical bytes of a message."""
    out = []
    for number, (name, of, many) in sorted(MESSAGES[kind].items()):
        value = get(message, kind, name)
        if value is None or (not many and of not in MESSAGES and not value) or (many and not value):
            continue
        if many and _is_number(of):
            out.append(_field(number, b"".join(put_varint(int(each)) for each in value)))
        elif _is_number(of):
            out.append(put_varint(number << 3) + put_varint(int(value)))
        else:
            for each in value if many else [value]:
                piece = encode(of, each) if of in MESSAGES else each.encode() if of == "string" else each
                out.append(_field(number, piece))
    return b"".join(out)
