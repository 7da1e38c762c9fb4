// Image files in formats of their own, by the program in $ACRN_TEST_IMAGE_READER: what every backend keeps to, what is
// followed and what is not, and a child that dies.
#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "dm/base/child_process.h"
#include "dm/base/log_setup.h"
#include "dm/block/open.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace acrn::test {
namespace {

using contract::kContractSize;
using std::chrono::seconds;

bool runs(const std::string& command) {
  const int status = std::system((command + " >/dev/null 2>&1").c_str());  // NOLINT: a test's own words
  return status == 0;
}

// An image of kContractSize bytes, made by qemu-img.
std::string make_image(const TempDir& dir, const std::string& format, const std::string& name = "disk",
                       const std::string& options = "") {
  if (!runs("qemu-img --version")) SKIP("qemu-img");
  const std::string path = dir.path(name);
  EXPECT(runs("cd " + dir.path("") + " && qemu-img create -f " + format + " " + options + " " + path + " 8M"));
  return path;
}

BlockOptions image_options(const std::string& path, ImageFormat format) {
  static const bool quiet = setup_logging({.console = 1}, "").ok();
  EXPECT(quiet);
  BlockOptions options = options_for(path);
  options.format = format;
  options.queues = 2;
  if (const char* reader = std::getenv("ACRN_TEST_IMAGE_READER")) {  // NOLINT(concurrency-mt-unsafe)
    const auto known = std::find(kImageReaderNames.begin(), kImageReaderNames.end(), std::string_view(reader));
    EXPECT(known != kImageReaderNames.end());
    options.reader = static_cast<ImageReader>(known - kImageReaderNames.begin());
  }
  options.discard = DiscardLimits{};
  options.writeback = true;
  return options;
}

template <ImageFormat format>
struct image_in {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend =
      open_backend(image_options(make_image(dir, std::string(name_of(format))), format));
};

using qcow2 = image_in<ImageFormat::kQcow2>;
using vmdk = image_in<ImageFormat::kVmdk>;
using vdi = image_in<ImageFormat::kVdi>;
using vhdx = image_in<ImageFormat::kVhdx>;
ACRN_BLOCK_CONTRACT(qcow2);
ACRN_BLOCK_CONTRACT(vmdk);
ACRN_BLOCK_CONTRACT(vdi);
ACRN_BLOCK_CONTRACT(vhdx);

struct encrypted {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = make();
  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = image_options(dir.path("disk"), ImageFormat::kLuks);
    options.key = dir.path("key");
    std::ofstream(options.key) << "a pass phrase";
    if (!runs("qemu-img --version")) SKIP("qemu-img");
    EXPECT(wait_until([&] {  // it fails now and then: "Unable to get accurate CPU usage"
      return runs("qemu-img create -f luks --object secret,id=key,file=" + options.key +
                  " -o key-secret=key,iter-time=10 " + dir.path("disk") + " 8M");
    }));
    return open_backend(options);
  }
};
// What was never written is no zeroes there, but what they decrypt to.
ACRN_CONTRACT_TEST(encrypted, what_is_written_is_read_back_through_any_vectors);
ACRN_CONTRACT_TEST(encrypted, more_requests_than_elements_all_complete);
ACRN_CONTRACT_TEST(encrypted, two_channels_serve_at_the_same_time);

struct snapshot_of_a_raw_image {
  TempDir dir;
  std::unique_ptr<BlockBackend> backend = make();
  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = image_options(dir.file("disk", kContractSize), ImageFormat::kRaw);
    options.snapshot = true;
    return open_backend(options);
  }
};
ACRN_BLOCK_CONTRACT(snapshot_of_a_raw_image);

// As a volume manager has them: a qcow2, and a disk to begin with, on a block device.
struct qcow2_on_a_block_device {
  TempDir dir;
  LoopDevice device{make_room(), 512};
  std::unique_ptr<BlockBackend> backend = make();
  std::string make_room() const {
    const std::string path = make_image(dir, "qcow2");
    std::filesystem::resize_file(path, 2 * kContractSize);
    return path;
  }
  std::unique_ptr<BlockBackend> make() const { return open_backend(image_options(device.path(), ImageFormat::kQcow2)); }
};
ACRN_BLOCK_CONTRACT(qcow2_on_a_block_device);

