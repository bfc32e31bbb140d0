// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/user_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/socket.hpp"
#include "vfio/info_chain.hpp"

namespace pcivm::vfio {

using user::bytes_of;
using user::Command;
using user::Header;

namespace {

constexpr std::uint16_t kMajor = 0;
constexpr std::uint16_t kMinor = 1;
constexpr std::size_t kMostVersion = 4096;
constexpr std::uint32_t kLeastTransfer = 8;  // a register
constexpr std::uint32_t kMostTransfer = 1U << 20U;

/// The number behind a key, wherever in the text it is: a server that hides it says some other number.
std::optional<std::uint32_t> number_of(std::string_view json, std::string_view key) {
  constexpr std::string_view kBlanks{" \t\r\n"};
  const auto quoted = fmt::format("\"{}\"", key);
  auto at = json.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  at = json.find_first_not_of(kBlanks, at + quoted.size());
  if (at == std::string_view::npos || json[at] != ':') return std::nullopt;
  at = json.find_first_not_of(kBlanks, at + 1);
  if (at == std::string_view::npos) return std::nullopt;
  const auto end = json.find_first_not_of("0123456789", at);
  const auto number = parse_decimal<std::uint64_t>(json.substr(at, end == std::string_view::npos ? end : end - at));
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(*number, ~std::uint32_t{0}));
}

std::vector<std::byte> message_of(Header header, std::span<const std::byte> payload, std::span<const std::byte> data) {
  header.size = static_cast<std::uint32_t>(sizeof header + payload.size() + data.size());
  std::vector<std::byte> message;
  message.reserve(header.size);
  for (const auto part : {bytes_of(header), payload, data}) message.insert(message.end(), part.begin(), part.end());
  return message;
}

}  // namespace

UserClient::UserClient(Fd socket, std::string name, Milliseconds patience)
    : socket_{std::move(socket)}, name_{std::move(name)}, patience_{patience} {}

UserClient::~UserClient() {
  if (end_) signal_eventfd(end_.ref());
}

std::unexpected<Error> UserClient::lost(Error why) {
  if (!loss_) {
    loss_ = std::move(why);
    (void)::shutdown(socket_.ref().number(), SHUT_RDWR);
    if (alarm_) signal_eventfd(alarm_.ref());
  }
  return fail(*loss_);
}

std::optional<Error> UserClient::loss() const {
  const std::scoped_lock lock{mutex_};
  return loss_ ? std::optional{Error{*loss_}.within(name_)} : std::nullopt;
}

Result<void> UserClient::set_alarm(FdRef event) {
  const std::scoped_lock lock{mutex_};
  if (loss_) return fail(*loss_);
  alarm_ = event.number() < 0 ? Fd{} : Fd::adopt(::fcntl(event.number(), F_DUPFD_CLOEXEC, 0));
  return {};
}

Result<void> UserClient::negotiate() {
  const user::Version ours{.major_number = kMajor, .minor_number = kMinor};
  const auto json = fmt::format(R"({{"capabilities":{{"max_msg_fds":{},"max_data_xfer_size":{}}}}})",
                                Packet::kMostFiles, kMostTransfer);
  const std::span text{json.c_str(), json.size() + 1};
  const auto reply = TRY(call(Command::version, bytes_of(ours), sizeof ours, kMostVersion, {}, std::as_bytes(text)));
  const std::scoped_lock lock{mutex_};
  const auto theirs = copy_at<user::Version>(reply.payload, 0);
  if (theirs.major_number != kMajor || theirs.minor_number > kMinor) {
    return lost(Error::make(Errc::kernel, fmt::format("the server speaks version {}.{}, wanted {}.{} or before",
                                                      theirs.major_number, theirs.minor_number, kMajor, kMinor)));
  }
  std::string said(reply.payload.size() - sizeof theirs, '\0');
  std::memcpy(said.data(), reply.payload.data() + sizeof theirs, said.size());
  const user::Limits unsaid;
  limits_ = {
      .transfer = std::min(number_of(said, "max_data_xfer_size").value_or(unsaid.transfer), kMostTransfer),
      .files = std::min<std::uint32_t>(number_of(said, "max_msg_fds").value_or(unsaid.files), Packet::kMostFiles)};
  if (limits_.transfer < kLeastTransfer || limits_.files == 0) {
    return lost(
        Error::make(Errc::kernel, fmt::format("the server takes {} bytes and {} descriptors in a message, wanted "
                                              "{} and 1 at least",
                                              limits_.transfer, limits_.files, kLeastTransfer)));
  }
  return {};
}

