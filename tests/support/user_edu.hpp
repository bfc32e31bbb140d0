// SPDX-License-Identifier: GPL-2.0-or-later
// The other side of vfio-user: a device for teaching (as QEMU's edu, with MSI-X), and a server that notes what it is
// told and misbehaves at the command that it is asked to.
#pragma once

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/mapping.hpp"
#include "base/pci_config.hpp"
#include "vfio/info_chain.hpp"
#include "vfio/user_message.hpp"

namespace pcivm::test {

/// BAR 0, registers; BAR 2, the MSI-X table; BAR 4, 16 KiB of memory that may be mapped but for its first page. DMA
/// copies from RAM to RAM.
class UserEdu final {
 public:
  using Command = vfio::user::Command;
  using Header = vfio::user::Header;
  enum class Mood : std::uint8_t {
    good,
    refuses,
    silent,
    gone,
    rubbish,
    short_answer,
    long_answer,
    huge_answer,
    half_answer,
    other_id,
    many_files,
    endless_dma
  };
  static constexpr std::uint64_t kIdentity = 0x00;  ///< reads 0x010000ed
  static constexpr std::uint64_t kInverse = 0x04;   ///< reads the complement of what was written
  static constexpr std::uint64_t kRaise = 0x20;     ///< interrupt of the vector that is written
  static constexpr std::uint64_t kSource = 0x80;    ///< 8 bytes
  static constexpr std::uint64_t kTarget = 0x88;    ///< 8 bytes
  static constexpr std::uint64_t kCount = 0x90;     ///< 4 bytes
  static constexpr std::uint64_t kStart = 0x98;     ///< 1: copies, 2: after the answer; then vector 1
  static constexpr std::uint64_t kStatus = 0x9c;    ///< 0, or errno
  static constexpr std::uint64_t kMemory = 16384;   ///< of BAR 4
  static constexpr unsigned kVectors = 4;
  static constexpr std::uint16_t kMsix = 0x40;

