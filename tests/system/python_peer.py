#!/usr/bin/python3
"""A peer of Weft blocks that shares no code with them: written from docs/reference/wire.md alone.

    python_peer.py push  ENDPOINT COUNT     sends COUNT records to a bound Pull
    python_peer.py pull  ENDPOINT           takes records from a bound Push until its BYE
    python_peer.py sub   ENDPOINT PREFIX    takes kept values and live records from a Pub until its BYE
    python_peer.py ask   ENDPOINT TEXT...   asks a bound Router all at once
    python_peer.py serve ENDPOINT COUNT     answers COUNT requests of a bound Dealer
    python_peer.py train ENDPOINT ROWS      pushes to the first table of a parameter server and pulls it: ROWS rows
                                            of one number, the numbers inside of the record and then beside it

It prints one JSON value a line for everything that it got, and exits with 0 when all went well.
"""

import json
import struct
import sys
import time

import msgpack
import zmq

MAGIC = 0x5746
HELLO, DATA, ACK, NACK, SYNC, PING, BYE, REQUEST, REPLY = range(1, 10)
COUNT, ATTEMPT, CREDIT, CODE, TEXT, FLAGS = 1, 9, 12, 13, 14, 17
FIRST_RETAINED, VERSION, NODE, PORT, BLOCK, DATA_ENDPOINT = 22, 23, 24, 25, 27, 28
TOPICS, SEQUENCES, SCOPE = 33, 34, 35
SNAPSHOT, END_OF_SNAPSHOT, LAST, DRAINING = 1, 2, 8, 16
RETRY = 8
WINDOW = [1 << 20, 100]
PATIENCE = 20.0  # seconds without a word that end the program

context = zmq.Context()


def show(value):
    print(json.dumps(value), flush=True)


def unpack_header(frame):
    if frame[:4] != b"\x96\xcd\x57\x46":
        raise SystemExit("not a header: %r" % frame[:8])
    return msgpack.unpackb(frame, strict_map_key=False)[1:]


def unpack_body(frame):
    records = msgpack.Unpacker(raw=False)
    records.feed(frame)
    return list(records)


def text(record):
    return record.decode() if isinstance(record, bytes) else record


class Session:
    """The connecting end of a session."""

    def __init__(self, endpoint, block, sends, receives):
        self.block, self.sends, self.receives = block, sends, receives
        self.node, self.port = "py/0", "peer"
        self.stream = "local/py/0.peer"
        self.epoch = time.time_ns() // 1000
        self.sent = 0  # last number given to what was sent
        self.got = 0  # last number, or count of replies, that has arrived
        self.credit = [0, 0]
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 5000
        self.socket.connect(endpoint)
        self.hello()

    def send(self, kind, seq, options, *frames, lane=""):
        header = [MAGIC, kind, self.stream + lane, self.epoch, seq, options]
        self.socket.send_multipart([msgpack.packb(header), *frames])

    def hello(self):
        options = {NODE: self.node, PORT: self.port, BLOCK: self.block, SCOPE: "local", VERSION: [1, 1]}
        if self.sends:
            options[FIRST_RETAINED] = self.sent + 1
        if self.receives:
            options[CREDIT] = WINDOW
        wait = 0.1
        for attempt in range(1, 20):
            options[ATTEMPT] = attempt
            self.send(HELLO, self.got, options)
            if self.socket.poll(wait * 1000):
                break
            wait = min(2 * wait, 5)
        kind, _, _, seq, answer, _ = self.receive()
        if kind != HELLO:
            raise SystemExit("the answer to HELLO was of kind %d" % kind)
        self.peer = answer
        self.sent = max(self.sent, seq)
        self.credit = answer.get(CREDIT, self.credit)
        self.got = max(self.got, answer.get(FIRST_RETAINED, 1) - 1)

    def receive(self):
        """The next message that is not the session's own business."""
        while True:
            if not self.socket.poll(PATIENCE * 1000):
                raise SystemExit("nothing came for %g s" % PATIENCE)
            frames = self.socket.recv_multipart()
            kind, stream, epoch, seq, options = unpack_header(frames[0])
            if kind == PING:
                self.acknowledge()
            elif kind == NACK:
                raise SystemExit("refused: %s" % options.get(TEXT))
            elif kind == ACK and self.sends and CREDIT in options:
                self.credit = options[CREDIT]
                return kind, stream, epoch, seq, options, frames[1:]
            elif kind != ACK:
                return kind, stream, epoch, seq, options, frames[1:]

    def acknowledge(self):
        self.send(ACK, self.got, {CREDIT: WINDOW} if self.receives else {})

    def bye(self):
        self.send(BYE, self.sent, {FLAGS: LAST})


