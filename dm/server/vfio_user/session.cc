#include "dm/server/vfio_user/session.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"

namespace acrn::vfio_user {
namespace {

constexpr uint16_t kMajor = 0, kMinor = 1;
constexpr uint32_t kWidestBarAccess = 8;  // bytes

// How much of a longer access to configuration space a guest could do at once, from its start.
uint32_t config_access(unsigned offset, uint32_t count) {
  if (count == 1 || count == 2 || count == 4) return count;
  if (offset % 4 == 0 && count >= 4) return 4;
  return offset % 2 == 0 && count >= 2 ? 2 : 1;
}

uint64_t little_endian(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); i++) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

// Which messages may bring descriptors.
bool takes_descriptors(uint16_t command) {
  return command == VFIO_USER_DMA_MAP || command == VFIO_USER_DEVICE_SET_IRQS;
}

}  // namespace

Session::Session(PciFunction& function, DmaTable& memory, IrqTable& interrupts, pid_t client)
    : client_{.mappings = PeerMappings(client)},
      function_(function),
      memory_(memory),
      interrupts_(interrupts),
      doorbells_(function.doorbells()) {}

Session::~Session() {
  function_.reset();
  interrupts_.restore();
  interrupts_.clear();
  memory_.clear();
}

std::optional<size_t> Session::payload_size(std::span<const uint8_t> header) const {
  const uint32_t size = exactly<Header>(header)->size;
  return size < sizeof(Header) ? std::nullopt : std::optional<size_t>(size - sizeof(Header));
}

std::string_view Session::handle(std::span<const uint8_t> header_bytes, std::span<const uint8_t> payload,
                                 std::vector<UniqueFd> descriptors) {
  const Header header = *exactly<Header>(header_bytes);
  reply_.clear();
  kick_.reset();
  if ((header.flags & kTypeMask) != kTypeCommand) return "it sent a reply to what was no question";
  if (memory_.lost()) return "it took away memory that it had granted";
  append(Header{});
  const int error = carry_out(header.command, {payload, descriptors});
  if (error != 0) {
    reply_.resize(sizeof(Header));
    log(LogLevel::kDebug, concat("vfio-user: command ", uint16_t{header.command}, " refused, errno ", error));
  }
  const Header reply{.id = header.id,
                     .command = header.command,
                     .size = static_cast<uint32_t>(reply_.size()),
                     .flags = kTypeReply | (error != 0 ? kFlagError : 0),
                     .error = static_cast<uint32_t>(error)};
  std::memcpy(reply_.data(), &reply, sizeof(reply));
  if ((header.flags & kFlagNoReply) != 0) reply_.clear();
  return end_;
}

void Session::after_reply() {
  if (!kick_) return;
  function_.bar_write(kick_->bar, kick_->offset, kick_->size, kick_->value);
  kick_.reset();
}

int Session::carry_out(uint16_t command, const Request& request) {
  if (negotiated_ == (command == VFIO_USER_VERSION)) {
    if (!negotiated_) end_ = "its first message is not VFIO_USER_VERSION";
    return EINVAL;
  }
  if (!request.descriptors.empty() && !takes_descriptors(command)) return EINVAL;
  switch (command) {
    case VFIO_USER_VERSION: return version(request);
    case VFIO_USER_DMA_MAP: return dma_map(request);
    case VFIO_USER_DMA_UNMAP: return dma_unmap(request);
    case VFIO_USER_DEVICE_GET_INFO: return device_info(request);
    case VFIO_USER_DEVICE_GET_REGION_INFO: return region_info(request);
    case VFIO_USER_DEVICE_GET_IRQ_INFO: return irq_info(request);
    case VFIO_USER_DEVICE_SET_IRQS: return set_irqs(request);
    case VFIO_USER_REGION_READ: return region_read(request);
    case VFIO_USER_REGION_WRITE: return region_write(request);
    case VFIO_USER_DEVICE_RESET: return device_reset(request);
    default: return ENOTSUP;
  }
}

template <class T>
void Session::append(const T& value) {
  // SAFETY: wire structures are made of Le integers, without padding.
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  reply_.insert(reply_.end(), bytes, bytes + sizeof(T));
}

void Session::append_bytes(uint64_t value, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) reply_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

int Session::version(const Request& request) {
  auto rest = request.payload;
  const auto wanted = beginning<Version>(rest);
  if (!wanted || wanted->major != kMajor) {
    end_ = "it speaks another version of the protocol than 0.0 and 0.1";
    return EINVAL;
  }
  negotiated_ = true;
  append(Version{kMajor, std::min<uint16_t>(wanted->minor, kMinor)});
  // A client has room for a reply as long as its request, and knows the defaults of what is left out. One that offered
  // less than the shortest that all understand can take that too.
  const std::array<std::string, 2> capabilities{
      concat(R"({"capabilities":{"max_msg_fds":)", kOfferedDescriptors, R"(,"max_data_xfer_size":)", kMaxPayload / 2,
             R"(,"max_dma_maps":)", kMaxDmaMaps, "}}"),
      R"({"capabilities":{}})"};
  if (rest.empty()) return 0;
  const std::string& json = capabilities[capabilities[0].size() < rest.size() ? 0 : 1];
  reply_.insert(reply_.end(), json.c_str(), json.c_str() + json.size() + 1);
  return 0;
}

int Session::dma_map(const Request& request) {
  const auto piece = exactly<DmaMap>(request.payload);
  if (!piece || request.descriptors.size() > 1) return EINVAL;
  return memory_.map(*piece, request.descriptors.empty() ? UniqueFd() : std::move(request.descriptors[0]), client_);
}

