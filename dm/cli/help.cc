#include "dm/cli/help.h"

#include <algorithm>

#include "acrn/base/concat.h"
#include "dm/base/page.h"
#include "dm/cli/command_options.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"

namespace acrn {
namespace {

constexpr size_t kNameWidth = 26;  // of the columns of names
constexpr std::string_view kUsage = "Usage: acrn-dm [options] <vmname>\n";

// "  name      help". A long name has its line, and what is wide is broken later.
std::string row(std::string_view name, std::string_view help) {
  const size_t used = 2 + name.size();
  const bool fits = used + 2 <= kNameWidth;
  return concat("  ", name, fits ? "" : "\n", std::string(kNameWidth - (fits ? used : 0), ' '), help, "\n");
}

std::string written(const CommandOption& option) {
  std::string names(option.names);
  if (const size_t comma = names.find(','); comma != std::string::npos) names.insert(comma + 1, " ");
  return option.argument.empty() ? names : concat(names, " ", option.argument);
}

std::string written(const OptionRow<BlockOptions>& option) {
  return written_key(option.key, option.value, option.argument);
}

std::string row_of(std::string_view option) {
  if (option.starts_with('-')) {
    const CommandOption& found = command_option(option);
    return row(written(found), found.help);
  }
  for (const auto& found : block_option_rows()) {
    if (found.key == option) return row(written(found), found.help);
  }
  return {};
}

std::string overview() {
  std::string text = concat(kUsage,
                            "Runs a virtual machine with virtio-blk disks, or serves its disks to other VMMs.\n\n"
                            "  acrn-dm -m 512M -k vmlinuz -s 9,virtio-blk,disk.img,writeback vm1\n"
                            "  acrn-dm --serve vhost-user=/run/acrn -s 9,virtio-blk,disk.img vm1\n\n"
                            "acrn-dm --help <topic>:\n");
  for (const HelpTopic& topic : help_topics()) text += row(topic.name, topic.about);
  return text + "\nAdd --dry_run to a command line to see what it would do. Manual: acrn-dm(8).\n";
}

std::string everything() {
  std::string text = concat(kUsage, "\nOptions, each with an example:\n");
  for (const CommandOption& option : command_options()) {
    const bool is_help = first_name(option.names) == "-h";
    text += concat("  ", written(option), "\n      ", option.help, "\n      acrn-dm ", option.example,
                   is_help ? "\n" : " vm1\n");
  }
  text += "\nOf a disk, as in -s 9,virtio-blk,disk.img,ro,iops=500:\n";
  for (const auto& option : block_option_rows()) text += row(written(option), option.help);
  text += "\nObsolete, ignored with a warning:";
  for (const ForeignOption& option : obsolete_options()) text += concat(" ", first_name(option.names));
  return text + "\n";
}

std::string text_of(const HelpTopic& topic) {
  if (topic.options.empty()) return everything();
  std::string text = concat(topic.name, ": ", topic.about, "\n  acrn-dm ", topic.example, " vm1\n");
  if (!topic.note.empty()) text += concat("  ", topic.note, "\n");
  for (const std::string_view option : topic.options) text += row_of(option);
  if (topic.options.front() != "-s") return text;
  text += "\nEmulations:\n";
  for (const DeviceRow& device : device_table()) text += row(device.name, device.help);
  return text;
}

}  // namespace

const std::vector<HelpTopic>& help_topics() {
  static const std::vector<HelpTopic> topics{
      {"guest",
       "what boots, on which machine",
       "-m 512M -k vmlinuz -B \"console=ttyS0\" -l com1,stdio",
       {"-k", "-E", "--ovmf", "-r", "-B", "-m", "--cpus", "--cpu_affinity", "--hypervisor", "-l", "-U",
        "--stop_timeout", "--debugexit"}},
      {"slots",
       "what the guest finds on its PCI bus",
       "-s 0:0,hostbridge -s 1:0,lpc -s 9,virtio-blk,disk.img",
       {"-s", "-W", "--virtio_poll", "--windows"}},
      {"disks",
       "what a disk is to its guest",
       "--cpus 2 -k vmlinuz -s 9,virtio-blk,disk.img,writeback,mq=2",
       {"writethru", "writeback", "ro", "sectorsize", "range", "discard", "mq", "queue_size", "serial", "lock",
        "no_bst_block"}},
      {"images",
       "formats, NBD, Ceph, vhost-user",
       "-s 9,virtio-blk,a.qcow2,format=qcow2 -s 10,virtio-blk,rbd:rbd/b",
       {"format", "reader", "backing", "key", "snapshot", "share", "reconnect", "conf", "id"},
       "The path is a file, a block device, nodisk, ram:<size>, nbd://<host>/<export>, "
       "nbd+unix:///<export>?socket=<path>, "
       "rbd:<pool>/<image>[@<snapshot>] or vhost-user:<socket>."},
      {"limits",
       "what a disk may use, and what its errors do",
       "-s 9,virtio-blk,disk.img,iops=2000,bps=100M,werror=enospc",
       {"iops", "iops_rd", "iops_wr", "bps", "bps_rd", "bps_wr", "iops_burst", "iops_rd_burst", "iops_wr_burst",
        "bps_burst", "bps_rd_burst", "bps_wr_burst", "throttle_group", "io_timeout", "werror", "rerror"}},
      {"speed",
       "how a disk works; the defaults are good",
       "-s 9,virtio-blk,disk.img,nocache,aio=io_uring",
       {"nocache", "dontcache", "aio", "map", "kick", "iothread", "poll"}},
      {"lab",
       "what a driver does, what a crash leaves, faults",
       "-s 9,virtio-blk,disk.img,trace=vm1.trace",
       {"trace", "log", "fault"}},
      {"serve", "the disks for other VMMs", "--serve vhost-user=/run/acrn -s 9,virtio-blk,disk.img", {"--serve"}},
      {"operate",
       "control, metrics, logs, confinement",
       "--cmd_monitor vm1.sock --metrics 9110 -s 9,virtio-blk,disk.img",
       {"--cmd_monitor", "--metrics", "--logger_setting", "--sandbox", "--sandbox-path", "--user", "--dry_run", "-h",
        "-v"}},
      {"all", "everything, with examples", "", {}},
  };
  return topics;
}

std::optional<std::string> help_text(std::string_view topic) {
  if (topic.empty()) return fitted(overview());
  const auto& topics = help_topics();
  const auto has = [&](const HelpTopic& each, std::string_view option) {
    return std::find(each.options.begin(), each.options.end(), option) != each.options.end();
  };
  const auto found = std::find_if(topics.begin(), topics.end(), [&](const HelpTopic& each) {
    return each.name == topic || has(each, topic) || has(each, concat("--", topic));
  });
  if (found == topics.end()) return std::nullopt;
  return fitted(text_of(*found));
}

}  // namespace acrn