def push(endpoint, count):
    session = Session(endpoint, "push", sends=True, receives=False)
    batches = [list(range(i, min(i + 10, count))) for i in range(0, count, 10)]
    unacknowledged = []  # of (number, bytes)
    while batches or unacknowledged:
        while batches:
            body = b"".join(msgpack.packb("record %d" % i) for i in batches[0])
            used = sum(size for _, size in unacknowledged)
            full = used + len(body) > session.credit[0] or len(unacknowledged) >= session.credit[1]
            if unacknowledged and full:
                break
            session.sent += 1
            session.send(DATA, session.sent, {COUNT: len(batches[0])}, body, lane=">peer")
            unacknowledged.append((session.sent, len(body)))
            del batches[0]
        session.send(PING, session.sent, {})
        kind, _, _, seq, _, _ = session.receive()
        if kind == ACK:
            unacknowledged = [(number, size) for number, size in unacknowledged if number > seq]
    session.bye()
    show({"acknowledged": session.sent})


def pull(endpoint):
    session = Session(endpoint, "pull", sends=False, receives=True)
    while True:
        kind, _, _, seq, options, frames = session.receive()
        if kind == BYE:
            break
        if kind != DATA or seq <= session.got:
            continue
        if seq != session.got + 1:
            show({"missed": seq - session.got - 1})
        records = unpack_body(frames[0])
        if len(records) != options[COUNT]:
            raise SystemExit("a body of %d records says %d" % (len(records), options[COUNT]))
        for record in records:
            show(text(record))
        session.got = seq
        session.acknowledge()


def ask(endpoint, *texts):
    session = Session(endpoint, "dealer", sends=True, receives=True)
    body = b"".join(msgpack.packb(t.encode()) for t in texts)
    first = session.sent + 1
    session.send(REQUEST, first, {COUNT: len(texts)}, body, lane=">peer")
    session.sent += len(texts)
    missing = set(range(first, first + len(texts)))
    while missing:
        kind, _, _, seq, options, frames = session.receive()
        if kind != REPLY:
            continue
        if options.get(CODE):
            answers = [{"code": options[CODE], "text": options.get(TEXT)}]
        else:
            answers = [text(record) for record in unpack_body(frames[0])]
        for number, answer in enumerate(answers, seq):
            missing.discard(number)
            session.got += 1
            show([texts[number - first], answer])
        session.acknowledge()
    session.bye()


