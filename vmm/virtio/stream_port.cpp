// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/stream_port.hpp"

#include <endian.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "vmm/virtio/chain.hpp"
#include "vmm/virtio/net_uapi.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kInbox = 2 * (FramePort::kLongest + 4);  // the longest frame, and many of the usual ones
constexpr std::array<std::byte, net_uapi::kHeader> kNoHeader{};

}  // namespace

StreamPort::StreamPort(Fd stream, std::function<void(const Error&)> lost)
    : stream_{std::move(stream)}, lost_{std::move(lost)}, inbox_(kInbox) {}

std::optional<std::size_t> StreamPort::receive(std::span<const iovec> to, std::size_t room) {
  while (!gone()) {
    const auto data = came();
    std::size_t length = 0;
    if (data.size() >= kPrefix) {
      std::uint32_t prefix{};
      std::memcpy(&prefix, data.data(), sizeof prefix);
      length = be32toh(prefix);
      if (length == 0 || length > kLongest - net_uapi::kHeader) {
        lose(Error::make(Errc::invalid, fmt::format("a frame of {} bytes came, 1 to {} wanted", length,
                                                    kLongest - net_uapi::kHeader)));
        return std::nullopt;
      }
      if (data.size() >= kPrefix + length) {
        if (kNoHeader.size() + length > room) return kNoHeader.size() + length;
        copy_to(to, 0, kNoHeader);
        copy_to(to, kNoHeader.size(), data.subspan(kPrefix, length));
        first_ += kPrefix + length;
        return kNoHeader.size() + length;
      }
    }
    if (!fill()) return std::nullopt;
  }
  return std::nullopt;
}

// False: nothing came.
bool StreamPort::fill() {
  std::copy(inbox_.begin() + static_cast<std::ptrdiff_t>(first_), inbox_.begin() + static_cast<std::ptrdiff_t>(end_),
            inbox_.begin());
  end_ -= std::exchange(first_, 0);
  const auto count = read_some(stream_.ref(), std::span{inbox_}.subspan(end_));
  if (count && *count != 0) {
    end_ += *count;
    return true;
  }
  failed(count ? ECONNRESET : count.error().sys_errno(), "read");
  return false;
}

bool StreamPort::can_send() {
  while (!gone() && sent_ < rest_.size()) {
    const auto count = write_some(stream_.ref(), std::span{rest_}.subspan(sent_));
    if (!count) failed(count.error().sys_errno(), "write");
    if (!count && !gone()) return false;
    if (count) sent_ += *count;
  }
  rest_.clear();
  sent_ = 0;
  return true;
}

// The kernel reads the guest's buffers. What it has no room for is copied: the process reads a frame to its end before
// it looks at another.
void StreamPort::send(std::span<const iovec> frame) {
  parts_.assign(frame.begin(), frame.end());
  drop_front(parts_, net_uapi::kHeader);
  const auto length = total_length(parts_);
  if (gone() || length < kShortestSent || length > kLongestSent) return;
  auto prefix = htobe32(static_cast<std::uint32_t>(length));
  parts_.insert(parts_.begin(), iovec{.iov_base = &prefix, .iov_len = sizeof prefix});
  ssize_t count = 0;
  while ((count = ::writev(stream_.ref().number(), parts_.data(), static_cast<int>(parts_.size()))) < 0) {
    if (errno == EINTR) continue;
    failed(errno, "write");
    if (gone()) return;
    count = 0;
    break;
  }
  drop_front(parts_, static_cast<std::uint64_t>(count));
  for (const auto& part : parts_) {
    const auto* const bytes = static_cast<const std::byte*>(part.iov_base);
    rest_.insert(rest_.end(), bytes, bytes + part.iov_len);
  }
}

void StreamPort::failed(int error, std::string_view call) {
  if (error == EAGAIN || error == ENOBUFS || error == ENOMEM) return;
  const bool left = error == EPIPE || error == ECONNRESET;
  lose(left ? Error::make(Errc::kernel, "the process that carries its frames is gone")
            : Error::from_errno(error, std::string{call} + " on the socket of the process that carries its frames"));
}

// The process sees the end of the stream as well.
void StreamPort::lose(const Error& why) {
  stream_.close();
  lost_(why);
}

}  // namespace pcivm::vmm
