// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/vhost_user.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/socket.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

enum Request : std::uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemory = 5,
  kSetSize = 8,
  kSetAddresses = 9,
  kSetBase = 10,
  kGetBase = 11,
  kSetKick = 12,
  kSetCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kEnable = 18,
};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kVersionMask = 3;
constexpr std::uint32_t kIsAnswer = 4;
constexpr std::uint32_t kWantsAnswer = 8;
constexpr unsigned kProtocolFeatures = 30;  // among the virtio features
constexpr unsigned kAcknowledge = 3;        // among those of the protocol
constexpr std::size_t kMostRegions = 8;

struct Header {
  std::uint32_t request;
  std::uint32_t flags;
  std::uint32_t length;
};
struct Region {
  std::uint64_t gpa;
  std::uint64_t length;
  std::uint64_t hva;
  std::uint64_t offset;
};
struct Memory {
  std::uint32_t count;
  std::uint32_t padding;
  Region regions[kMostRegions];
};
struct State {
  std::uint32_t index;
  std::uint32_t value;
};
struct Addresses {
  std::uint32_t index;
  std::uint32_t flags;
  std::uint64_t descriptors;
  std::uint64_t used;
  std::uint64_t available;
  std::uint64_t log;
};

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span{&value, 1});
}

std::uint64_t host_address(std::span<std::byte> bytes) { return std::bit_cast<std::uint64_t>(bytes.data()); }

Result<void> set_patience(FdRef socket, std::chrono::milliseconds patience) {
  const timeval time{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(socket.number(), SOL_SOCKET, option, &time, sizeof time) != 0)
      return fail_errno(errno, "setsockopt");
  }
  return {};
}

}  // namespace

Result<Fd> connect_vhost_user(const std::string& path) {
  auto socket = connect_to(path);
  if (socket || socket.error().kind() == Errc::invalid) return socket;
  return fail(std::move(socket).error().advise("the daemon must run first: virtiofsd --socket-path=" + path +
                                               " --shared-dir=FOLDER"));
}

Result<std::unique_ptr<VhostUser>> VhostUser::adopt(Fd socket, const GuestMemory& memory,
                                                    std::chrono::milliseconds patience) {
  TRY(set_patience(socket.ref(), patience));
  std::unique_ptr<VhostUser> user{new VhostUser{std::move(socket), memory}};
  TRY(user->negotiate());
  return user;
}

Result<void> VhostUser::negotiate() {
  const std::scoped_lock lock{mutex_};
  features_ = TRY(get_number(kGetFeatures));
  if (!virtio_features::has(features_, kProtocolFeatures)) {
    return lost(Error::make(Errc::kernel, "the daemon knows no features of the protocol"));
  }
  const auto known = TRY(get_number(kGetProtocolFeatures));
  const auto taken = known & virtio_features::bit(kAcknowledge);
  TRY(set(kSetProtocolFeatures, bytes_of(taken)));
  acknowledged_ = taken != 0;
  return set(kSetOwner, {});
}

Result<void> VhostUser::configure(std::uint64_t features) {
  const std::scoped_lock lock{mutex_};
  const auto taken = (features & features_) | virtio_features::bit(kProtocolFeatures);
  TRY(set(kSetFeatures, bytes_of(taken)));
  return share_memory();
}

Result<void> VhostUser::share_memory() {
  Memory table{};
  std::vector<int> files;
  for (const auto& region : memory_.regions()) {
    if (region.kind != MemoryKind::ram && region.kind != MemoryKind::blocks) continue;
    if (region.file < 0 || table.count == kMostRegions) return fail(Errc::internal, "RAM that cannot be shared");
    table.regions[table.count++] = {
        .gpa = region.gpa.value, .length = region.length, .hva = region.hva.value, .offset = 0};
    files.push_back(region.file);
  }
  const auto length = offsetof(Memory, regions) + table.count * sizeof(Region);
  return set(kSetMemory, bytes_of(table).first(length), files);
}

