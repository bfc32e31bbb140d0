// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/chain.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kLongest = 0xffffffff;

std::span<std::byte> bytes_of(const iovec& part) { return {static_cast<std::byte*>(part.iov_base), part.iov_len}; }
iovec part_of(std::span<std::byte> bytes) { return {.iov_base = bytes.data(), .iov_len = bytes.size()}; }

}  // namespace

ChainBuilder::ChainBuilder(const GuestMemory& memory, VirtioChain& chain, unsigned most)
    : memory_{memory}, chain_{chain}, most_{most} {
  chain_.readable.clear();
  chain_.writable.clear();
  chain_.readable_bytes = chain_.writable_bytes = 0;
}

Result<void> ChainBuilder::add(std::uint64_t address, std::uint32_t length, std::uint16_t flags) {
  if (chain_.readable.size() + chain_.writable.size() == most_) {
    return fail(Errc::invalid, fmt::format("a chain of more than {} buffers", most_));
  }
  if (length == 0) return fail(Errc::invalid, "a buffer of no bytes");
  if (chain_.readable_bytes + chain_.writable_bytes + length > kLongest) {
    return fail(Errc::invalid, "a chain of 4 GiB or more");
  }
  const auto part = part_of(TRY(memory_.window(Gpa{address}, length)));
  if ((flags & kDescriptorWrite) != 0) {
    chain_.writable.push_back(part);
    chain_.writable_bytes += length;
  } else if (chain_.writable.empty()) {
    chain_.readable.push_back(part);
    chain_.readable_bytes += length;
  } else {
    return fail(Errc::invalid, "a readable buffer after a writable one");
  }
  return {};
}

bool ChainReader::read(std::span<std::byte> data) {
  if (data.size() > left_) return false;
  left_ -= data.size();
  while (!data.empty()) {
    const auto from = bytes_of(parts_.front()).subspan(offset_);
    const auto count = std::min(from.size(), data.size());
    std::memcpy(data.data(), from.data(), count);
    data = data.subspan(count);
    offset_ += count;
    if (count == from.size()) {
      parts_ = parts_.subspan(1);
      offset_ = 0;
    }
  }
  return true;
}

void ChainReader::rest(std::vector<iovec>& parts) const {
  auto offset = offset_;
  for (const auto& part : parts_) {
    parts.push_back(part_of(bytes_of(part).subspan(offset)));
    offset = 0;
  }
}

std::span<std::byte> ChainWriter::front(std::uint64_t length) {
  auto to = bytes_of(parts_.front()).subspan(offset_);
  const auto whole = to.size();
  to = to.first(std::min<std::uint64_t>(length, whole));
  offset_ += to.size();
  if (to.size() == whole) {
    parts_ = parts_.subspan(1);
    offset_ = 0;
  }
  left_ -= to.size();
  written_ += static_cast<std::uint32_t>(to.size());
  return to;
}

std::size_t ChainWriter::write(std::span<const std::byte> data) {
  const auto wanted = std::min<std::uint64_t>(data.size(), left_);
  data = data.first(wanted);
  while (!data.empty()) {
    const auto to = front(data.size());
    std::memcpy(to.data(), data.data(), to.size());
    data = data.subspan(to.size());
  }
  return wanted;
}

void ChainWriter::reserve(std::uint64_t length, std::vector<iovec>& parts) {
  for (length = std::min(length, left_); length != 0;) {
    const auto to = front(length);
    parts.push_back(part_of(to));
    length -= to.size();
  }
}

void copy_to(std::span<const iovec> parts, std::uint64_t offset, std::span<const std::byte> data) {
  for (const auto& part : parts) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const auto to = bytes_of(part).subspan(offset);
    const auto count = std::min(to.size(), data.size());
    std::memcpy(to.data(), data.data(), count);
    data = data.subspan(count);
    offset = 0;
    if (data.empty()) return;
  }
}

bool put_at(const VirtioChain& chain, std::uint64_t offset, std::span<const std::byte> data) {
  if (!fits(offset, data.size(), chain.writable_bytes)) return false;
  copy_to(chain.writable, offset, data);
  return true;
}

void drop_front(std::vector<iovec>& parts, std::uint64_t length) {
  auto first = parts.begin();
  for (; first != parts.end() && length >= first->iov_len; ++first) length -= first->iov_len;
  if (first != parts.end() && length != 0) *first = part_of(bytes_of(*first).subspan(length));
  parts.erase(parts.begin(), first);
}

std::uint64_t total_length(std::span<const iovec> parts) {
  std::uint64_t sum = 0;
  for (const auto& part : parts) sum += part.iov_len;
  return sum;
}

}  // namespace pcivm::vmm