Result<void> UserClient::listen() {
  end_ = TRY(make_eventfd());
  listener_ = std::jthread{[this] { listen_to_server(); }};
  return {};
}

// Woken by answers too, which whoever asked has taken by the time that the lock is free.
void UserClient::listen_to_server() {
  for (;;) {
    std::array<pollfd, 2> entries{pollfd{.fd = socket_.ref().number(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = end_.ref().number(), .events = POLLIN, .revents = 0}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) return;
    if (entries[1].revents != 0) return;
    const std::scoped_lock lock{mutex_};
    if (loss_) return;
    if (::poll(entries.data(), 1, 0) <= 0) continue;
    const auto until = deadline();
    const auto message = receive(kMostTransfer + sizeof(user::DmaAccess), until);
    if (!message || !serve(*message, until)) return;
  }
}

Result<UserClient::Reply> UserClient::call(Command command, std::span<const std::byte> payload, std::size_t least,
                                           std::size_t most, std::span<const FdRef> files,
                                           std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  return exchange(command, payload, least, most, files, data);
}

Result<UserClient::Reply> UserClient::exchange(Command command, std::span<const std::byte> payload, std::size_t least,
                                               std::size_t most, std::span<const FdRef> files,
                                               std::span<const std::byte> data) {
  if (loss_) return fail(*loss_);
  const auto until = deadline();
  const Header header{.id = next_id_++, .command = command, .size = 0, .flags = Header::kCommand, .error = 0};
  TRY(send(message_of(header, payload, data), files, until));
  for (;;) {
    auto message = TRY(receive(std::max(most, kMostTransfer + sizeof(user::DmaAccess)), until));
    const auto& answer = message.header;
    if ((answer.flags & Header::kTypes) == Header::kCommand) {
      TRY(serve(message, until));
      // One that wants DMA without end is no better than one that is silent.
      if (std::chrono::steady_clock::now() > until) TRY(await(POLLIN, until));
      continue;
    }
    const auto number = static_cast<unsigned>(command);
    if ((answer.flags & Header::kTypes) != Header::kReply || answer.id != header.id || answer.command != command) {
      return lost(Error::make(
          Errc::kernel,
          fmt::format("the server answers command {} ({}) with {} ({}), flags {:#x}", number, unsigned{header.id},
                      static_cast<unsigned>(answer.command), unsigned{answer.id}, answer.flags)));
    }
    if ((answer.flags & Header::kError) != 0) {
      const int reason = answer.error == 0 || answer.error > 4095 ? EIO : static_cast<int>(answer.error);
      return fail_errno(reason, fmt::format("the server refuses command {}", number));
    }
    const auto size = message.content.payload.size();
    if (size >= least && size <= most) return std::move(message.content);
    return lost(Error::make(Errc::kernel, fmt::format("the server answers command {} with {} bytes, wanted {} to {}",
                                                      number, size, least, most)));
  }
}

// DMA by messages; nothing else is for a server to ask.
Result<void> UserClient::serve(const Message& message, Deadline until) {
  const auto& header = message.header;
  const bool reads = header.command == Command::dma_read;
  if ((header.flags & Header::kTypes) != Header::kCommand || (!reads && header.command != Command::dma_write)) {
    return lost(Error::make(Errc::kernel, fmt::format("the server says what nobody asked for: command {}, flags {:#x}",
                                                      static_cast<unsigned>(header.command), header.flags)));
  }
  const auto& payload = message.content.payload;
  const auto access = copy_at<user::DmaAccess>(payload, 0);
  const auto wanted = sizeof access + (reads ? 0 : access.count);
  if (access.count > kMostTransfer || payload.size() != wanted) {
    return lost(Error::make(Errc::kernel, fmt::format("the server wants DMA of {} bytes in a message of {}",
                                                      access.count, payload.size())));
  }
  const auto memory = memory_at(access);
  if (!reads && !memory.empty()) std::ranges::copy(std::span{payload}.subspan(sizeof access), memory.begin());
  if ((header.flags & Header::kNoReply) != 0) return {};
  Header answer{.id = header.id, .command = header.command, .size = 0, .flags = Header::kReply, .error = 0};
  if (memory.empty()) {
    answer.flags |= Header::kError;
    answer.error = EFAULT;
    return send(message_of(answer, {}, {}), {}, until);
  }
  return send(message_of(answer, bytes_of(access), reads ? memory : std::span<std::byte>{}), {}, until);
}

std::span<std::byte> UserClient::memory_at(const user::DmaAccess& access) const {
  for (const auto& run : memory_) {
    if (access.address < run.iova.value || !fits(access.address - run.iova.value, access.count, run.length)) continue;
    auto* const base = std::bit_cast<std::byte*>(run.hva.value);
    return std::span{base, run.length}.subspan(access.address - run.iova.value, access.count);
  }
  return {};
}

Result<void> UserClient::map(const DmaRun& run) {
  if (run.file < 0) return fail(Errc::internal, "RAM that cannot be shared");
  const std::scoped_lock lock{mutex_};
  if (loss_) return fail(*loss_);
  memory_.push_back(run);
  const user::DmaMap request{.argsz = sizeof request,
                             .flags = user::DmaMap::kReadable | user::DmaMap::kWriteable,
                             .offset = run.file_offset,
                             .address = run.iova.value,
                             .size = run.length};
  const std::array files{FdRef{run.file}};
  auto mapped = exchange(Command::dma_map, bytes_of(request), 0, 0, files, {});
  if (mapped) return {};
  return lost(std::move(mapped).error().within(fmt::format("show it RAM {:#x}+{:#x}", run.iova.value, run.length)));
}

Result<void> UserClient::unmap(Iova iova, std::uint64_t length) {
  const std::scoped_lock lock{mutex_};
  std::erase_if(memory_, [&](const DmaRun& run) { return run.iova == iova && run.length == length; });
  const user::DmaUnmap request{.argsz = sizeof request, .flags = 0, .address = iova.value, .size = length};
  auto unmapped = exchange(Command::dma_unmap, bytes_of(request), sizeof request, sizeof request, {}, {});
  if (unmapped) return {};
  return lost(std::move(unmapped).error().within(fmt::format("take RAM {:#x}+{:#x} back", iova.value, length)));
}

Result<void> UserClient::await(short events, Deadline until) {
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now());
    pollfd entry{.fd = socket_.ref().number(), .events = events, .revents = 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&entry, 1, static_cast<int>(left.count()));
    if (ready > 0) return {};
    if (ready == 0) return lost(Error::make(Errc::timeout, "the server does not answer"));
    if (errno != EINTR) return lost(Error::from_errno(errno, "poll"));
  }
}

