#include "dm/boot/elf.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"

namespace acrn {
namespace {

constexpr unsigned kMostHeaders = 128;
constexpr uint64_t kMostNotes = 64 << 10;  // bytes of a segment
constexpr uint32_t kPhys32Entry = 18;      // XEN_ELFNOTE_PHYS32_ENTRY (Xen's elfnote.h)
constexpr uint32_t kMultibootMagic = 0x1bad'b002;

Error refuse(std::string why) { return {ErrorKind::kNoInput, std::move(why)}; }

bool is_inside(uint64_t offset, uint64_t size, uint64_t whole) { return offset <= whole && size <= whole - offset; }

template <class T>
T load(std::span<const std::byte> from) {
  T value;
  std::memcpy(&value, from.data(), sizeof(value));
  return value;
}

template <class T>
Result<T> read_as(const ReadFile& read, uint64_t offset) {
  T value;
  // SAFETY: ELF's structures are made of integers.
  auto done = read(offset, {reinterpret_cast<std::byte*>(&value), sizeof(value)});
  if (!done) return done.error();
  return value;
}

// Of a note of Xen's that says where PVH enters; the descriptor has 4 or 8 bytes.
std::optional<uint64_t> pvh_entry_in(std::span<const std::byte> notes, uint64_t alignment) {
  const auto padded = [&](uint64_t size) { return round_up(size, alignment); };
  while (notes.size() >= sizeof(Elf64_Nhdr)) {  // the 32-bit one is the same
    const auto header = load<Elf64_Nhdr>(notes);
    const uint64_t name_at = sizeof(header), data_at = name_at + padded(header.n_namesz);
    if (!is_inside(data_at, header.n_descsz, notes.size())) return std::nullopt;
    // SAFETY: chars may alias anything; both are inside the notes, tested above.
    const std::string_view name(reinterpret_cast<const char*>(notes.data()) + name_at, header.n_namesz);
    const auto data = notes.subspan(data_at, header.n_descsz);
    if (name == std::string_view("Xen\0", 4) && header.n_type == kPhys32Entry) {
      if (data.size() == sizeof(uint32_t)) return load<uint32_t>(data);
      if (data.size() == sizeof(uint64_t)) return load<uint64_t>(data);
    }
    notes = notes.subspan(std::min<uint64_t>(data_at + padded(header.n_descsz), notes.size()));
  }
  return std::nullopt;
}

// A kernel that runs above where it is loaded may give an entry there.
uint64_t physical(const std::vector<ElfSegment>& segments, uint64_t entry) {
  for (const ElfSegment& segment : segments) {
    const uint64_t offset = entry - segment.virtual_address;
    if (offset < segment.size) return segment.address + offset;
  }
  return entry;
}

bool overlap(std::vector<ElfSegment> segments) {
  std::sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  const auto next_is_inside = [](const ElfSegment& a, const ElfSegment& b) { return b.address - a.address < a.size; };
  return std::adjacent_find(segments.begin(), segments.end(), next_is_inside) != segments.end();
}

template <class FileHeader, class ProgramHeader>
Result<ElfKernel> parse(const ReadFile& read, uint64_t file_size) {
  if (file_size < sizeof(FileHeader)) return refuse("truncated in its ELF header");
  const auto found = read_as<FileHeader>(read, 0);
  if (!found) return found.error();
  const FileHeader& file = found.value();
  if (file.e_type != ET_EXEC && file.e_type != ET_DYN) return refuse("an ELF file, but no program");
  if (file.e_machine != EM_386 && file.e_machine != EM_X86_64) {
    return refuse(concat("for another machine (ELF machine ", file.e_machine, "); give a kernel for x86"));
  }
  if (file.e_phentsize != sizeof(ProgramHeader) || file.e_phnum == 0 || file.e_phnum > kMostHeaders ||
      !is_inside(file.e_phoff, uint64_t{file.e_phnum} * sizeof(ProgramHeader), file_size)) {
    return refuse("its ELF program headers are damaged");
  }
  ElfKernel kernel;
  for (unsigned i = 0; i < file.e_phnum; i++) {
    const auto header = read_as<ProgramHeader>(read, file.e_phoff + i * sizeof(ProgramHeader));
    if (!header) return header.error();
    const ProgramHeader& part = header.value();
    const bool loads = part.p_type == PT_LOAD && part.p_memsz != 0;
    if (!loads && part.p_type != PT_NOTE) continue;
    if (!is_inside(part.p_offset, part.p_filesz, file_size)) return refuse("truncated: a segment ends behind the file");
    if (loads) {
      if (part.p_filesz > part.p_memsz || part.p_paddr + part.p_memsz < part.p_paddr) {
        return refuse("a segment of it is larger in the file than in memory, or has no end");
      }
      kernel.segments.push_back({part.p_offset, part.p_filesz, part.p_paddr, part.p_vaddr, part.p_memsz});
    } else if (!kernel.pvh_entry && part.p_filesz <= kMostNotes) {
      std::vector<std::byte> notes(part.p_filesz);
      if (auto done = read(part.p_offset, notes); !done) return done.error();
      kernel.pvh_entry = pvh_entry_in(notes, part.p_align == 8 ? 8 : 4);
    }
  }
  if (kernel.segments.empty()) return refuse("an ELF file without anything to load");
  if (overlap(kernel.segments)) return refuse("two segments of it are loaded to the same place");
  kernel.entry = physical(kernel.segments, file.e_entry);
  return kernel;
}

}  // namespace

bool is_elf(std::span<const std::byte> start) {
  return start.size() >= kElfMagicBytes && std::memcmp(start.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfKernel> parse_elf(const ReadFile& read, uint64_t file_size) {
  if (file_size < EI_NIDENT) return refuse("truncated in its ELF header");
  const auto ident = read_as<std::array<unsigned char, EI_NIDENT>>(read, 0);
  if (!ident) return ident.error();
  if (ident.value()[EI_DATA] != ELFDATA2LSB) return refuse("a big-endian ELF file; give a kernel for x86");
  switch (ident.value()[EI_CLASS]) {
    case ELFCLASS32: return parse<Elf32_Ehdr, Elf32_Phdr>(read, file_size);
    case ELFCLASS64: return parse<Elf64_Ehdr, Elf64_Phdr>(read, file_size);
    default: return refuse("an ELF file of no known class");
  }
}

std::optional<uint32_t> find_multiboot(std::span<const std::byte> start) {
  struct Header {
    uint32_t magic, flags, checksum;
  };
  start = start.first(std::min(start.size(), kMultibootSearchBytes));
  for (; start.size() >= sizeof(Header); start = start.subspan(4)) {
    const auto header = load<Header>(start);
    if (header.magic == kMultibootMagic && header.magic + header.flags + header.checksum == 0) return header.flags;
  }
  return std::nullopt;
}

}  // namespace acrn
