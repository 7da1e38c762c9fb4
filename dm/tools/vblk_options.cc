#include "dm/tools/vblk_options.h"

#include "dm/cli/option_table.h"

namespace acrn {
namespace {

using Line = VblkCommandLine;

constexpr VblkOption kEvery[] = {
    {.names = "-s,--pci_slot",
     .argument = "<slot>,virtio-blk,<path>[,<option>...]",
     .help = "<slot>,virtio-blk,<path>[,options] as for acrn-dm",
     .target = &Line::slots,
     .manual = "A disk, as for acrn-dm(8). The command copy takes two, the others one.",
     .words = kSlotWord},
    {.names = "--connect",
     .argument = "vhost-user=<socket>",
     .help = "a disk that another process serves, instead of a slot",
     .target = &Line::connect,
     .manual =
         "A disk that another process serves over vhost-user, instead of a slot; it comes behind those of slots."},
    {.names = "--virtio_msi", .argument = "", .help = "one MSI vector and no MSI-X", .target = &Line::single_msi},
    {.names = "--windows", .argument = "", .help = "subsystem vendor 0x108e", .target = &Line::windows},
};

// Of the driver. `check` tries them all.
constexpr VblkOption kDriver[] = {
    {.names = "--interrupts",
     .argument = "intx|msi|msix",
     .help = "intx, msi or msix (default)",
     .target = &Line::interrupts,
     .manual = "What the driver uses; msix by default. With msi the function has one MSI vector and no MSI-X.",
     .words = "intx msi msix"},
    {.names = "--no-event-idx",
     .argument = "",
     .help = "the driver does not accept EVENT_IDX",
     .target = &Line::no_event_index},
    {.names = "--no-indirect",
     .argument = "",
     .help = "the driver does not accept INDIRECT_DESC",
     .target = &Line::no_indirect},
};

constexpr VblkOption kJson[] = {
    {.names = "--json", .argument = "", .help = "machine-readable", .target = &Line::json, .manual = "Print JSON."},
};

constexpr VblkOption kCopy[] = {
    {.names = "--no-verify", .argument = "", .help = "do not read the copy back", .target = &Line::no_verify},
};

constexpr VblkOption kRange[] = {
    {.names = "--sector",
     .argument = "<n>",
     .help = "first sector of 512 bytes (default 0)",
     .target = &Line::sector,
     .manual = "The first sector; 0 by default."},
    {.names = "--count",
     .argument = "<n>",
     .help = "sectors of 512 bytes",
     .target = &Line::count,
     .manual = "How many sectors; by default to the end of the disk, or of standard input."},
};

constexpr VblkOption kWrite[] = {
    {.names = "--acknowledge",
     .argument = "",
     .help = "print 'written SECTOR COUNT' as each request completes",
     .target = &Line::acknowledge},
};

constexpr VblkOption kZero[] = {
    {.names = "--keep",
     .argument = "",
     .help = "keep the space allocated",
     .target = &Line::keep,
     .manual = "Keep the space of the zeroes allocated."},
};

constexpr VblkOption kBench[] = {
    {.names = "--rw",
     .argument = "<pattern>",
     .help = "read, write, randread, randwrite or randrw (default randread)",
     .target = &Line::rw,
     .manual = "One of read, write, randread, randwrite and randrw; randread by default.",
     .words = "read write randread randwrite randrw"},
    {.names = "--rwmixread",
     .argument = "<n>",
     .help = "percentage of reads in randrw (default 50)",
     .target = &Line::read_percent,
     .manual = "The percentage of reads in randrw; 50 by default."},
    {.names = "--bs",
     .argument = "<n>",
     .help = "bytes of a request (default 4k)",
     .target = &Line::block,
     .manual = "Bytes of a request, a multiple of 512 up to 16M; 4k by default."},
    {.names = "--qd,--iodepth",
     .argument = "<n>",
     .help = "requests in flight per job (default 16)",
     .target = &Line::depth,
     .manual = "Requests in flight per job, at most what the ring holds; 16 by default."},
    {.names = "--numjobs",
     .argument = "<n>",
     .help = "guest threads, each with a queue of its own (default: as many as queues)",
     .target = &Line::jobs,
     .manual = "Guest threads, each with a queue of its own; by default as many as the disk has queues."},
    {.names = "--size", .argument = "<n>", .help = "work on the first bytes only, like 1G", .target = &Line::size},
    {.names = "--seconds,--runtime",
     .argument = "<n>",
     .help = "how long (default 5)",
     .target = &Line::seconds,
     .manual = "How long, at most 3600; 5 by default."},
    {.names = "--ramp,--ramp_time",
     .argument = "<n>",
     .help = "seconds of load that are not measured, before (default 0)",
     .target = &Line::ramp,
     .manual = "Seconds of load before the first round that are not measured; 0 by default."},
    {.names = "--seed",
     .argument = "<n>",
     .help = "of the random pattern (default 1)",
     .target = &Line::seed,
     .manual = "The seed of the random pattern; 1 by default."},
    {.names = "--verify",
     .argument = "",
     .help = "check what is read, and at the end all that was written",
     .target = &Line::verify,
     .manual = "Write stamps, compare what is read of them, and read all of them back at the end."},
    {.names = "--direct-baseline,--baseline",
     .argument = "<method>",
     .help = "in turns with the same pattern on the file itself: preadv, io_uring or best (default)",
     .target = &Line::direct,
     .manual =
         "In turns with the device, do the same on the file itself: preadv, one request after another; io_uring, as "
         "many at a time as the device has; or best, the default, both of them, to compare with the faster.",
     .words = "best preadv io_uring",
     .implied = "best"},
    {.names = "--cold",
     .argument = "",
     .help = "the file leaves the page cache before each round",
     .target = &Line::cold},
    {.names = "--kick-times",
     .argument = "",
     .help = "print how long kicks hold up the thread that kicks",
     .target = &Line::time_kicks,
     .manual = "Measure how long each kick holds up the thread that kicks, which would be a virtual CPU."},
};

constexpr VblkOption kTop[] = {
    {.names = "--interval",
     .argument = "<seconds>",
     .help = "from one look to the next, 0.1 to 3600 (default 1)",
     .target = &Line::interval,
     .manual = "Seconds from one look to the next, 0.1 to 3600; 1 by default."},
    {.names = "--count",
     .argument = "<n>",
     .help = "end after so many intervals",
     .target = &Line::count,
     .manual = "End after so many intervals; by default it goes on."},
};

constexpr VblkOption kReport[] = {
    {.names = "--html",
     .argument = "<file>",
     .help = "the page to write; - for stdout",
     .target = &Line::html,
     .manual = "The page to write; a hyphen for standard output.",
     .words = kPathWord},
    {.names = "--seconds",
     .argument = "<n>",
     .help = "how long to look, 1 to 3600 (default 10)",
     .target = &Line::sample_seconds,
     .manual = "How long to look, 1 to 3600 seconds; 10 by default."},
};

constexpr VblkOperand kSocket{.name = "socket", .help = "the control socket of --cmd_monitor", .target = &Line::socket};

constexpr VblkOption kTrace[] = {
    {.names = "--queue", .argument = "<n>", .help = "of that queue alone", .target = &Line::queue},
    {.names = "--type",
     .argument = "<type>",
     .help = "of requests of that type alone: read, write, flush, ...",
     .target = &Line::type,
     .manual = "Show requests of that type alone: read, write, flush, id, discard or zero.",
     .words = "read write flush id discard zero"},
    {.names = "--errors",
     .argument = "",
     .help = "what went wrong alone",
     .target = &Line::errors,
     .manual = "Show what went wrong alone: rules that were broken, requests that failed, records that were lost."},
    {.names = "--from", .argument = "<seconds>", .help = "from then on, since the trace began", .target = &Line::from},
    {.names = "--to", .argument = "<seconds>", .help = "until then", .target = &Line::to},
    {.names = "--speed",
     .argument = "<n>|max",
     .help = "replay: so many times as fast (default 1)",
     .target = &Line::speed,
     .manual = "Replay so many times as fast as it was, or as fast as it goes; 1 by default."},
};

constexpr VblkOption kCrash[] = {
    {.names = "--base",
     .argument = "<image>",
     .help = "the disk as it was when the log began",
     .target = &Line::base,
     .words = kPathWord},
    {.names = "--log",
     .argument = "<file>",
     .help = "that log= of the disk has made, or dm-log-writes",
     .target = &Line::log,
     .words = kPathWord},
    {.names = "--check",
     .argument = "<command>",
     .help = "with % for the image; or ext4, xfs, btrfs, fat, sqlite:<path>",
     .target = &Line::check,
     .manual = "A command, run by sh, that fails if the image is broken; it has % where the image is to stand, in a "
               "folder of "
               "its own. Or ext4, xfs, btrfs, fat or sqlite:<path> for what checks these."},
    {.names = "--most",
     .argument = "<n>",
     .help = "subsets by chance between two flushes (default 16)",
     .target = &Line::most,
     .manual = "Subsets of the writes between two flushes that are taken by chance, beside each prefix, each write "
               "missing, each alone and each torn; 16 by default."},
    {.names = "--atomic",
     .argument = "<bytes>",
     .help = "that a medium writes whole (default 512, or the log's sector)",
     .target = &Line::atomic,
     .manual = "What a medium writes whole, from a multiple of that on: 512 by default, or the sector of the log if it "
               "is larger; 4096 for a disk that says so."},
    {.names = "--parallel", .argument = "<n>", .help = "checks at a time (default: CPUs)", .target = &Line::parallel},
    {.names = "--check-seconds",
     .argument = "<n>",
     .help = "that a check may take (default 60)",
     .target = &Line::check_seconds},
    {.names = "--keep",
     .argument = "<file>",
     .help = "where the image that fails goes (default: the log's name and .failed)",
     .target = &Line::keep_image,
     .words = kPathWord},
    {.names = "--seed", .argument = "<n>", .help = "of the chance (default 1)", .target = &Line::seed},
};

constexpr VblkCommand kCommands[] = {
    {.name = "info",
     .help = "the function as a driver sees it",
     .example = "-s 9,virtio-blk,disk.img",
     .manual = "Print the PCI function, the offered features and the configuration.",
     .options = {kEvery, kDriver, kJson}},
    {.name = "copy",
     .help = "a whole disk through two devices, verified by SHA-256",
     .example = "-s 3,virtio-blk,in.img,ro -s 4,virtio-blk,out.img,writeback",
     .manual =
         "Copy the first disk to the second, flush, read the copy back and compare SHA-256 digests. Zeroes become "
         "WRITE_ZEROES if the second disk has discard.",
     .disks = "from to",
     .options = {kEvery, kDriver, kCopy, kJson}},
    {.name = "convert",
     .help = "the same into a file that need not be there yet",
     .example = "-s 3,virtio-blk,in.qcow2,format=qcow2,ro -s 4,virtio-blk,out.img,writeback,discard",
     .manual = "As copy. If the second disk is a file that does not exist, it is made, in the format that its slot "
               "names and of "
               "the first disk's size, and removed again if the copy fails or a signal ends it.",
     .disks = "from to",
     .options = {kEvery, kDriver, kCopy, kJson}},
    {.name = "read",
     .help = "sectors to stdout",
     .example = "-s 3,virtio-blk,disk.img,ro --sector 0 --count 8",
     .manual = "Write sectors to standard output.",
     .options = {kEvery, kDriver, kRange}},
    {.name = "write",
     .help = "stdin to sectors",
     .example = "-s 3,virtio-blk,disk.img --sector 2048 < data",
     .manual = "Write standard input, whole sectors, to the disk. There is no flush at the end.",
     .options = {kEvery, kDriver, kRange, kWrite}},
    {.name = "flush",
     .help = "make what was written stable",
     .example = "-s 3,virtio-blk,disk.img",
     .manual = "Make what was written stable.",
     .options = {kEvery, kDriver}},
    {.name = "discard",
     .help = "tell the disk that sectors are unused",
     .example = "-s 3,virtio-blk,disk.img,discard --sector 2048 --count 2048",
     .manual = "Tell the disk that sectors are unused. The disk needs the option discard.",
     .options = {kEvery, kDriver, kRange}},
    {.name = "zero",
     .help = "write zeroes without sending them",
     .example = "-s 3,virtio-blk,disk.img,discard --sector 0 --count 2048",
     .manual = "Write zeroes without sending them. The disk needs the option discard.",
     .options = {kEvery, kDriver, kRange, kZero}},
    {.name = "bench",
     .help = "load generator (write patterns overwrite the disk)",
     .example = "-s 3,virtio-blk,disk.img,writeback --rw randread --bs 4k --qd 16 --direct-baseline",
     .manual = "Generate load and print the medians of five rounds. Write patterns overwrite the disk.",
     .options = {kEvery, kDriver, kBench, kJson}},
    {.name = "check",
     .help = "conformance self-test; restores the sectors it writes",
     .example = "-s 3,virtio-blk,scratch.img",
     .manual =
         "Try the device against the specifications, clause by clause. The first 64 sectors are written to, and put "
         "back at the end.",
     .options = {kEvery, kJson}},
    {.name = "top",
     .help = "a running machine's disks, live: rates, latencies, errors",
     .example = "/run/acrn/vm1.sock",
     .manual =
         "Show what the disks of a running machine do, by its control socket: rates, latencies, requests in flight "
         "and errors. On a terminal until q is pressed; elsewhere a line for each disk and interval.",
     .disks = "",
     .operands = {kSocket},
     .options = {kTop, kJson}},
    {.name = "report",
     .help = "the same over some seconds, as a page with plots",
     .example = "/run/acrn/vm1.sock --html report.html",
     .manual = "Look at a running machine for some seconds, by its control socket, and write one HTML page: rates over "
               "time, latencies of each operation, errors and configuration.",
     .disks = "",
     .operands = {kSocket},
     .options = {kReport}},
    {.name = "trace",
     .help = "what a driver did, from a file that trace= has made",
     .example = "show disk.trace --errors",
     .manual =
         "Read a trace that the option trace= of a disk has made: show prints a line for each record, chain draws the "
         "chain of one request, stats prints counts and times, html prints a page that a browser shows, fio prints a "
         "log that fio replays. replay does the same "
         "requests with the same timing on the disk of -s, which loses what it held where the trace writes.",
     .disks = "",
     .operands = {{{.name = "action", .help = "show, chain, stats, html, replay or fio", .target = &Line::action},
                   {.name = "file", .help = "that trace= of a disk has made", .target = &Line::file},
                   {.name = "argument",
                    .help = "chain: which request; fio: the file that fio works on",
                    .target = &Line::argument,
                    .optional = true}}},
     .options = {kEvery, kDriver, kTrace, kJson}},
    {.name = "crash",
     .help = "checks the states that a crash could have left of a disk",
     .example = "--base before.img --log disk.log --check ext4",
     .manual = "Make the states that a crash could have left, by a log of writes that the option log= of a disk has "
               "made, and "
               "run a check on each. The first that fails is kept, and reduced to the fewest writes that make it fail; "
               "the exit "
               "status is 74 then.",
     .disks = "",
     .options = {kCrash, kJson}},
    {.name = "coach",
     .help = "what a driver does wrong or slowly, and how to mend it",
     .example = "disk.trace",
     .manual = "Say what is wrong with what a driver did, and what is allowed and slow: what was seen, what the "
               "specification says, the usual cause, and how to mend it. Of a trace, or of a machine that runs by its "
               "control socket; the second tells of broken rules alone.",
     .disks = "",
     .operands = {{{.name = "place", .help = "a trace, or the socket of --cmd_monitor", .target = &Line::place}}},
     .options = {kJson}},
};

}  // namespace

std::span<const VblkCommand> vblk_commands() { return kCommands; }

}  // namespace acrn
