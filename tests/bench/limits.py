#!/usr/bin/env python3
"""Eight disks of one process with limits of all kinds, and load on all of them at once: what a client counts, what the metrics
say and what /proc/<pid>/io says of the process, beside the limits. Fails where one of them is further away than --tolerance, or
where client and metrics differ by a request. With --direct the transfers are those of the medium, which has to be fast enough."""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SIZE = 8 << 20
# Options, pattern, bytes of a request, and what comes of it: requests a second.
DISKS = [("iops=500", "randread", 4096, 500), ("iops_wr=300", "randwrite", 4096, 300),
         ("iops_rd=400,iops_rd_burst=40", "randread", 8192, 400), ("bps=4M", "randread", 16384, 256),
         ("bps_wr=2M", "randwrite", 8192, 256), ("iops=1000,bps_rd=1M", "randread", 4096, 256),
         ("throttle_group=both,iops=600", "randread", 4096, 300), ("throttle_group=both", "randwrite", 4096, 300)]
FIRST = 3  # slot
ROUNDS = 5  # whose median counts, as that of vblk bench does
DEPTH = 128  # so that there is load also while the client waits for a processor


def scrape(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.makefile("rb").read().decode()


def total(text, name, slot):
    return sum(float(value) for value in re.findall(rf'^{name}{{vm="vm1",slot="0:{slot}:0"[^}}]*}} (\S+)$', text, re.M))


class Moment:
    def __init__(self, place, pid, transfers):
        self.time, text = time.monotonic(), scrape(place)
        slots = range(FIRST, FIRST + len(DISKS))
        self.requests = [total(text, "acrn_disk_requests_total", slot) for slot in slots]
        self.bytes = [total(text, "acrn_disk_read_bytes_total", slot) + total(text, "acrn_disk_written_bytes_total", slot)
                      for slot in slots]
        self.delayed = [total(text, "acrn_disk_delayed_requests_total", slot) for slot in slots]
        io = pathlib.Path(f"/proc/{pid}/io").read_text()
        self.transferred = sum(int(value) for value in re.findall(rf"^(?:{transfers}): (\d+)", io, re.M))


def measure(programs, folder, seconds, direct):
    def now():
        return Moment(folder / "metrics", server.pid, "read_bytes|write_bytes" if direct else "rchar|wchar")

    command = [programs / "acrn-dm", "--serve", f"vhost-user={folder}", "--metrics", folder / "metrics"]
    how = "nocache" if direct else "aio=threads,map=off"
    for index, (options, *_) in enumerate(DISKS):
        image = folder / f"{index}.img"
        with open(image, "wb") as file:
            file.write(b"\1" * SIZE)  # of a hole nothing is read
            os.fsync(file.fileno())
        command += ["-s", f"{FIRST + index},virtio-blk,{image},writeback,{how},{options}"]
    server, clients = subprocess.Popen([*command, "vm1"], stderr=subprocess.PIPE), []
    try:
        while not (folder / "metrics").exists():
            if server.poll() is not None:
                sys.exit(f"acrn-dm: {server.stderr.read().decode()}")
            time.sleep(0.01)
        before = now()
        for index, (_, pattern, size, _) in enumerate(DISKS):
            clients.append(subprocess.Popen(
                [programs / "tools" / "vblk", "bench", "--connect", f"vhost-user={folder}/vm1.{FIRST + index}.0.sock",
                 "--rw", pattern, "--bs", str(size), "--qd", str(DEPTH), "--ramp", "0", "--seconds", str(seconds + 1), "--json"],
                stdout=subprocess.PIPE))
        while not all(now().delayed):
            if any(client.poll() for client in clients):
                sys.exit("a client has failed")
            time.sleep(0.01)
        moments = [now()]
        for _ in range(ROUNDS):
            time.sleep(seconds / ROUNDS)
            moments.append(now())
        results = [json.loads(client.communicate()[0])["device"] for client in clients]
        return before, moments, now(), results
    finally:
        for process in [*clients, server]:
            process.send_signal(signal.SIGTERM)
            process.wait()
        server.stderr.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/release/dm"))
    parser.add_argument("--direct", action="store_true", help="past the page cache")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--tolerance", type=float, default=3, help="per cent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        before, moments, after, clients = measure(options.programs.resolve(), pathlib.Path(folder), options.seconds,
                                                  options.direct)
    faults = []

    def rate(counted):
        return statistics.median((counted(end) - counted(begin)) / (end.time - begin.time)
                                 for begin, end in zip(moments, moments[1:]))

    def ratio(what, got, wanted):
        if abs(got / wanted - 1) * 100 > options.tolerance:
            faults.append(f"{what}: {got:.0f} a second, of {wanted:.0f}")
        return f"{got / wanted:>10.3f}"

    print(f"{'options':<30}{'pattern':<11}{'bytes':>6}{'limit/s':>9}{'client':>10}{'metrics':>10}")
    for index, ((disk, pattern, size, wanted), client) in enumerate(zip(DISKS, clients)):
        # Bytes are counted when they have passed, requests already when they come, which is as many at once as the client likes.
        counted = rate(lambda moment: moment.bytes[index]) / size
        print(f"{disk:<30}{pattern:<11}{size:>6}{wanted:>9}{ratio(f'{disk}, the client', client['iops'], wanted)}"
              f"{ratio(f'{disk}, the metrics', counted, wanted)}")
        requests, data = after.requests[index] - before.requests[index], after.bytes[index] - before.bytes[index]
        if client["errors"] or (client["requests"], client["requests"] * size) != (requests, data):
            faults.append(f"{disk}: {client['requests']} requests of the client, {client['errors']} of them failed; the "
                          f"metrics have {requests:.0f} of {data:.0f} bytes")
    # Without --direct /proc/<pid>/io also has the 8 bytes of each eventfd that is read or written.
    limit = sum(size * wanted for _, _, size, wanted in DISKS)
    transferred = ratio("/proc/<pid>/io", rate(lambda moment: moment.transferred), limit)
    print(f"bytes of /proc/<pid>/io, of {limit} a second: {transferred.strip()}")
    for fault in faults:
        print(f"FAILED: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