struct snapshot_of_a_block_device {
  TempDir dir;
  LoopDevice device{dir.file("disk", kContractSize), 512};
  std::unique_ptr<BlockBackend> backend = make();
  std::unique_ptr<BlockBackend> make() const {
    BlockOptions options = image_options(device.path(), ImageFormat::kRaw);
    options.snapshot = true;
    return open_backend(options);
  }
};
ACRN_BLOCK_CONTRACT(snapshot_of_a_block_device);

// Of this process, whichever of its threads has forked them.
std::vector<pid_t> children() {
  std::vector<pid_t> found;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream list(thread.path() / "children");
    for (pid_t child; list >> child;) found.push_back(child);
  }
  return found;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal(const BlockOptions& options) {
  const auto opened = open_disk(options, "0:9:0");
  const auto inspected = inspect_disk(options, "0:9:0");
  EXPECT(!opened.ok() && !inspected.ok());
  EXPECT_EQ(opened.error().message, inspected.error().message);
  EXPECT(opened.error().message.find('\n') == std::string::npos);
  EXPECT(children().empty());
  return opened.error().message;
}

// Of one whose header alone has nothing against it.
std::string refusal_of_open(const BlockOptions& options) {
  const auto opened = open_disk(options, "0:9:0");
  EXPECT(!opened.ok());
  EXPECT(opened.error().message.find('\n') == std::string::npos);
  return opened.error().message;
}

TEST(what_is_written_is_in_the_image_when_the_disk_is_closed) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2");
  {
    const auto backend = open_backend(image_options(path, ImageFormat::kQcow2));
    EXPECT_EQ(backend->info().size, kContractSize);
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(1 << 20, pattern(1, 1 << 20))), 0);
  }
  EXPECT(children().empty());
  EXPECT(runs("qemu-img convert -f qcow2 -O raw " + path + " " + dir.path("raw")));
  const auto expected = pattern(1, 1 << 20);
  EXPECT(bytes_of(dir.path("raw")).substr(1 << 20, 1 << 20) == std::string(expected.begin(), expected.end()));
  EXPECT(runs("qemu-img check " + path));
}

TEST(a_snapshot_leaves_the_image_as_it_is) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2"), before = bytes_of(path);
  BlockOptions options = image_options(path, ImageFormat::kQcow2);
  options.snapshot = true;
  {
    const auto backend = open_backend(options);
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 1 << 20))), 0);
    TestRequest read = TestRequest::read(0, 1 << 20);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == pattern(1, 1 << 20));
  }
  EXPECT(bytes_of(path) == before);
}

TEST(a_snapshot_makes_no_file_that_others_see) {
  const TempDir dir;
  BlockOptions options = image_options(make_image(dir, "qcow2"), ImageFormat::kQcow2);
  options.snapshot = true;
  const std::string folder = dir.path("temporary");
  std::filesystem::create_directory(folder);
  ::setenv("TMPDIR", folder.c_str(), 1);
  {
    const auto backend = open_backend(options);
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 1 << 20))), 0);
    EXPECT(std::filesystem::is_empty(folder));
  }
  ::setenv("TMPDIR", "/proc", 1);
  const auto nowhere = open_disk(options, "0:9:0");
  ::unsetenv("TMPDIR");
  EXPECT(!nowhere.ok());
  EXPECT_CONTAINS(nowhere.error().message, "snapshot: a temporary file in /proc: ");
  EXPECT_CONTAINS(nowhere.error().message, "; name a folder in TMPDIR");
}

TEST(a_snapshot_does_not_change_the_serial) {
  const TempDir dir;
  BlockOptions options = image_options(dir.file("disk", kContractSize), ImageFormat::kRaw);
  const std::string plain = must(inspect_disk(options, "0:9:0")).identity;
  options.snapshot = true;
  if (!runs("qemu-img --version")) SKIP("qemu-img");
  EXPECT_EQ(must(inspect_disk(options, "0:9:0")).identity, plain);
}

// What a format can do, as options of qemu-img's.
struct Kind {
  std::string format, options;
};

