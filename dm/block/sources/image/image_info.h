// What qemu-img says of a file or a block device in an image format of its own. The image is hostile: it is looked at
// by a child that may open nothing but what is named.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"

namespace acrn {

// Options for a program of QEMU's, so that block nodes can name the passphrase of the options' key.
std::vector<std::string> key_arguments(const BlockOptions& options);
inline constexpr const char* kKeyName = "key";

// QEMU's driver for a file with that path: file or host_device.
std::string_view file_driver(const std::string& path);

struct ImageInfo {
  struct Backing {
    std::string path;
    ImageFormat format;
  };
  ImageReader reader = ImageReader::kAuto;   // the one that will read it
  uint64_t virtual_size = 0, allocated = 0;  // bytes
  std::vector<Backing> backing;              // files that it is an overlay of, the nearest first
};

// `follow`: its header may name further files. Errors: kNoInput, in one line: it is no such image, it is damaged, or it
// needs files that were not allowed; kUnavailable: qemu-img is missing.
Result<ImageInfo> inspect_image(const std::string& path, ImageFormat format, bool follow);

// The format whose first bytes those of the file are; empty: none's. A guess, for a message and nothing else.
std::string_view format_by_magic(int fd);
// Makes an empty image of `size` bytes in a file that is there, of the options' format and key. Errors: as above.
Result<void> create_image(const std::string& path, const BlockOptions& options, uint64_t size);
// The same, in an open file, as qcow2.
Result<void> create_overlay(int file, uint64_t size);

}  // namespace acrn
