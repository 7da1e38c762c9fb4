// A file that is an ELF kernel to its loader: one segment, and what says how it is entered.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace acrn::test {

struct ElfFile {
  uint64_t address = 0x10'0000;  // physical, of the segment
  uint64_t virtual_address = 0x10'0000;
  uint64_t size = 0x4000;      // bytes in memory
  uint64_t entry = 0x10'0010;  // in the header
  bool pvh = true;             // a note, with the entry 16 bytes behind `address`
  bool multiboot = false;      // its header is in the segment
  uint32_t multiboot_flags = 3;

  static constexpr size_t kSegment = 0x200, kSegmentBytes = 0x400, kNote = kSegment + 0x100;

  template <class Header, class Program, class Note>
  std::vector<std::byte> bytes(unsigned char elf_class, uint16_t machine) const {
    std::vector<std::byte> file(kSegment + kSegmentBytes);
    const auto put = [&](size_t at, const auto& value) { std::memcpy(file.data() + at, &value, sizeof(value)); };
    Header header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = elf_class;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = machine;
    header.e_version = EV_CURRENT;
    header.e_entry = static_cast<decltype(header.e_entry)>(entry);
    header.e_phoff = sizeof(header);
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Program);
    header.e_phnum = 2;
    put(0, header);
    Program load{};
    load.p_type = PT_LOAD;
    load.p_offset = kSegment;
    load.p_paddr = static_cast<decltype(load.p_paddr)>(address);
    load.p_vaddr = static_cast<decltype(load.p_vaddr)>(virtual_address);
    load.p_filesz = kSegmentBytes;
    load.p_memsz = static_cast<decltype(load.p_memsz)>(size);
    put(sizeof(header), load);
    Program note{};
    note.p_type = PT_NOTE;
    note.p_offset = kNote;
    note.p_filesz = 2 * (sizeof(Elf32_Nhdr) + 4 + sizeof(Note));
    put(sizeof(header) + sizeof(load), note);
    size_t at = kNote;
    for (const uint32_t type : {1u, pvh ? 18u : 2u}) {
      put(at, Elf32_Nhdr{4, sizeof(Note), type});
      std::memcpy(file.data() + at + sizeof(Elf32_Nhdr), "Xen", 4);
      put(at + sizeof(Elf32_Nhdr) + 4, static_cast<Note>(address + 16));
      at += sizeof(Elf32_Nhdr) + 4 + sizeof(Note);
    }
    if (multiboot) {
      put(kSegment + 0x40, uint32_t{0x1bad'b002});
      put(kSegment + 0x44, multiboot_flags);
      put(kSegment + 0x48, -0x1bad'b002u - multiboot_flags);
    }
    return file;
  }
  std::vector<std::byte> bytes32() const { return bytes<Elf32_Ehdr, Elf32_Phdr, uint32_t>(ELFCLASS32, EM_386); }
  std::vector<std::byte> bytes64() const { return bytes<Elf64_Ehdr, Elf64_Phdr, uint64_t>(ELFCLASS64, EM_X86_64); }
};

}  // namespace acrn::test