TEST(every_kind_of_image_reads_like_qemu_img_reads_it) {
  const std::vector<Kind> kinds{{"qcow2", ""},
                                {"qcow2", "-o compat=0.10"},
                                {"qcow2", "-o cluster_size=2M"},
                                {"qcow2", "-o extended_l2=on,cluster_size=128k"},
                                {"qcow2", "-c"},
                                {"qcow2", "-c -o compression_type=zstd"},
                                {"vmdk", ""},
                                {"vmdk", "-o subformat=streamOptimized"},
                                {"vdi", ""},
                                {"vdi", "-o static=on"},
                                {"vpc", "-o force_size=on"},
                                {"vpc", "-o subformat=fixed,force_size=on"},
                                {"vhdx", ""},
                                {"vhdx", "-o subformat=fixed,block_size=1M"}};
  const TempDir dir;
  const std::string raw = dir.file("raw", kContractSize);
  {  // data with holes
    const auto backend = open_backend(options_for(raw));
    BlockRig rig(*backend);
    for (const uint64_t at : {0u, 100u << 10, 3u << 20, (8u << 20) - 4096u}) {
      EXPECT_EQ(rig.run(TestRequest::write(at, pattern(at + 1, 4096))), 0);
    }
  }
  const std::string expected = bytes_of(raw);
  for (const Kind& kind : kinds) {
    const std::string path = make_image(dir, kind.format, "image");  // says what is missing
    if (!runs("qemu-img convert -f raw -O " + kind.format + " " + kind.options + " " + raw + " " + path)) {
      SKIP("qemu-img with " + kind.format + " " + kind.options);
    }
    const auto known = std::find(kImageFormatNames.begin(), kImageFormatNames.end(), kind.format);
    BlockOptions options = image_options(path, static_cast<ImageFormat>(known - kImageFormatNames.begin()));
    options.read_only = true;
    options.discard.reset();
    const auto backend = open_backend(options);
    EXPECT_EQ(backend->info().size, kContractSize);
    BlockRig rig(*backend);
    TestRequest read = TestRequest::read(0, kContractSize);
    EXPECT_EQ(rig.run(read), 0);
    const auto found = read.data();
    EXPECT(std::string(found.begin(), found.end()) == expected);
  }
}

TEST(an_image_with_snapshots_inside_is_served_as_it_is_now) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2");
  const auto write = [&](uint64_t seed) {
    const auto backend = open_backend(image_options(path, ImageFormat::kQcow2));
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(4096, pattern(seed, 65536))), 0);
  };
  write(1);
  EXPECT(runs("qemu-img snapshot -c before " + path));
  write(2);
  {
    const auto backend = open_backend(image_options(path, ImageFormat::kQcow2));
    BlockRig rig(*backend);
    TestRequest read = TestRequest::read(4096, 65536);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == pattern(2, 65536));
  }
  EXPECT(runs("qemu-img check " + path + " && qemu-img convert -O raw -l before " + path + " " + dir.path("before")));
  const auto before = pattern(1, 65536);
  EXPECT(bytes_of(dir.path("before")).substr(4096, 65536) == std::string(before.begin(), before.end()));
}

// The tables of every format are overwritten at random: such an image is refused, or its requests end with a status.
TEST(a_damaged_image_harms_nobody) {
  const TempDir dir;
  std::mt19937_64 random(17);
  for (const ImageFormat format :
       {ImageFormat::kQcow2, ImageFormat::kVmdk, ImageFormat::kVdi, ImageFormat::kVpc, ImageFormat::kVhdx}) {
    const std::string path = make_image(dir, std::string(name_of(format)), std::string(name_of(format)));
    const std::string whole = bytes_of(path);
    for (int round = 0; round < 8; round++) {
      std::string damaged = whole;
      for (int change = 0; change < 8; change++) {
        damaged[random() % std::min<size_t>(damaged.size(), round < 4 ? 512 : 4 << 20)] = static_cast<char>(random());
      }
      std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
      auto opened = open_disk(image_options(path, format), "0:9:0");
      if (!opened) {
        EXPECT(opened.error().message.starts_with("virtio-blk " + path + ": "));
        EXPECT(opened.error().message.find('\n') == std::string::npos);
        continue;
      }
      BlockRig rig(*opened.value().backend);
      const uint64_t size = std::min<uint64_t>(opened.value().facts.info.size, 1 << 20);
      rig.run(TestRequest::read(0, size));
      rig.run(TestRequest::write(0, pattern(1, 4096)));
      rig.run(TestRequest(BlockOp::kFlush, 0, 0));
    }
    EXPECT(children().empty());
  }
}

