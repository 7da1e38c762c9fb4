#!/usr/bin/env python3
"""What 1 to 256 disks of four queues cost in one acrn-dm: until all are served, memory, threads, descriptors, wake-ups
while nobody uses them, and requests a second of one that is used, as a ratio to the same disk alone."""
import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time


def threads_of(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def switches(pid):
    total = 0
    for thread in threads_of(pid):
        for line in pathlib.Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def settled(pid):
    """The same, once threads that have just started sleep: when two looks agree, or after five seconds."""
    end = time.monotonic() + 5
    before, now = -1, switches(pid)
    while now != before and time.monotonic() < end:
        time.sleep(0.05)
        before, now = now, switches(pid)
    return now


def memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def ask(path, request):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(request + b"\n")
        return json.loads(client.makefile().readline())


def slot(index):
    return f"{index // 256}:{index // 8 % 32}:{index % 8}"


def measure(programs, count, seconds, queues):
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        folder = pathlib.Path(folder)
        command = [programs / "acrn-dm", "--serve", f"vhost-user={folder}", "--cmd_monitor", folder / "control"]
        for index in range(count):
            image = folder / f"{index}.img"
            with open(image, "wb") as file:
                file.truncate(64 << 20)
            command += ["-s", f"{slot(index + 1)},virtio-blk,{image},writeback,mq={queues}"]
        begin = time.monotonic()
        server = subprocess.Popen([*command, "many"], stderr=subprocess.PIPE)
        try:
            while True:
                if server.poll() is not None:
                    sys.exit(f"acrn-dm: {server.stderr.read().decode()}")
                try:
                    ask(folder / "control", b'{"command": "status"}')
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    time.sleep(0.005)
            start = time.monotonic() - begin
            before = settled(server.pid)
            time.sleep(seconds)
            idle = (switches(server.pid) - before) / seconds
            result = {"disks": count, "start_seconds": start, "rss_kib": memory(server.pid),
                      "threads": len(threads_of(server.pid)),
                      "descriptors": len(os.listdir(f"/proc/{server.pid}/fd")), "idle_switches_per_second": idle}
            name = "many." + slot(1).removeprefix("0:").replace(":", ".") + ".sock"
            bench = subprocess.run(
                [programs / "tools" / "vblk", "bench", "--connect", f"vhost-user={folder / name}", "--rw", "randread",
                 "--bs", "4k", "--qd", "16", "--numjobs", "1", "--seconds", str(seconds), "--json"],
                capture_output=True, check=True)
            result["iops"] = json.loads(bench.stdout)["device"]["iops"]
            return result
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            server.stderr.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/release/dm"))
    parser.add_argument("--disks", default="1,4,16,64,256", help="how many, one run for each")
    parser.add_argument("--queues", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [measure(options.programs, int(count), options.seconds, options.queues)
               for count in options.disks.split(",")]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'disks':>6}{'start s':>9}{'RSS MiB':>9}{'threads':>9}{'fds':>7}{'wake-ups/s':>12}{'IOPS of one':>13}{'ratio':>7}")
    for each in results:
        print(f"{each['disks']:>6}{each['start_seconds']:>9.2f}{each['rss_kib'] / 1024:>9.1f}{each['threads']:>9}"
              f"{each['descriptors']:>7}{each['idle_switches_per_second']:>12.1f}{each['iops']:>13.0f}"
              f"{each['iops'] / results[0]['iops']:>7.2f}")


if __name__ == "__main__":
    main()