  /// `by_messages`: does not map the guest's RAM.
  explicit UserEdu(Fd socket, bool by_messages = false) : socket_{std::move(socket)}, by_messages_{by_messages} {
    config_store(config_, PCI_VENDOR_ID, 4, 0x11e91234);
    config_store(config_, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    config_store(config_, PCI_CLASS_REVISION, 4, 0x00ff0001);
    config_store(config_, PCI_BASE_ADDRESS_4, 4, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    config_store(config_, PCI_CAPABILITY_LIST, 1, kMsix);
    config_store(config_, kMsix, 4, (kVectors - 1) << 16U | PCI_CAP_ID_MSIX);
    config_store(config_, kMsix + PCI_MSIX_TABLE, 4, 2);
    config_store(config_, kMsix + PCI_MSIX_PBA, 4, 0x800 | 2);
  }
  UserEdu(const UserEdu&) = delete;
  UserEdu& operator=(const UserEdu&) = delete;
  ~UserEdu() { leave(); }

  /// Until the client goes.
  void serve() {
    while (auto message = next()) {
      if (!handle(*message)) break;
      if (std::exchange(later_, false)) copy();
    }
    ::shutdown(socket_.ref().number(), SHUT_RDWR);
  }
  /// On a thread.
  void start() {
    thread_ = std::jthread{[this] { serve(); }};
  }
  void leave() { ::shutdown(socket_.ref().number(), SHUT_RDWR); }
  void say(std::string_view text) { (void)write_all(socket_.ref(), text); }
  void become(Command command, Mood mood) {
    const std::scoped_lock lock{mutex_};
    moods_[command] = mood;
  }
  std::vector<Command> commands() {
    const std::scoped_lock lock{mutex_};
    return commands_;
  }
  /// Vectors with an eventfd.
  std::vector<unsigned> armed() {
    const std::scoped_lock lock{mutex_};
    std::vector<unsigned> vectors;
    for (unsigned vector = 0; vector < kVectors; ++vector) {
      if (events_[vector]) vectors.push_back(vector);
    }
    return vectors;
  }
  int event(unsigned vector) {
    const std::scoped_lock lock{mutex_};
    return events_.at(vector).ref().number();
  }
  /// A range of RAM as it was shown, and its file.
  struct Ram {
    vfio::user::DmaMap place;
    Fd file;
    Mapping mapping;
  };
  std::vector<Ram>& ram() { return ram_; }  // between commands
  [[nodiscard]] std::span<std::byte> memory() const { return memory_.bytes(); }

  std::string capabilities{R"({"capabilities": { "max_msg_fds" : 2,"max_data_xfer_size":1048576}})"};
  vfio::user::Version version{.major_number = 0, .minor_number = 1};
  std::uint32_t flags{VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET};
  std::array<std::uint64_t, 8> sizes{4096, 0, 4096, 0, kMemory, 0, 0, 256};
  std::array<std::byte, 256> config_{};
  bool sealed{true};  ///< the file of BAR 4 may be sealed

 private:
  struct Message {
    Header header;
    std::vector<std::byte> payload;
    std::vector<Fd> files;
  };

  bool read_all(std::span<std::byte> bytes, std::vector<Fd>* files) {
    iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(16 * sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    const auto length = static_cast<ssize_t>(bytes.size());
    if (::recvmsg(socket_.ref().number(), &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != length) return false;
    for (auto* each = CMSG_FIRSTHDR(&message); files != nullptr && each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
      const auto count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t index = 0; index < count; ++index) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(each) + index * sizeof number, sizeof number);
        files->push_back(Fd::adopt(number));
      }
    }
    return true;
  }
  std::optional<Message> receive() {
    Message message{};
    if (!read_all(std::as_writable_bytes(std::span{&message.header, 1}), &message.files)) return std::nullopt;
    if (message.header.size < sizeof message.header) return std::nullopt;
    message.payload.resize(message.header.size - sizeof message.header);
    if (!message.payload.empty() && !read_all(message.payload, nullptr)) return std::nullopt;
    return message;
  }
  /// The next command.
  std::optional<Message> next() {
    if (waiting_.empty()) return receive();
    auto first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }
  /// The answer to what the server asked; the client may have said something before it heard that.
  std::optional<Message> receive_answer() {
    for (;;) {
      auto message = receive();
      if (!message || (message->header.flags & Header::kTypes) == Header::kReply) return message;
      waiting_.push_back(std::move(*message));
    }
  }
  void send(Header header, std::span<const std::byte> payload, std::span<const int> files = {}) {
    header.size = static_cast<std::uint32_t>(sizeof header + payload.size());
    std::vector<std::byte> bytes(header.size);
    std::memcpy(bytes.data(), &header, sizeof header);
    std::ranges::copy(payload, bytes.begin() + sizeof header);
    write(bytes, files);
  }
  void write(std::span<std::byte> bytes, std::span<const int> files) {
    iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(16 * sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!files.empty()) {
      message.msg_control = room.data();
      message.msg_controllen = CMSG_SPACE(files.size_bytes());
      auto* const control = CMSG_FIRSTHDR(&message);
      control->cmsg_level = SOL_SOCKET;
      control->cmsg_type = SCM_RIGHTS;
      control->cmsg_len = CMSG_LEN(files.size_bytes());
      std::memcpy(CMSG_DATA(control), files.data(), files.size_bytes());
    }
    (void)::sendmsg(socket_.ref().number(), &message, MSG_NOSIGNAL);
  }

  bool handle(Message& message) {
    Mood mood{};
    {
      const std::scoped_lock lock{mutex_};
      commands_.push_back(message.header.command);
      mood = moods_[message.header.command];
    }
    if (mood == Mood::silent) return true;
    if (mood == Mood::gone) return false;
    if (mood == Mood::rubbish) {
      say("this is no answer to anything");
      return true;
    }
    if (mood == Mood::endless_dma) return endless_dma();
    std::vector<std::byte> answer;
    std::vector<int> files;
    const int error = mood == Mood::refuses ? EPERM : carry_out(message, answer, files);
    Header header{.id = message.header.id, .command = message.header.command, .size = 0, .flags = Header::kReply};
    if (error != 0) {
      header.flags |= Header::kError;
      header.error = static_cast<std::uint32_t>(error);
      answer.clear();
      files.clear();
    }
    misbehave(mood, header, answer, files);
    if (mood == Mood::half_answer || mood == Mood::huge_answer) {
      header.size = mood == Mood::huge_answer ? 0xffffffffU : static_cast<std::uint32_t>(sizeof header + answer.size());
      write(std::as_writable_bytes(std::span{&header, 1}).first(mood == Mood::half_answer ? 9 : sizeof header), {});
      return true;
    }
    send(header, answer, files);
    return true;
  }
  static void misbehave(Mood mood, Header& header, std::vector<std::byte>& answer, std::vector<int>& files) {
    if (mood == Mood::other_id) ++header.id;
    if (mood == Mood::short_answer && answer.empty()) header.command = Command::version;
    if (mood == Mood::short_answer && !answer.empty()) answer.resize(3);
    if (mood == Mood::long_answer) answer.resize(answer.size() + 5000);
    if (mood == Mood::many_files) files.assign(12, 2);
  }
  bool endless_dma() {
    const vfio::user::DmaAccess access{.address = 0, .count = 8};
    for (;;) {
      send({.command = Command::dma_read}, vfio::user::bytes_of(access));
      if (!receive()) return false;
    }
  }

  int carry_out(Message& message, std::vector<std::byte>& answer, std::vector<int>& files) {
    const auto put = [&answer](const auto& value) {
      const auto bytes = vfio::user::bytes_of(value);
      answer.insert(answer.end(), bytes.begin(), bytes.end());
    };
    switch (message.header.command) {
      case Command::version:
        put(version);
        for (const char each : capabilities) answer.push_back(static_cast<std::byte>(each));
        answer.push_back(std::byte{0});
        return 0;
      case Command::get_info:
        put(vfio::user::DeviceInfo{.argsz = 16, .flags = flags, .num_regions = 9, .num_irqs = 5});
        return 0;
      case Command::get_region_info: return describe(message, answer, files);
      case Command::get_irq_info: {
        auto info = vfio::copy_at<vfio_irq_info>(message.payload, 0);
        info.flags = VFIO_IRQ_INFO_EVENTFD;
        info.count = info.index == VFIO_PCI_MSIX_IRQ_INDEX ? kVectors : 0;
        put(info);
        return 0;
      }
      case Command::set_irqs: return set_irqs(message);
      case Command::dma_map: return map(message);
      case Command::dma_unmap: {
        const auto place = vfio::copy_at<vfio::user::DmaUnmap>(message.payload, 0);
        std::erase_if(ram_, [&](const Ram& each) { return each.place.address == place.address; });
        put(place);
        return 0;
      }
      case Command::reset: return 0;
      case Command::region_read:
      case Command::region_write: return access(message, answer);
      default: return EINVAL;
    }
  }

  int describe(const Message& message, std::vector<std::byte>& answer, std::vector<int>& files) {
    const auto asked = vfio::copy_at<vfio_region_info>(message.payload, 0);
    if (asked.index >= sizes.size()) return EINVAL;
    vfio_region_info info{};
    info.index = asked.index;
    info.size = sizes[asked.index];
    info.flags = info.size == 0 ? 0U : VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    vfio_region_info_cap_sparse_mmap sparse{};
    vfio_region_sparse_mmap_area area{};
    info.argsz = sizeof info;
    if (asked.index == 4 && info.size != 0) {
      info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
      info.argsz = sizeof info + sizeof sparse + sizeof area;
      sparse.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
      sparse.header.version = 1;
      sparse.nr_areas = 1;
      area.offset = 4096;
      area.size = kMemory - 4096;
      if (asked.argsz >= info.argsz) info.cap_offset = sizeof info;
      if (!sealed) (void)::fcntl(memory_file_.ref().number(), F_ADD_SEALS, F_SEAL_SEAL);
      files.push_back(memory_file_.ref().number());
    }
    const auto put = [&answer](std::span<const std::byte> bytes) {
      answer.insert(answer.end(), bytes.begin(), bytes.end());
    };
    put(vfio::user::bytes_of(info));
    if (info.cap_offset == 0) return 0;
    put(vfio::user::bytes_of(sparse));
    put(vfio::user::bytes_of(area));
    return 0;
  }

  int set_irqs(Message& message) {
    const auto set = vfio::copy_at<vfio::user::IrqSet>(message.payload, 0);
    if (set.index != VFIO_PCI_MSIX_IRQ_INDEX) return EINVAL;
    const std::scoped_lock lock{mutex_};
    if (set.count == 0) {
      for (auto& event : events_) event.close();
      return 0;
    }
    if (set.start >= kVectors || set.count > kVectors - set.start) return EINVAL;
    if (!message.files.empty() && message.files.size() != set.count) return EINVAL;
    for (unsigned index = 0; index < set.count; ++index) {
      events_[set.start + index] = message.files.empty() ? Fd{} : std::move(message.files[index]);
    }
    return 0;
  }

  int map(Message& message) {
    Ram ram{.place = vfio::copy_at<vfio::user::DmaMap>(message.payload, 0), .file = {}, .mapping = {}};
    if (message.files.size() != 1) return EINVAL;
    ram.file = std::move(message.files.front());
    if (!by_messages_) {
      auto mapping = Mapping::shared(ram.file.ref(), ram.place.offset, ram.place.size, Access::read_write);
      if (!mapping) return EINVAL;
      ram.mapping = std::move(*mapping);
    }
    ram_.push_back(std::move(ram));
    return 0;
  }

  int access(const Message& message, std::vector<std::byte>& answer) {
    const auto asked = vfio::copy_at<vfio::user::RegionAccess>(message.payload, 0);
    if (asked.region >= sizes.size() || !fits(asked.offset, asked.count, sizes[asked.region])) return EINVAL;
    const auto head = vfio::user::bytes_of(asked);
    answer.assign(head.begin(), head.end());
    const auto room = asked.region == 7   ? std::span<std::byte>{config_}
                      : asked.region == 4 ? memory_.bytes()
                                          : std::span<std::byte>{registers_};
    if (!fits(asked.offset, asked.count, room.size())) return EINVAL;
    const auto place = room.subspan(asked.offset, asked.count);
    if (message.header.command == Command::region_read) {
      answer.insert(answer.end(), place.begin(), place.end());
      return 0;
    }
    std::ranges::copy(std::span{message.payload}.subspan(sizeof asked).first(asked.count), place.begin());
    if (asked.region == 0) written(asked.offset);
    return 0;
  }

  void written(std::uint64_t offset) {
    if (offset == kInverse) store(kInverse, ~load<std::uint32_t>(kInverse));
    if (offset == kIdentity) store(kIdentity, std::uint32_t{0x010000ed});
    if (offset == kRaise) raise(load<std::uint32_t>(kRaise));
    if (offset == kStart && load<std::uint32_t>(kStart) == 1) copy();
    if (offset == kStart && load<std::uint32_t>(kStart) == 2) later_ = true;
  }
  template <class T>
  T load(std::uint64_t offset) const {
    return vfio::copy_at<T>(registers_, offset);
  }
  template <class T>
  void store(std::uint64_t offset, T value) {
    std::memcpy(registers_.data() + offset, &value, sizeof value);
  }
  void raise(unsigned vector) {
    const std::scoped_lock lock{mutex_};
    if (vector < kVectors && events_[vector]) signal_eventfd(events_[vector].ref());
  }

  void copy() {
    const auto count = load<std::uint32_t>(kCount);
    std::vector<std::byte> bytes(std::min<std::size_t>(count, 1U << 20U));
    const bool done = dma(Command::dma_read, load<std::uint64_t>(kSource), bytes) &&
                      dma(Command::dma_write, load<std::uint64_t>(kTarget), bytes);
    store(kStatus, done ? 0U : static_cast<std::uint32_t>(EFAULT));
    store(kStart, std::uint32_t{0});
    raise(1);
  }
  bool dma(Command command, std::uint64_t address, std::span<std::byte> bytes) {
    if (by_messages_) return dma_by_message(command, address, bytes);
    for (const auto& ram : ram_) {
      if (address < ram.place.address || !fits(address - ram.place.address, bytes.size(), ram.place.size)) continue;
      const auto place = ram.mapping.bytes().subspan(address - ram.place.address, bytes.size());
      if (command == Command::dma_read) std::ranges::copy(place, bytes.begin());
      if (command == Command::dma_write) std::ranges::copy(bytes, place.begin());
      return true;
    }
    return false;
  }
  // The client answers at once, whatever it waits for.
  bool dma_by_message(Command command, std::uint64_t address, std::span<std::byte> bytes) {
    const vfio::user::DmaAccess access{.address = address, .count = bytes.size()};
    std::vector<std::byte> payload(sizeof access);
    std::memcpy(payload.data(), &access, sizeof access);
    if (command == Command::dma_write) payload.insert(payload.end(), bytes.begin(), bytes.end());
    send({.id = 0x7777, .command = command}, payload);
    const auto answer = receive_answer();
    if (!answer || answer->header.id != 0x7777 || (answer->header.flags & Header::kError) != 0) return false;
    const auto wanted = sizeof access + (command == Command::dma_read ? bytes.size() : 0);
    if (answer->payload.size() != wanted) return false;
    if (command == Command::dma_read) {
      std::ranges::copy(std::span{answer->payload}.subspan(sizeof access), bytes.begin());
    }
    return true;
  }

  Fd socket_;
  bool by_messages_;
  bool later_{};
  std::deque<Message> waiting_;
  std::array<std::byte, 4096> registers_{std::byte{0xed}, std::byte{0}, std::byte{0}, std::byte{1}};
  Fd memory_file_ = make_memfd("user-edu", kMemory).value();
  Mapping memory_ = Mapping::shared(memory_file_.ref(), 0, kMemory, Access::read_write).value();
  std::vector<Ram> ram_;
  std::mutex mutex_;
  std::map<Command, Mood> moods_;
  std::vector<Command> commands_;
  std::array<Fd, kVectors> events_;
  std::jthread thread_;
};

}  // namespace pcivm::test