TEST(a_backing_file_is_followed_only_when_that_is_said) {
  const TempDir dir;
  const std::string base = make_image(dir, "qcow2", "base");
  {
    const auto backend = open_backend(image_options(base, ImageFormat::kQcow2));
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(7, 65536))), 0);
  }
  const std::string before = bytes_of(base);
  BlockOptions options = image_options(make_image(dir, "qcow2", "overlay", "-b base -F qcow2"), ImageFormat::kQcow2);
  EXPECT_CONTAINS(refusal(options), "its header names a backing file, ");
  EXPECT_CONTAINS(refusal(options), "/base; give backing=follow");
  options.follow_backing = true;
  const auto disk = must(open_disk(options, "0:9:0"));
  EXPECT_EQ(disk.facts.image->backing.size(), 1u);
  BlockRig rig(*disk.backend);
  TestRequest read = TestRequest::read(0, 65536);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT(read.data() == pattern(7, 65536));
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(8, 65536))), 0);
  EXPECT(bytes_of(base) == before);
}

TEST(an_overlay_and_what_it_stands_on_may_be_on_block_devices) {
  const TempDir dir;
  const LoopDevice base(make_image(dir, "raw", "base"), 512);
  {
    const auto backend = open_backend(image_options(base.path(), ImageFormat::kRaw));
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(7, 65536))), 0);
  }
  const std::string overlay = make_image(dir, "qcow2", "overlay", "-b " + base.path() + " -F raw");
  std::filesystem::resize_file(overlay, kContractSize);
  const LoopDevice device(overlay, 512);
  BlockOptions options = image_options(device.path(), ImageFormat::kQcow2);
  EXPECT_CONTAINS(refusal(options), "its header names a backing file, " + base.path());
  options.follow_backing = true;
  const auto disk = must(open_disk(options, "0:9:0"));
  BlockRig rig(*disk.backend);
  TestRequest read = TestRequest::read(0, 65536);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT(read.data() == pattern(7, 65536));
  const DiskFacts writer = must(inspect_disk(image_options(base.path(), ImageFormat::kRaw), "0:10:0"));
  EXPECT(find_conflict(disk.facts, writer) != nullptr);
}

TEST(what_is_no_such_image_is_refused_in_one_line) {
  const TempDir dir;
  EXPECT_CONTAINS(refusal(image_options(dir.path("none"), ImageFormat::kQcow2)), "No such file or directory");
  const std::string raw = dir.file("raw", 1 << 20);
  EXPECT_CONTAINS(refusal(image_options(raw, ImageFormat::kQcow2)), "Image is not in qcow2 format");
  EXPECT_CONTAINS(refusal(image_options(make_image(dir, "qcow2", "d", "-o data_file=d.raw"), ImageFormat::kQcow2)),
                  "its header names a data file, d.raw");
  // A VMDK that is a text, whose extent is another file of the host.
  std::ofstream(dir.path("text.vmdk")) << "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                                          "createType=\"monolithicFlat\"\nRW 4 FLAT \"/etc/services\" 0\n"
                                       << std::string(4096, '\n');
  EXPECT(::truncate(dir.path("text.vmdk").c_str(), 4096) == 0);
  EXPECT_CONTAINS(refusal(image_options(dir.path("text.vmdk"), ImageFormat::kVmdk)), "/etc/services");
  BlockOptions remote =
      image_options(make_image(dir, "qcow2", "remote", "-u -b nbd:127.0.0.1:1 -F raw"), ImageFormat::kQcow2);
  remote.follow_backing = true;
  EXPECT_CONTAINS(refusal(remote), "which is no file");
  BlockOptions odd = image_options(make_image(dir, "qcow2", "odd", "-u -b raw -F quorum"), ImageFormat::kQcow2);
  odd.follow_backing = true;
  EXPECT_CONTAINS(refusal(odd), "/raw is, but quorum");
  EXPECT_CONTAINS(refusal(image_options(dir.file("no\xffword", 4096), ImageFormat::kQcow2)), "for a path in UTF-8");
  const std::string damaged = make_image(dir, "qcow2", "damaged");
  std::fstream(damaged, std::ios::binary | std::ios::in | std::ios::out).seekp(40)
      << "nonsense";  // where the L1 table is
  EXPECT_CONTAINS(refusal(image_options(damaged, ImageFormat::kQcow2)), "L1 table");
}

