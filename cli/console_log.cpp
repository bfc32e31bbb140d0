// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/console_log.hpp"

namespace pcivm::cli {

void ConsoleLog::append(std::span<const std::byte> data) {
  for (const auto byte : data) {
    if (bytes_.size() < capacity_) {
      bytes_.push_back(byte);
    } else {
      bytes_[end_ % capacity_] = byte;
    }
    ++end_;
  }
}

std::span<const std::byte> ConsoleLog::from(std::uint64_t position) const {
  if (position >= end_) return {};
  const auto at = static_cast<std::size_t>(position % capacity_);
  const auto length = std::min<std::uint64_t>(end_ - position, bytes_.size() - at);
  return std::span{bytes_}.subspan(at, static_cast<std::size_t>(length));
}

std::string ConsoleLog::text() const {
  std::string text;
  for (auto position = begin(); position < end_;) {
    const auto part = from(position);
    for (const auto byte : part) text += static_cast<char>(byte);
    position += part.size();
  }
  return text;
}

}  // namespace pcivm::cli
