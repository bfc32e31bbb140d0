// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of the memory that guests are made of: free, huge, and on which node.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::uint64_t kKib = 1024;
constexpr std::string_view kNodes = "/sys/devices/system/node";

std::vector<std::string> nodes_of(const HostFacts& host) {
  auto names = host.names(std::string{kNodes});
  std::erase_if(names, [](const std::string& name) {
    return !name.starts_with("node") || !parse_decimal<unsigned>(std::string_view{name}.substr(4));
  });
  return names;
}

/// Value of "KEY:  123 kB" (also after "Node 0 ") in bytes.
std::optional<std::uint64_t> meminfo(const std::string& text, std::string_view key) {
  for (const auto& line : lines_of(text)) {
    const auto words = words_of(line);
    const auto found = std::ranges::find(words, fmt::format("{}:", key));
    if (found == words.end() || found + 1 == words.end()) continue;
    if (const auto kib = parse_decimal<std::uint64_t>(*(found + 1))) return *kib * kKib;
  }
  return std::nullopt;
}

Verdicts free_memory(const HostFacts& host) {
  const auto available = meminfo(host.text("/proc/meminfo"), "MemAvailable");
  if (!available) return unknown("/proc/meminfo cannot be read", "");
  std::vector<std::string> parts;
  for (const auto& node : nodes_of(host)) {
    const auto free = meminfo(host.text(fmt::format("{}/{}/meminfo", kNodes, node)), "MemFree");
    if (free) parts.push_back(fmt::format("{} free on {}", human_size(*free), node));
  }
  const auto found = fmt::format("{} available{}{}", human_size(*available), parts.empty() ? "" : "; ", some_of(parts));
  constexpr std::uint64_t kSmallGuest = 512 * kKib * kKib;
  if (*available >= kSmallGuest) return ok(found);
  return {{.level = Level::warning,
           .found = found,
           .cause = "all RAM of a guest with a device is pinned and cannot be swapped",
           .fix = "end what uses memory, or give VMs less"}};
}

/// Reserved and free huge pages of one size below a directory; nothing when that size has none.
std::string pool_of(const HostFacts& host, const std::string& directory, const std::string& size) {
  const auto total = host.number(fmt::format("{}/{}/nr_hugepages", directory, size)).value_or(0);
  const auto free = host.number(fmt::format("{}/{}/free_hugepages", directory, size)).value_or(0);
  constexpr std::string_view kPrefix = "hugepages-";
  const auto kib = std::string_view{size}.substr(std::min(size.size(), kPrefix.size()));
  const auto bytes = parse_decimal<std::uint64_t>(kib.substr(0, kib.find("kB"))).value_or(0) * kKib;
  return total == 0 ? "" : fmt::format("{} of {} pages of {} free", free, total, human_size(bytes));
}

Verdicts hugepages(const HostFacts& host) {
  const std::string all = "/sys/kernel/mm/hugepages";
  std::vector<std::string> parts;
  bool any_free = false;
  for (const auto& size : host.names(all)) {
    auto pool = pool_of(host, all, size);
    if (pool.empty()) continue;
    any_free = any_free || host.number(fmt::format("{}/{}/free_hugepages", all, size)).value_or(0) != 0;
    const auto nodes = nodes_of(host);
    for (const auto& node : nodes) {
      const auto here = pool_of(host, fmt::format("{}/{}/hugepages", kNodes, node), size);
      if (nodes.size() > 1 && !here.empty()) pool += fmt::format("; {}: {}", node, here);
    }
    parts.push_back(std::move(pool));
  }
  if (parts.empty()) {
    return {{.level = Level::note,
             .found = "no huge pages are reserved",
             .cause = "guests get transparent huge pages where memory is not fragmented; reserved ones are certain",
             .fix = "echo 1024 > /proc/sys/vm/nr_hugepages, and vm.nr_hugepages=1024 in /etc/sysctl.d/pcivm.conf"}};
  }
  const auto found = fmt::format("{}", fmt::join(parts, ", "));
  if (any_free) return ok(found);
  return {{.level = Level::note,
           .found = found,
           .cause = "they are all taken: the next guest gets none",
           .fix = "raise vm.nr_hugepages"}};
}

Verdicts transparent(const HostFacts& host) {
  const auto modes = host.text("/sys/kernel/mm/transparent_hugepage/enabled");
  if (modes.empty()) return unknown("the kernel does not tell of transparent huge pages", "");
  if (modes.find("[never]") == std::string::npos) return ok("transparent huge pages are there for guests");
  return {{.level = Level::warning,
           .found = "transparent huge pages are off",
           .cause = "RAM of guests is pinned and mapped in pieces of 4 KiB: starts are several times slower",
           .fix = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"}};
}

constexpr Check kChecks[] = {
    {"memory", free_memory},
    {"hugepages", hugepages},
    {"thp", transparent},
};

}  // namespace

std::span<const Check> memory_checks() { return kChecks; }

}  // namespace pcivm::iommu
