// TraceRecorder: the trace of one disk: the memory that its queues write it to, and the process that brings it from
// there to a file, so that a disk that is full or slow costs the guest nothing (docs/adr/0037). The process ends when
// the recorder does, or this process is gone, and writes what there is first.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/trace/trace_ring.h"

namespace acrn {

class TraceRecorder {
 public:
  // Whether a trace may go to that file, which is then replaced: it is not there yet, empty, or a trace. Errors:
  // kUsage, kNoInput.
  static Result<void> check(const std::string& path);

  // Opens the file. For a device of so many queues.
  static Result<std::unique_ptr<TraceRecorder>> create(const std::string& path, unsigned queues);
  ~TraceRecorder();
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;

  DeviceTrace& trace() { return *trace_; }

  // Starts the process, which first calls `confine`, if that is not null. `header`: what of it the recorder does not
  // know. Once.
  Result<void> start(TraceFileHeader header, void (*confine)());
  // Whether the disk is traced from now on. At first it is. Any thread.
  void set(bool on);

 private:
  struct Shared;
  struct Source;

  TraceRecorder(std::string path, UniqueFd file, unsigned queues);
  [[noreturn]] void record(int gone, pid_t parent, void (*confine)());
  bool drain();
  bool write_source(unsigned source);

  const std::string path_;
  UniqueFd file_;
  const unsigned count_;  // of sources: the queues, and the device
  std::byte* memory_ = nullptr;
  size_t size_ = 0;
  Shared* shared_ = nullptr;
  Source* sources_ = nullptr;
  std::unique_ptr<DeviceTrace> trace_;
  UniqueFd ended_;  // at its end the process is gone
};

}  // namespace acrn