Result<void> UserClient::send(std::span<const std::byte> message, std::span<const FdRef> files, Deadline until) {
  while (!message.empty()) {
    auto sent = send_some(socket_.ref(), message, files);
    if (!sent && sent.error().sys_errno() == EAGAIN) {
      TRY(await(POLLOUT, until));
      continue;
    }
    if (!sent) return lost(std::move(sent).error());
    message = message.subspan(*sent);
    files = {};
  }
  return {};
}

Result<UserClient::Message> UserClient::receive(std::size_t most, Deadline until) {
  Message message;
  auto& files = message.content.files;
  TRY(read_all(std::as_writable_bytes(std::span{&message.header, 1}), files, until));
  const auto size = message.header.size;
  if (size < sizeof message.header || size - sizeof message.header > most) {
    return lost(Error::make(Errc::kernel, fmt::format("the server sends a message of {} bytes, wanted {} to {}", size,
                                                      sizeof message.header, sizeof message.header + most)));
  }
  message.content.payload.resize(size - sizeof message.header);
  TRY(read_all(message.content.payload, files, until));
  return message;
}

Result<void> UserClient::read_all(std::span<std::byte> bytes, std::vector<Fd>& files, Deadline until) {
  while (!bytes.empty()) {
    auto count = receive_some(socket_.ref(), bytes, files);
    if (!count && count.error().sys_errno() == EAGAIN) {
      TRY(await(POLLIN, until));
      continue;
    }
    if (!count) return lost(std::move(count).error());
    if (*count == 0) return lost(Error::make(Errc::kernel, "the server has closed the connection"));
    if (files.size() > Packet::kMostFiles) return lost(Error::make(Errc::invalid, "the server sends too many files"));
    bytes = bytes.subspan(*count);
  }
  return {};
}

}  // namespace pcivm::vfio