// Its reader would compute for minutes, and listen to nobody.
TEST(an_encrypted_image_that_asks_for_endless_work_is_refused) {
  const encrypted image;
  const std::string path = image.dir.path("endless");
  std::filesystem::copy_file(image.dir.path("disk"), path);
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(212)
      << "\xff\xff\xff\xff";  // of its first key
  BlockOptions options = image_options(path, ImageFormat::kLuks);
  options.key = image.dir.path("key");
  EXPECT_CONTAINS(refusal_of_open(options), "rounds of hashing");
}

TEST(an_encrypted_image_needs_its_passphrase) {
  const encrypted image;
  BlockOptions options = image_options(image.dir.path("disk"), ImageFormat::kLuks);
  options.read_only = true;
  options.lock = false;
  options.key = image.dir.path("none");
  EXPECT_CONTAINS(refusal_of_open(options), "key=" + options.key + ": No such file or directory");
  options.key = "/dev/zero";
  EXPECT_CONTAINS(refusal_of_open(options), "key=/dev/zero: not a regular file");
  options.key = image.dir.path("wrong");
  std::ofstream(options.key) << "another one";
  EXPECT_CONTAINS(refusal_of_open(options), "format=luks: ");
  EXPECT_CONTAINS(refusal_of_open(options), "Invalid password");
}

TEST(a_raw_disk_that_begins_like_an_image_is_served_as_it_is) {
  const TempDir dir;
  for (const ImageFormat format : {ImageFormat::kQcow2, ImageFormat::kVmdk, ImageFormat::kVdi, ImageFormat::kVhdx}) {
    const std::string name(name_of(format)), path = make_image(dir, name, name);
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(format_by_magic(file.fd()), name_of(format));
  }
  BlockOptions options = options_for(dir.path("qcow2"));
  options.range = BlockRange{0, 300};
  const auto backend = open_backend(options);
  BlockRig rig(*backend);
  TestRequest read = TestRequest::read(0, 512);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT_EQ(read.data()[0], 'Q');
  const UniqueFd plain(::open(dir.file("plain", 4096).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT(format_by_magic(plain.fd()).empty());
}

// Whatever it says itself: a child may not open what was not named.
TEST(a_child_opens_no_file_that_was_not_named) {
  const TempDir dir;
  const std::string named = dir.file("named", 7), other = dir.file("other", 7);
  const auto cat = [&](const std::string& path) {
    return output_of({.command = {"cat", path}, .read = {named}}, seconds(10));
  };
  EXPECT_EQ(must(cat(named)).size(), 7u);
  const auto refused = cat(other);
  EXPECT(!refused.ok());
  EXPECT_CONTAINS(refused.error().message, "Permission denied");
  const auto written = output_of({.command = {"cp", "/dev/null", named}, .read = {named}}, seconds(10));
  EXPECT(!written.ok());
}

TEST(a_child_that_takes_too_long_or_does_not_exist_is_told_of) {
  const auto slow = output_of({.command = {"sleep", "60"}}, std::chrono::milliseconds(100));
  EXPECT_CONTAINS(slow.error().message, "sleep: takes too long");
  const auto none = output_of({.command = {"no-such-program"}}, seconds(10));
  EXPECT(none.error().kind == ErrorKind::kUnavailable);
  EXPECT(children().empty());
}

TEST(a_host_without_the_programs_is_told_which_are_missing) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2"), programs = dir.path("programs"), before = ::getenv("PATH");
  const std::string found = must(output_of({.command = {"sh", "-c", "command -v qemu-img"}}, seconds(10)));
  std::filesystem::create_directory(programs);
  ::setenv("PATH", programs.c_str(), 1);
  const auto without_any = open_disk(image_options(path, ImageFormat::kQcow2), "0:9:0");
  std::filesystem::create_symlink(found.substr(0, found.find('\n')), programs + "/qemu-img");
  BlockOptions options = image_options(path, ImageFormat::kQcow2);
  options.reader = ImageReader::kAuto;
  const auto without_server = open_disk(options, "0:9:0");
  options.reader = ImageReader::kStorageDaemon;
  const auto without_daemon = open_disk(options, "0:9:0");
  ::setenv("PATH", before.c_str(), 1);
  EXPECT(without_any.error().kind == ErrorKind::kUnavailable);
  EXPECT_CONTAINS(without_any.error().message, "qemu-img: there is no such program");
  EXPECT(without_server.error().kind == ErrorKind::kUnavailable);
  EXPECT_CONTAINS(without_server.error().message, "there is no qemu-nbd; install qemu-utils");
  EXPECT(without_daemon.error().kind == ErrorKind::kUnavailable);
  EXPECT_CONTAINS(without_daemon.error().message, "there is no qemu-storage-daemon; install qemu-system-common");
}

TEST(a_child_that_dies_is_an_error_of_the_disk) {
  const TempDir dir;
  const auto backend = open_backend(image_options(make_image(dir, "qcow2"), ImageFormat::kQcow2));
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  EXPECT_EQ(children().size(), 1u);
  ::kill(children()[0], SIGKILL);
  EXPECT(wait_until([&] { return rig.run(TestRequest::read(0, 4096)) == EIO; }));
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), EIO);
}

