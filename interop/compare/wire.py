"""Frames of the remoting protocol, written by hand so that what a client library would hide stays visible."""
import itertools
import json
import re
import socket
import struct
import threading


def loose_json(text):
    """fastjson's dialect: integer keys unquoted, objects as keys. Object keys become their compact text."""
    def value(at):
        char = text[at]
        if char == "{":
            out, at = {}, at + 1
            while text[at] != "}":
                start = at
                key, at = value(at)
                key = key if isinstance(key, str) else text[start:at]
                item, at = value(at + 1)
                out[key] = item
                at += text[at] == ","
            return out, at + 1
        if char == "[":
            out, at = [], at + 1
            while text[at] != "]":
                item, at = value(at)
                out.append(item)
                at += text[at] == ","
            return out, at + 1
        if char == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            return json.loads(text[at:end + 1]), end + 1
        word = re.compile(r"[^,:}\]]+").match(text, at)
        return json.loads(word[0]), word.end()
    return value(0)[0] if text else None


class Answer:
    """A response: code, remark, ext (None when the member is absent) and the raw body."""

    def __init__(self, header, body):
        self.code = header.get("code")
        self.remark = header.get("remark")
        self.ext = header.get("extFields")
        self.flag = header.get("flag")
        self.body = body

    def json(self):
        return loose_json(self.body.decode()) if self.body else None


class Closed(Exception):
    """The other side closed the connection."""


class Peer:
    """One connection. Requests that the server sends are kept in `pushed`."""

    opaques = itertools.count(1)

    def __init__(self, address, version=513):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.stream = self.socket.makefile("rb")
        self.version = version
        self.pushed = []
        self.lock = threading.Lock()

    @property
    def local(self):
        return "%s:%d" % self.socket.getsockname()[:2]

    def send(self, code, ext=None, body=b"", flag=0):
        opaque = next(self.opaques)
        header = json.dumps({"code": code, "language": "JAVA", "version": self.version, "opaque": opaque, "flag": flag,
                             "extFields": ext or {}}, ensure_ascii=False).encode()
        self.socket.sendall(struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body)
        return opaque

    def read(self):
        start = self.stream.read(8)
        if len(start) < 8:
            raise Closed
        length, mark = struct.unpack(">ii", start)
        size = mark & 0xFFFFFF
        rest = self.stream.read(length - 4)
        return json.loads(rest[:size]), rest[size:]

    def ask(self, code, ext=None, body=b"", timeout=10):
        self.socket.settimeout(timeout)
        opaque = self.send(code, ext, body)
        while True:
            header, content = self.read()
            if header["flag"] & 1 == 0:
                self.pushed.append(header)
            elif header["opaque"] == opaque:
                return Answer(header, content)

    def push_within(self, seconds):
        """The next request of the server, or None."""
        if self.pushed:
            return self.pushed.pop(0)
        self.socket.settimeout(seconds)
        try:
            header, _ = self.read()
            return header
        except (socket.timeout, TimeoutError):
            return None

    def close(self):
        self.socket.close()


def properties(pairs):
    return "".join(f"{key}\x01{value}\x02" for key, value in pairs.items())


def batch(bodies):
    out = b""
    for body, props in bodies:
        encoded = properties(props).encode()
        out += struct.pack(">iiiii", 22 + len(body) + len(encoded), 0, 0, 0, len(body)) + body
        out += struct.pack(">h", len(encoded)) + encoded
    return out


def records(body):
    """Stored records as dicts of what does not depend on time and place."""
    out, at = [], 0
    while at < len(body):
        size, magic, crc, queue, flag, offset, _, sysflag = struct.unpack_from(">iiiiiqqi", body, at)
        born = 20 if sysflag & 0x10 else 8
        store = 20 if sysflag & 0x20 else 8
        place = at + 40 + 8 + born + 8 + store
        reconsume, prepared, length = struct.unpack_from(">iqi", body, place)
        place += 16
        text = body[place:place + length]
        place += length
        if magic & 0xFFFFFFFF == 0xDAA320AB:
            (topic_size,) = struct.unpack_from(">h", body, place)
            place += 2
        else:
            topic_size = body[place]
            place += 1
        topic = body[place:place + topic_size].decode()
        place += topic_size
        (props_size,) = struct.unpack_from(">h", body, place)
        props = dict(pair.split("\x01", 1) for pair in body[place + 2:place + 2 + props_size].decode().split("\x02") if "\x01" in pair)
        out.append({"magic": magic, "crc": crc, "queue": queue, "flag": flag, "offset": offset, "sysflag": sysflag, "reconsume": reconsume,
                    "prepared": prepared, "body": text.decode("utf-8", "replace")[:60], "topic": topic,
                    # the checksum is Gantry's default (enabledAppendPropCRC) and not Apache's
                    "properties": {name: value for name, value in props.items() if name != "__CRC32#"},
                    "bodyLength": length})
        at += size
    return out
