// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_violation.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <thread>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/parse.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kSeccompRecord{"audit: type=1326 "};
constexpr int kTries = 10;  // the record is printed by a thread of the kernel
constexpr std::chrono::milliseconds kPause{20};
constexpr std::size_t kLongestRecord = 8192;

/// Of `pid=12 comm="vcpu"` what is behind "key=", up to a space; without quotes.
std::string_view value_of(std::string_view record, std::string_view key) {
  const auto at = record.find(fmt::format(" {}=", key));
  if (at == std::string_view::npos) return {};
  auto value = record.substr(at + key.size() + 2);
  value = value.substr(0, value.find_first_of(" \n"));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return value;
}

std::optional<Violation> latest(pid_t process) {
  const auto file = open_path("/dev/kmsg", O_RDONLY | O_NONBLOCK);
  if (!file) return std::nullopt;
  std::optional<Violation> found;
  std::array<std::byte, kLongestRecord> bytes{};
  for (;;) {
    const auto count = read_some(file->ref(), bytes);             // one record
    if (!count && count.error().sys_errno() == EPIPE) continue;  // what came next was overwritten meanwhile
    if (!count || *count == 0) return found;
    std::string record;
    for (const auto byte : std::span{bytes}.first(*count)) record += static_cast<char>(byte);
    if (auto violation = violation_in(record, process)) found = std::move(violation);
  }
}

}  // namespace

std::optional<Violation> violation_in(std::string_view record, pid_t process) {
  if (!record.contains(kSeccompRecord) || value_of(record, "pid") != fmt::to_string(process)) return std::nullopt;
  const auto number = parse_decimal<unsigned>(value_of(record, "syscall"));
  if (!number) return std::nullopt;
  const auto name = vmm::system_call_name(*number);
  return Violation{.call = name.empty() ? fmt::to_string(*number) : std::string{name},
                   .thread = std::string{value_of(record, "comm")}};
}

std::optional<Violation> logged_violation(pid_t process) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (auto found = latest(process)) return found;
    std::this_thread::sleep_for(kPause);
  }
  return std::nullopt;
}

}  // namespace pcivm::cli