TEST(two_disks_do_not_write_one_image) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2");
  const auto first = open_backend(image_options(path, ImageFormat::kQcow2));
  const auto second = open_disk(image_options(path, ImageFormat::kQcow2), "0:10:0");
  EXPECT(!second.ok());
  EXPECT_CONTAINS(second.error().message, "another process using the image");
  // Nor as a raw file, not even to read it.
  BlockOptions raw = options_for(path);
  raw.range = {.start = 0, .size = 256};  // its size is none of a disk
  EXPECT_CONTAINS(open_disk(raw, "0:10:0").error().message, "in use by another disk or process");
  raw.read_only = true;
  EXPECT_CONTAINS(open_disk(raw, "0:10:0").error().message, "in use by a program of QEMU's that writes them");
  EXPECT(!check_unlocked(raw).ok());
}

TEST(an_image_in_use_is_noticed_before_the_start) {
  const TempDir dir;
  const std::string path = make_image(dir, "qcow2");
  const BlockOptions writer = image_options(path, ImageFormat::kQcow2);
  BlockOptions reader = writer;
  reader.read_only = true;
  EXPECT(check_unlocked(writer).ok());
  {
    const auto backend = open_backend(reader);
    EXPECT(check_unlocked(reader).ok());
    EXPECT_CONTAINS(check_unlocked(writer).error().message, "all bytes are in use by another disk or process");
  }
  const auto backend = open_backend(writer);
  EXPECT(!check_unlocked(reader).ok());
  EXPECT(!check_unlocked(writer).ok());
}

TEST(one_image_or_its_backing_file_is_not_written_by_two_slots) {
  const TempDir dir;
  const std::string base = dir.file("base", kContractSize);
  BlockOptions overlay = image_options(make_image(dir, "qcow2", "overlay", "-b base -F raw"), ImageFormat::kQcow2);
  overlay.follow_backing = true;
  const auto facts = [](BlockOptions options, bool read_only) {
    options.read_only = read_only;
    return must(inspect_disk(options, "0:9:0"));
  };
  const DiskFacts written = facts(overlay, false), base_written = facts(options_for(base), false);
  EXPECT(find_conflict(written, facts(overlay, true)) != nullptr);
  EXPECT(find_conflict(facts(overlay, true), facts(overlay, true)) == nullptr);
  EXPECT_EQ(find_conflict(written, base_written)->path, base);
  EXPECT_CONTAINS(find_conflict(base_written, written)->path, "/base");
  EXPECT(find_conflict(written, facts(options_for(base), true)) == nullptr);
}

}  // namespace
}  // namespace acrn::test