// The daemon follows the ring by addresses of this process, inside of what it was shown.
Result<void> VhostUser::start_queue(unsigned index, const VirtioQueueSetup& setup, FdRef doorbell, FdRef interrupt) {
  if (!std::has_single_bit(setup.size) || !is_aligned(setup.descriptors.value, 16) ||
      !is_aligned(setup.driver.value, 2) || !is_aligned(setup.device.value, 4)) {
    return fail(Errc::invalid, "a queue of an odd size or place");
  }
  const Addresses addresses{.index = index,
                            .flags = 0,
                            .descriptors = host_address(TRY(memory_.window(setup.descriptors, 16ULL * setup.size))),
                            .used = host_address(TRY(memory_.window(setup.device, 6 + 8ULL * setup.size))),
                            .available = host_address(TRY(memory_.window(setup.driver, 6 + 2ULL * setup.size))),
                            .log = 0};
  const State size{.index = index, .value = setup.size};
  const State base{.index = index, .value = 0};
  const State enable{.index = index, .value = 1};
  const std::uint64_t file = index;
  const std::array kick{doorbell.number()};
  const std::array call{interrupt.number()};
  const std::scoped_lock lock{mutex_};
  TRY(set(kSetSize, bytes_of(size)));
  TRY(set(kSetBase, bytes_of(base)));
  TRY(set(kSetAddresses, bytes_of(addresses)));
  TRY(set(kSetCall, bytes_of(file), call));
  TRY(set(kSetKick, bytes_of(file), kick));
  return set(kEnable, bytes_of(enable));
}

Result<void> VhostUser::stop_queue(unsigned index) {
  const std::scoped_lock lock{mutex_};
  const State wanted{.index = index, .value = 0};
  State stopped{};
  return get(kGetBase, bytes_of(wanted), std::as_writable_bytes(std::span{&stopped, 1}));
}

std::optional<Error> VhostUser::loss() {
  const std::unique_lock lock{mutex_, std::try_to_lock};
  if (!lock) return std::nullopt;  // whoever waits for an answer finds out
  std::byte byte{};
  const auto count = ::recv(socket_.ref().number(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (!loss_ && count == 0) (void)lost(Error::make(Errc::kernel, "the daemon has closed the connection"));
  if (!loss_ && count > 0) (void)lost(Error::make(Errc::kernel, "the daemon says what nobody asked for"));
  if (!loss_ && errno != EAGAIN && errno != EINTR) (void)lost(Error::from_errno(errno, "recv"));
  return loss_;
}

std::unexpected<Error> VhostUser::lost(Error why) {
  if (!loss_) loss_ = std::move(why);
  return fail(*loss_);
}

Result<void> VhostUser::set(std::uint32_t request, std::span<const std::byte> payload, std::span<const int> files) {
  TRY(send(request, acknowledged_ ? kWantsAnswer : 0U, payload, files));
  if (!acknowledged_) return {};
  std::uint64_t outcome = 0;
  TRY(receive(request, std::as_writable_bytes(std::span{&outcome, 1})));
  if (outcome == 0) return {};
  return fail(Errc::kernel, fmt::format("the daemon refuses request {} ({})", request, outcome));
}

Result<void> VhostUser::get(std::uint32_t request, std::span<const std::byte> payload, std::span<std::byte> answer) {
  TRY(send(request, 0, payload, {}));
  return receive(request, answer);
}

Result<std::uint64_t> VhostUser::get_number(std::uint32_t request) {
  std::uint64_t number = 0;
  TRY(get(request, {}, std::as_writable_bytes(std::span{&number, 1})));
  return number;
}

// A message is far smaller than the socket's buffer, so it goes whole or not at all.
Result<void> VhostUser::send(std::uint32_t request, std::uint32_t flags, std::span<const std::byte> payload,
                             std::span<const int> files) {
  if (loss_) return fail(*loss_);
  const Header header{
      .request = request, .flags = kVersion | flags, .length = static_cast<std::uint32_t>(payload.size())};
  std::vector<std::byte> bytes(sizeof header + payload.size());
  std::ranges::copy(bytes_of(header), bytes.begin());
  std::ranges::copy(payload, bytes.begin() + sizeof header);
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMostRegions * sizeof(int))> room{};
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
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.ref().number(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  if (sent < 0 && errno != EAGAIN) return lost(Error::from_errno(errno, fmt::format("vhost-user request {}", request)));
  return lost(Error::make(Errc::timeout, fmt::format("the daemon does not take request {}", request)));
}

Result<void> VhostUser::receive(std::uint32_t request, std::span<std::byte> answer) {
  Header header{};
  TRY(read_all(std::as_writable_bytes(std::span{&header, 1})));
  if (header.request != request || (header.flags & kVersionMask) != kVersion || (header.flags & kIsAnswer) == 0 ||
      header.length != answer.size()) {
    return lost(Error::make(Errc::kernel,
                            fmt::format("the daemon answers request {} with {}, flags {:#x}, {} bytes; {} bytes wanted",
                                        request, header.request, header.flags, header.length, answer.size())));
  }
  return read_all(answer);
}

Result<void> VhostUser::read_all(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = ::recv(socket_.ref().number(), bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return lost(Error::make(Errc::kernel, "the daemon has closed the connection"));
    if (count < 0 && errno == EAGAIN) return lost(Error::make(Errc::timeout, "the daemon does not answer"));
    if (count < 0) return lost(Error::from_errno(errno, "recv"));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace pcivm::vmm
