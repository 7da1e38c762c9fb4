#!/usr/bin/env python3
"""Scrapes a server under load, each second, and looks whether it holds out: no scrape fails, no counter goes back or goes away,
memory and descriptors do not grow while clients come and go. Fails if one of them does not hold. In less than a minute growth is the
start's, and not judged."""
import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DISKS = ["disk.img,writeback,iops=1000", "direct.img,nocache,mq=2,bps=8M", "ram:16M,iops_rd=2000,iops_wr=1000",
         "first.img,writeback,throttle_group=both,iops=1000", "second.img,writeback,throttle_group=both"]
FORMATS = ["application/openmetrics-text", "text/plain"]
COUNTED = re.compile(r"_(total|count|sum|bucket)$")


def scrape(path, accepted):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accepted}\r\n\r\n".encode())
        reply = client.makefile("rb").read().decode()
    head, text = reply.split("\r\n\r\n", 1)
    status, length = head.split(" ", 2)[1], int(re.search(r"(?i)content-length: (\d+)", head)[1])
    if status != "200" or len(text.encode()) != length or text.endswith("# EOF\n") != (accepted == FORMATS[0]):
        raise ValueError(f"status {status}, {len(text)} of {length} bytes, ends with {text[-20:]!r}")
    return text


def samples(text):
    """Of counters and histograms: {name with labels: value}."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        if COUNTED.search(name.split("{")[0]):
            found[name] = float(value)
    return found


def memory(pid):
    """KiB: resident in all, and of its own heap and stacks."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "RssAnon"))


class Load:
    """A client of each disk that works for some seconds, and then another one."""

    def __init__(self, vblk, sockets, seconds):
        self.commands = [[vblk, "bench", "--connect", f"vhost-user={path}", "--rw", "randrw", "--qd", "8", "--ramp", "0",
                          "--seconds", str(seconds)] for path in sockets]
        self.clients = [None] * len(sockets)
        self.done, self.failures = 0, []

    def look(self):
        for index, client in enumerate(self.clients):
            if client is not None:
                if client.poll() is None:
                    continue
                self.done += 1
                if client.returncode != 0:
                    self.failures.append(client.stderr.read().decode())
                client.stderr.close()
            self.clients[index] = subprocess.Popen(self.commands[index], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def end(self):
        for client in filter(None, self.clients):
            client.kill()
            client.wait()
            client.stderr.close()


class Watch:
    def __init__(self):
        self.scrapes, self.longest, self.last, self.text = 0, 0.0, {}, {}
        self.faults, self.sizes = [], []

    def look(self, path, pid):
        accepted = FORMATS[self.scrapes % 2]
        self.scrapes += 1
        begin = time.monotonic()
        try:
            self.text[accepted] = scrape(path, accepted)
        except (OSError, ValueError, IndexError, TypeError) as error:
            self.faults.append(f"scrape {self.scrapes}: {error!r}")
            return
        self.longest = max(self.longest, time.monotonic() - begin)
        now = samples(self.text[accepted])
        for name, value in self.last.items():
            if now.get(name, -1) < value:
                self.faults.append(f"scrape {self.scrapes}: {name} was {value}, is {now.get(name)}")
        self.last = now
        self.sizes.append((*memory(pid), len(os.listdir(f"/proc/{pid}/fd"))))

    def growth(self):
        """The most of each in the last fifth, beside the most in the second; the first is its start."""
        fifth = max(len(self.sizes) // 5, 1)
        return [(max(column[fifth:2 * fifth]), max(column[-fifth:])) for column in zip(*self.sizes)]


def serve(programs, folder):
    for name in ("disk", "direct", "first", "second"):
        with open(folder / f"{name}.img", "wb") as file:
            file.truncate(16 << 20)
    command = [programs / "acrn-dm", "--serve", "vhost-user=.", "--sandbox", "on", "--metrics", "./metrics"]
    for slot, disk in enumerate(DISKS, 3):
        command += ["-s", f"{slot},virtio-blk,{disk}"]
    server = subprocess.Popen([*command, "vm1"], cwd=folder, stderr=subprocess.PIPE)
    sockets = [folder / f"vm1.{slot}.0.sock" for slot in range(3, 3 + len(DISKS))]
    while not all(path.exists() for path in [*sockets, folder / "metrics"]):
        if server.poll() is not None:
            sys.exit(f"acrn-dm: {server.stderr.read().decode()}")
        time.sleep(0.01)
    return server, sockets


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/release/dm"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--interval", type=float, default=1, help="seconds from one scrape to the next")
    parser.add_argument("--client", type=float, default=20, help="seconds that a client stays")
    options = parser.parse_args()
    programs = options.programs.resolve()
    with tempfile.TemporaryDirectory(prefix="scrape-") as folder:
        folder = pathlib.Path(folder)
        server, sockets = serve(programs, folder)
        load, watch = Load(programs / "tools" / "vblk", sockets, options.client), Watch()
        begin = time.monotonic()
        try:
            while time.monotonic() < begin + options.seconds:
                load.look()
                watch.look(folder / "metrics", server.pid)
                time.sleep(max(0, begin + watch.scrapes * options.interval - time.monotonic()))
        finally:
            load.end()
            server.send_signal(signal.SIGTERM)
            said = server.communicate()[1].decode()
    faults = watch.faults + load.failures
    if server.returncode != 0 or said:
        faults.append(f"acrn-dm: exit status {server.returncode}: {said}")
    requests = sum(value for name, value in watch.last.items() if name.startswith("acrn_disk_requests_total"))
    print(f"{watch.scrapes} scrapes, the longest took {watch.longest * 1000:.1f} ms; {len(watch.last)} counters, "
          f"{requests:.0f} requests of {load.done} clients")
    for what, slack, (early, late) in zip(("RSS, KiB", "heap and stacks, KiB", "descriptors"), (1024, 256, 0), watch.growth()):
        print(f"{what}: at most {early} early, {late} at the end")
        if options.seconds >= 60 and late > early + slack:
            faults.append(f"{what}: grows from {early} to {late}")
    if shutil.which("promtool"):
        check = subprocess.run(["promtool", "check", "metrics"], input=watch.text[FORMATS[1]].encode(), capture_output=True)
        print(f"promtool check metrics: exit status {check.returncode}")
        if check.returncode != 0:
            faults.append(f"promtool: {check.stdout.decode()}{check.stderr.decode()}")
    else:
        print("skipped: promtool check metrics (prometheus is not installed)")
    for fault in faults:
        print(f"FAILED: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
