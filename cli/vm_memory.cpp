// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_memory.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "base/units.hpp"
#include "cli/option_list.hpp"
#include "cli/vm_cpus.hpp"
#include "vmm/memory_blocks.hpp"
#include "vmm/memory_layout.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kPools{"/sys/kernel/mm/hugepages"};
constexpr std::string_view kNodes{"/sys/devices/system/node"};

std::string pool(std::uint64_t page) { return fmt::format("hugepages-{}kB", page / kKiB); }

std::uint64_t number(const SysRoot& root, const std::string& path) {
  const auto text = root.read(path);
  return text ? parse_decimal<std::uint64_t>(*text).value_or(0) : 0;
}

/// As "2M, 1G".
std::string sizes(const SysRoot& root) {
  std::vector<std::string> all;
  for (const auto& name : root.list(std::string{kPools}).value_or(std::vector<std::string>{})) {
    const auto from = name.find('-') + 1;
    const auto size = parse_decimal<std::uint64_t>(name.substr(from, name.find("kB") - from)).value_or(0) * kKiB;
    all.push_back(size >= kGiB ? fmt::format("{}G", size / kGiB) : fmt::format("{}M", size / kMiB));
  }
  return all.empty() ? "none: its kernel has no hugetlb" : fmt::format("{}", fmt::join(all, ", "));
}

Result<std::vector<unsigned>> nodes_of(const SysRoot& root, const std::string& text) {
  if (text.empty()) return std::vector<unsigned>{};
  auto nodes = TRY_IN(parse_cpu_list(text), "--numa");
  const auto with_memory = root.read(fmt::format("{}/has_memory", kNodes));
  const auto there = parse_cpu_list(with_memory.value_or("0")).value_or(std::vector<unsigned>{});
  for (const auto node : nodes) {
    if (std::ranges::find(there, node) != there.end()) continue;
    return fail(Errc::invalid,
                fmt::format("--numa: node {} found, one with memory wanted: {}", node, fmt::join(there, ", ")));
  }
  return nodes;
}

Result<void> check_pool(const SysRoot& root, const vmm::RamBacking& backing, std::uint64_t memory) {
  std::uint64_t free = 0;
  for (const auto node : backing.nodes) {
    free += number(root, fmt::format("{}/node{}/hugepages/{}/free_hugepages", kNodes, node, pool(backing.huge_page)));
  }
  if (backing.nodes.empty()) free = number(root, fmt::format("{}/{}/free_hugepages", kPools, pool(backing.huge_page)));
  const auto wanted = memory / backing.huge_page;
  if (free >= wanted) return {};
  const auto where =
      backing.nodes.empty() ? std::string{"this host"} : fmt::format("node {}", fmt::join(backing.nodes, ", "));
  return fail(Error::make(Errc::kernel, fmt::format("{} has {} free pages of {}M, {} wanted", where, free,
                                                    backing.huge_page / kMiB, wanted))
                  .coded("vm.hugepages")
                  .advise(fmt::format("raise {}/{}/nr_hugepages", kPools, pool(backing.huge_page))));
}

}  // namespace

Result<MemoryWish> check_memory(const std::string& text) {
  const auto comma = text.find(',');
  const auto size = TRY_IN(parse_size(text.substr(0, comma)), "--memory");
  if (size < vmm::kLeastMemory || size % (2 * kMiB) != 0) {
    return fail(Errc::invalid,
                fmt::format("--memory {} found, a multiple of 2M from {}M wanted", text, vmm::kLeastMemory / kMiB));
  }
  if (comma == std::string::npos) return MemoryWish{.size = size, .most = size};
  const auto list = TRY(OptionList::parse("--memory", text.substr(comma + 1), {.valued = {"max"}, .flags = {}}));
  const auto text_of_most = TRY(list.required("max"));
  const auto most = TRY_IN(parse_size(text_of_most), "--memory: max");
  if (most < size) return fail(Errc::invalid, fmt::format("--memory {} found, no less as max wanted", text));
  const MemoryWish wish{.size = size, .most = most};
  if (most != size) TRY(check_size(wish, most, "--memory: max"));
  return wish;
}

Result<void> check_size(const MemoryWish& memory, std::uint64_t size, std::string_view what) {
  const auto step = vmm::MemoryBlocks::size_for(memory.blocks());
  if (size >= memory.size && size <= memory.most && (size - memory.size) % step == 0) return {};
  return fail(Errc::invalid, fmt::format("{}: {} MiB found, {} MiB to {} MiB in steps of {} MiB wanted", what,
                                         size / kMiB, memory.size / kMiB, memory.most / kMiB, step / kMiB));
}

Result<void> check_blocks(const VmRequest& request, const MemoryWish& memory) {
  if (memory.blocks() == 0) return {};
  const auto refuse = [](std::string_view beside, std::string_view why, std::string code) {
    return fail(Error::make(Errc::refused, fmt::format("--memory with max= beside {}: {}", beside, why))
                    .coded(std::move(code))
                    .advise("give it all of its memory at the start: --memory SIZE"));
  };
  if (!request.hugepages.empty()) {
    return refuse("--hugepages", "reserved pages are taken at the start, and stay", "vm.memory_with_hugepages");
  }
  if (!request.user_devices.empty()) {
    return refuse("--user-device", "its server is shown the RAM that is there at the start",
                  "vm.memory_with_user_device");
  }
  if (request.iommu == "virtio") {
    return refuse("--iommu virtio", "the guest's IOMMU maps the RAM that is there at the start",
                  "vm.memory_with_iommu");
  }
  return {};
}

Result<vmm::RamBacking> check_backing(const SysRoot& root, const VmRequest& request, std::uint64_t memory) {
  vmm::RamBacking backing{.nodes = TRY(nodes_of(root, request.numa)), .populate = request.populate};
  if (request.hugepages.empty()) return backing;
  if (request.balloon) {
    return fail(
        Error::make(Errc::refused, "--balloon beside --hugepages: reserved pages cannot be given back one by one")
            .coded("vm.balloon_with_hugepages"));
  }
  backing.huge_page = TRY_IN(parse_size(request.hugepages), "--hugepages");
  if (backing.huge_page == 0 || !root.exists(fmt::format("{}/{}", kPools, pool(backing.huge_page)))) {
    return fail(Errc::invalid, fmt::format("--hugepages {} found, a size that this host has wanted: {}",
                                           request.hugepages, sizes(root)));
  }
  if (memory % backing.huge_page != 0) {
    return fail(Errc::invalid, fmt::format("--memory {} found, a multiple of --hugepages {} wanted", request.memory,
                                           request.hugepages));
  }
  TRY(check_pool(root, backing, memory));
  return backing;
}

}  // namespace pcivm::cli