int Session::dma_unmap(const Request& request) {
  const auto piece = exactly<DmaUnmap>(request.payload);
  if (!piece) return EINVAL;
  append(*piece);
  return memory_.unmap(*piece);
}

int Session::device_info(const Request& request) {
  const auto info = exactly<DeviceInfo>(request.payload);
  if (!info || info->argsz < sizeof(DeviceInfo)) return EINVAL;
  if (!memory_.empty() && !memory_.usable()) {
    // QEMU 11.1 aborts when it is dropped here, and says what is wrong when it is refused.
    if (std::has_single_bit(memory_.count_unusable())) {
      log(LogLevel::kWarning,
          "vfio-user: the client's memory is not shared, so a disk cannot reach it; with QEMU give "
          "-object memory-backend-memfd,id=m0,size=<as -m>,share=on -machine memory-backend=m0");
    }
    return ENOTSUP;
  }
  client_.runs = true;
  append(DeviceInfo{sizeof(DeviceInfo), VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_NUM_REGIONS,
                    VFIO_PCI_NUM_IRQS});
  return 0;
}

uint64_t Session::region_size(uint32_t region) const {
  if (region == VFIO_PCI_CONFIG_REGION_INDEX) return kPciConfigSize;
  return region < kPciBars ? function_.bar_shape(region).size : 0;
}

int Session::region_info(const Request& request) {
  const auto info = exactly<RegionInfo>(request.payload);
  if (!info || info->argsz < sizeof(RegionInfo) || info->index >= VFIO_PCI_NUM_REGIONS) return EINVAL;
  const uint64_t size = region_size(info->index);
  append(RegionInfo{.argsz = sizeof(RegionInfo),
                    .flags = size != 0 ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0,
                    .index = info->index,
                    .size = size});
  return 0;
}

int Session::irq_info(const Request& request) {
  const auto info = exactly<IrqInfo>(request.payload);
  // Of those above MSI-X too, as Linux says for a function without PCI Express.
  if (!info || info->argsz < sizeof(IrqInfo) || info->index > VFIO_PCI_MSIX_IRQ_INDEX) return EINVAL;
  const uint32_t kind = info->index == VFIO_PCI_INTX_IRQ_INDEX ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
                                                               : VFIO_IRQ_INFO_NORESIZE;
  append(IrqInfo{sizeof(IrqInfo), VFIO_IRQ_INFO_EVENTFD | kind, info->index, interrupts_.count(info->index)});
  return 0;
}

int Session::set_irqs(const Request& request) {
  auto rest = request.payload;
  const auto set = beginning<IrqSet>(rest);
  if (!set || set->argsz < sizeof(IrqSet)) return EINVAL;
  return interrupts_.set(*set, rest, request.descriptors);
}

bool Session::fits(const RegionAccess& access) const {
  const uint64_t size = region_size(access.region);
  if (access.count == 0 || access.count > size || access.offset > size - access.count) return false;
  // Registers are not a run of bytes: what no guest could do in one access is not done here.
  return access.region == VFIO_PCI_CONFIG_REGION_INDEX ||
         (std::has_single_bit(uint32_t{access.count}) && access.count <= kWidestBarAccess);
}

int Session::region_read(const Request& request) {
  const auto access = exactly<RegionAccess>(request.payload);
  if (!access || !fits(*access)) return EINVAL;
  append(*access);
  if (access->region != VFIO_PCI_CONFIG_REGION_INDEX) {
    append_bytes(function_.bar_read(access->region, access->offset, access->count), access->count);
    return 0;
  }
  auto offset = static_cast<unsigned>(access->offset);
  for (uint32_t left = access->count, size; left != 0; offset += size, left -= size) {
    size = config_access(offset, left);
    append_bytes(function_.config_read(offset, size), size);
  }
  return 0;
}

bool Session::is_kick(const BarWrite& write) const {
  return std::any_of(doorbells_.begin(), doorbells_.end(), [&](const BarDoorbell& doorbell) {
    return doorbell.bar == write.bar && doorbell.offset == write.offset && doorbell.size == write.size &&
           doorbell.data == write.value;
  });
}

int Session::region_write(const Request& request) {
  auto data = request.payload;
  const auto access = beginning<RegionAccess>(data);
  if (!access || !fits(*access) || data.size() != access->count) return EINVAL;
  append(*access);
  if (access->region != VFIO_PCI_CONFIG_REGION_INDEX) {
    write_bar({access->region, access->count, access->offset, little_endian(data)});
    return 0;
  }
  auto offset = static_cast<unsigned>(access->offset);
  for (uint32_t size; !data.empty(); offset += size, data = data.subspan(size)) {
    size = config_access(offset, static_cast<uint32_t>(data.size()));
    function_.config_write(offset, size, static_cast<uint32_t>(little_endian(data.first(size))));
  }
  return 0;
}

void Session::write_bar(const BarWrite& write) {
  // The client keeps its guest's own table, and says with VFIO_USER_DEVICE_SET_IRQS what comes of it.
  if (interrupts_.in_table(write.bar, write.offset, write.size)) return;
  if (is_kick(write)) {
    kick_ = write;
  } else {
    function_.bar_write(write.bar, write.offset, write.size, write.value);
  }
}

int Session::device_reset(const Request& request) {
  if (!request.payload.empty()) return EINVAL;
  function_.reset();
  interrupts_.restore();
  return 0;
}

}  // namespace acrn::vfio_user
