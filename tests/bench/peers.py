"""Servers of vhost-user-blk side by side; see peers.sh."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cells():
    """Name, options of vblk bench, whether the page cache is left out, and the goals for IOPS by depth."""
    for cache, direct in (("cached", False), ("nocache", True)):
        for rw in ("randread", "randwrite"):
            for depth, goal in ((1, 1.5), (16, 1.3), (32, 1.2)):
                yield f"4k {rw} {cache} depth {depth}", ["--rw", rw, "--bs", "4k", "--qd", str(depth)], direct, 1.0 if direct else goal
    for size, depth in (("64k", 4), ("1m", 2)):
        for rw in ("read", "write"):
            yield f"{size} {rw} cached depth {depth}", ["--rw", rw, "--bs", size, "--qd", str(depth)], False, 1.0


class Server:
    """A process that serves the image at a socket."""

    def __init__(self, name, command, socket):
        self.name, self.socket = name, socket
        self.process = subprocess.Popen(command)
        while not os.path.exists(socket):
            if self.process.poll() is not None:
                sys.exit(f"peers: {name} does not serve: {' '.join(command)}")
            time.sleep(0.02)

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def end(self):
        self.process.terminate()
        self.process.wait()


def servers(programs, folder, image, direct):
    """Ours, and the peer's ways."""
    ours = f"{folder}/vm1.9.0.sock"
    options = "nocache,writeback" if direct else "writeback"
    yield Server("acrn-dm", [f"{programs}/acrn-dm", "--serve", f"vhost-user={folder}", "-s",
                             f"9,virtio-blk,{image},{options},lock=off", "vm1"], ours)
    for way, aio, thread in (("threads", "threads", False), ("threads, iothread", "threads", True),
                             ("io_uring, iothread", "io_uring", True)):
        socket = f"{folder}/{way.replace(', ', '-')}.sock"
        yield Server(f"qsd {way}", [
            "qemu-storage-daemon", "--object", "iothread,id=t", "--blockdev",
            f"driver=file,node-name=d,filename={image},locking=off,aio={aio},cache.direct={'on' if direct else 'off'}",
            "--export", f"type=vhost-user-blk,id=e,addr.type=unix,addr.path={socket},node-name=d,writable=on" +
            (",iothread=t" if thread else "")], socket)


def measure(programs, server, options, seconds):
    """Requests a second, and microseconds of the server's CPU for each."""
    before = server.cpu()
    run = subprocess.run([f"{programs}/tools/vblk", "bench", "--connect", f"vhost-user={server.socket}", "--seconds",
                          str(seconds), "--json", *options], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"peers: {server.name}: {run.stderr.strip()}")
    device = json.loads(run.stdout)["device"]
    return device["iops"], (server.cpu() - before) * 1e6 / device["requests"]


def svg(rows):
    """A bar for each cell: our requests a second, as a ratio to the peer's best."""
    height, width, most = 20, 760, max(2.0, max(row["iops_ratio"] for row in rows))
    scale = 420 / most
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * len(rows) + 50}" '
             'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
             '<text x="10" y="18">requests/s of acrn-dm, 1 = the best of qemu-storage-daemon</text>']
    for i, row in enumerate(rows):
        y = 30 + i * height
        parts.append(f'<text x="10" y="{y + 13}">{row["cell"]}</text><rect x="240" y="{y + 2}" height="{height - 6}" '
                     f'width="{row["iops_ratio"] * scale:.0f}" fill="{"#2a7" if row["iops_ratio"] >= row["goal"] else "#c63"}"/>'
                     f'<text x="{246 + row["iops_ratio"] * scale:.0f}" y="{y + 13}">{row["iops_ratio"]:.2f}</text>')
    parts.append(f'<line x1="{240 + scale:.0f}" x2="{240 + scale:.0f}" y1="26" y2="{34 + height * len(rows)}" stroke="black"/></svg>')
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", default="")
    parser.add_argument("--size", default="256M")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    rows = []
    print(f"{'':30} {'acrn-dm':>9} {'qsd':>9} {'IOPS':>6} {'goal':>5} {'CPU':>6}  best of qsd", flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        image = f"{folder}/disk.img"
        subprocess.run(["dd", "if=/dev/urandom", f"of={image}", "bs=1M", f"count={args.size.rstrip('M')}", "status=none"], check=True)
        for direct in (False, True):
            wanted = [cell for cell in cells() if cell[2] == direct and re.search(args.only, cell[0])]
            if not wanted:
                continue
            running = list(servers(args.programs, folder, image, direct))
            for name, options, _, goal in wanted:
                results = {server.name: [] for server in running}
                for turn in range(args.rounds):
                    for i in range(len(running)):  # who begins takes turns, too
                        server = running[(i + turn) % len(running)]
                        results[server.name].append(measure(args.programs, server, options, args.seconds))
                median = {who: tuple(statistics.median(column) for column in zip(*runs)) for who, runs in results.items()}
                ours = median.pop("acrn-dm")
                best = max(median, key=lambda who: median[who][0])
                row = {"cell": name, "iops": ours[0], "peer": best, "peer_iops": median[best][0], "iops_ratio": ours[0] / median[best][0],
                       "cpu_ratio": ours[1] / median[best][1] if median[best][1] else 0, "goal": goal}
                rows.append(row)
                print(f"{name:30} {ours[0]:9.0f} {row['peer_iops']:9.0f} {row['iops_ratio']:6.2f} {goal:5.1f} {row['cpu_ratio']:6.2f}  "
                      f"{best[4:]}", flush=True)
            for server in running:
                server.end()
    with open(f"{args.out}/peers.json", "w") as out:
        json.dump(rows, out, indent=2)
    with open(f"{args.out}/peers.svg", "w") as out:
        out.write(svg(rows))
    with open(f"{args.out}/peers.md", "w") as out:
        out.write("| cell | acrn-dm | qemu-storage-daemon | IOPS | CPU |\n|---|---|---|---|---|\n")
        for row in rows:
            out.write(f"| {row['cell']} | {row['iops']:.0f} | {row['peer_iops']:.0f} ({row['peer'][4:]}) | {row['iops_ratio']:.2f} | {row['cpu_ratio']:.2f} |\n")


main()
