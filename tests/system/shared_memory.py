"""Processes that share memory, of which one is killed: nothing is lost, nothing stays behind, and the other goes on."""

import os

from weft_support import WORK, cases_of, check, equal, finish, main, start

PROBE = "shared_memory_probe"
TENSOR = 200000  # bytes
COUNT = 600


def _shm():
    return sorted(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else []


def _figures(line):
    return {key: int(value) for key, value in (word.split("=") for word in line.split() if "=" in word)}


def _numbers(process, count):
    """Reads so many numbers that a receiver has processed."""
    return {int(process.stdout.readline()) for _ in range(count)}


def _end(process):
    result = finish(process, patience=120)
    equal(result.code, 0, "exit code (%s %s)" % (result.out, result.err))
    lines = result.out.strip().splitlines()
    return {int(line) for line in lines if line.isdigit()}, _figures(lines[-1]), lines


def a_killed_receiver_that_held_views_gives_its_senders_memory_back():
    before = _shm()
    sender = start(PROBE, "push", COUNT)
    endpoint = sender.stdout.readline().strip()
    victim = start(PROBE, "pull", endpoint, "victim/0", 50)
    heard = _numbers(victim, 100)  # and holds fifty of them, which are 10 MB
    heir = start(PROBE, "pull", endpoint, "heir/0", 2)
    victim.kill()
    rest = victim.stdout.read()  # communicate() would leave out what is read ahead of the lines above
    victim.communicate()
    heard |= {int(line) for line in rest.split("\n")[:-1] if line.isdigit()}
    sent = _figures(finish_line(sender))
    numbers, figures, _ = _end(heir)

    equal(numbers | heard, set(range(COUNT)), "the numbers that were processed")
    equal((sent["settled"], sent["processed"], sent["refused"]), (1, COUNT, 0), "the sender's end")
    check(sent["lent"] > COUNT * TENSOR // 4, "most went through shared memory (%s)" % sent)
    check(sent["used"] < 30 * TENSOR, "what the dead receiver held has come back (%s)" % sent)
    equal((figures["wrong"], figures["kept"], figures["refused"], figures["maps"]), (0, 1, 0, 0), "the heir's end")
    equal(_shm(), before, "files in /dev/shm")


def finish_line(sender):
    result = finish(sender, patience=120)
    equal(result.code, 0, "exit code (%s %s)" % (result.out, result.err))
    return result.out.strip().splitlines()[-1]


def views_outlive_a_killed_sender_and_its_memory_goes_with_the_last_of_them():
    before = _shm()
    journal = os.path.join(WORK, "journal")
    sender = start(PROBE, "push", 10 * COUNT, journal)
    receiver = start(PROBE, "pull", sender.stdout.readline().strip(), "receiver/0", 20)
    heard = _numbers(receiver, 50)
    sender.kill()
    sender.communicate()
    line = receiver.stdout.readline()
    while not line.startswith("dead"):
        heard.add(int(line))
        line = receiver.stdout.readline()
    dead = _figures(line)
    left = _figures(receiver.stdout.readline())
    receiver.kill()
    receiver.communicate()

    equal((dead["kept"], dead["whole"]), (20, 1), "views after the death of their sender")
    equal(left["maps"], 0, "shared memory that the survivor still maps")

    # The sender's next life sends what had not been processed, from its journal.
    count = max(heard) + COUNT
    sender = start(PROBE, "push", count, journal)
    heir = start(PROBE, "pull", sender.stdout.readline().strip(), "heir/0", 2)
    sent = _figures(finish_line(sender))
    numbers, figures, _ = _end(heir)

    check(set(range(max(count, sent["processed"]))) == numbers | heard, "all numbers were processed")
    equal((sent["settled"], figures["wrong"], figures["refused"], figures["maps"]), (1, 0, 0, 0), "the second life")
    equal(_shm(), before, "files in /dev/shm")


if __name__ == "__main__":
    main(cases_of(globals()))