class Worker:
    """Worker 0 of a parameter server (docs/reference/parameter-server.md): one request at a time."""

    JOIN, PULL, PUSH, FINISH = 1, 2, 3, 9

    def __init__(self, endpoint):
        self.session = Session(endpoint, "dealer", sends=True, receives=True)
        self.pushes = 0
        self.ask(self.JOIN)

    @staticmethod
    def inside(kind, numbers):
        return struct.pack("<%d%s" % (len(numbers), kind), *numbers), None

    @staticmethod
    def beside(kind, numbers):
        frame = struct.pack("<%d%s" % (len(numbers), kind), *numbers)
        return {"Q": "U64", "f": "F32"}[kind], frame

    def ask(self, op, *arrays):
        """Of each array the way that it travels, the kind of its numbers, and the numbers; the values of the reply."""
        session = self.session
        session.sent += 1
        self.pushes += op == self.PUSH
        record = [op, 0, 0, session.epoch, self.pushes, 0, 0]
        frames = []
        for way, kind, numbers in arrays:
            packed, frame = way(kind, numbers)
            if frame is not None:
                reference = msgpack.packb([len(frames), packed, [len(numbers)]])
                packed = msgpack.ExtType(1, reference)
                frames.append(frame)
            record.append(packed)
        session.send(REQUEST, session.sent, {COUNT: 1}, msgpack.packb(record), *frames, lane=">peer")
        while True:
            kind, _, _, seq, options, answer = session.receive()
            if kind == REPLY:
                break
        if seq != session.sent or options.get(CODE):
            raise SystemExit("an error instead of a reply: %s" % options)
        session.got += 1
        session.acknowledge()
        status, sentence, _, _, _, *values = unpack_body(answer[0])[0]
        if status != 0:
            raise SystemExit(sentence)
        if not values:
            return None, []
        if isinstance(values[0], bytes):
            way, numbers = "inside", values[0]
        else:
            frame, dtype, shape = msgpack.unpackb(values[0].data)
            way, numbers = "beside", answer[1 + frame]
            if values[0].code != 1 or dtype != "F32" or 4 * shape[0] != len(numbers):
                raise SystemExit("values of %s %s in %d bytes" % (dtype, shape, len(numbers)))
        return way, struct.unpack("<%df" % (len(numbers) // 4), numbers)


def train(endpoint, rows):
    worker = Worker(endpoint)
    keys = list(range(rows))
    for way in (Worker.inside, Worker.beside):
        worker.ask(Worker.PUSH, (way, "Q", keys), (way, "f", [float(key) for key in keys]))
        where, values = worker.ask(Worker.PULL, (way, "Q", keys))
        show({"pulled": where, "sum": round(sum(values), 6)})
    worker.ask(Worker.FINISH)
    worker.session.bye()


def serve(endpoint, count):
    session = Session(endpoint, "router", sends=True, receives=True)
    served = 0
    while served < count:
        kind, _, _, seq, options, frames = session.receive()
        if kind != REQUEST:
            continue
        for number, record in enumerate(unpack_body(frames[0]), seq):
            question = text(record)
            show(question)
            if question == "refuse":
                session.send(REPLY, number, {CODE: 13, TEXT: "no such thing"}, lane=">peer")
            else:
                answer = msgpack.packb(("answer to " + question).encode())
                session.send(REPLY, number, {COUNT: 1}, answer, lane=">peer")
            session.sent += 1
            session.got = number
            served += 1
        session.acknowledge()
    session.bye()


def sub(endpoint, prefix):
    session = Session(endpoint, "sub", sends=False, receives=False)
    data = context.socket(zmq.SUB)
    data.connect(session.peer[DATA_ENDPOINT])
    own = b"\0weft/sub/py/0.peer/%d" % session.epoch
    for topic in (prefix.encode(), b"\0weft/all", own):
        data.setsockopt(zmq.SUBSCRIBE, topic)

    def next_message():
        if not data.poll(PATIENCE * 1000):
            raise SystemExit("no data for %g s" % PATIENCE)
        topic, header, *frames = data.recv_multipart()
        return topic, unpack_header(header), frames

    last = {}  # stream: sequence
    live = []
    while True:  # the PING on our own topic: all subscriptions are active
        message = next_message()
        if message[0] == own:
            break
        if not message[0].startswith(b"\0"):
            live.append(message)
    session.send(SYNC, 0, {TOPICS: [prefix], FLAGS: SNAPSHOT})
    while True:
        kind, stream, _, seq, options, frames = session.receive()
        if kind != DATA:
            continue
        if options[FLAGS] & END_OF_SNAPSHOT:
            break
        last[stream] = seq
        show({"kept": stream.split("#", 1)[1], "value": text(unpack_body(frames[0])[0])})
    show("joined")
    while True:
        topic, (kind, stream, _, seq, options), frames = live.pop(0) if live else next_message()
        if topic == b"\0weft/all":
            if kind == BYE:
                break
            for name, sequence in zip(options.get(TOPICS, []), options.get(SEQUENCES, [])):
                lane = stream + "#" + name
                if lane in last and last[lane] < sequence:
                    show({"missed": sequence - last[lane]})
                    last[lane] = sequence
        elif not topic.startswith(b"\0") and seq > last.get(stream, 0):
            last[stream] = seq
            for record in unpack_body(frames[0]):
                show({"topic": topic.decode(), "value": text(record)})


def main():
    roles = {"push": push, "pull": pull, "sub": sub, "ask": ask, "serve": serve, "train": train}
    if len(sys.argv) < 3 or sys.argv[1] not in roles:
        raise SystemExit(__doc__)
    arguments = sys.argv[3:]
    if sys.argv[1] in ("push", "serve", "train"):
        arguments = [int(arguments[0])]
    roles[sys.argv[1]](sys.argv[2], *arguments)
    context.term()


if __name__ == "__main__":
    main()
