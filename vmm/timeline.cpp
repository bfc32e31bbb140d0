// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/timeline.hpp"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "vfio/uapi.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

namespace {

struct Known {
  unsigned long number;
  std::string_view name;
};

template <class Request>
constexpr Known known(const Request& request) {
  return {request.number, request.name};
}

constexpr Known kKnown[] = {
    known(kvm::get_api_version),
    known(kvm::check_extension),
    known(kvm::create_vm),
    known(kvm::get_vcpu_mmap_size),
    known(kvm::create_vcpu),
    known(kvm::set_tss_addr),
    known(kvm::get_tsc_khz),
    known(kvm::enable_cap),
    known(kvm::set_identity_map_addr),
    known(kvm::get_supported_cpuid),
    known(kvm::set_cpuid2),
    known(kvm::get_regs),
    known(kvm::set_regs),
    known(kvm::get_sregs),
    known(kvm::set_sregs),
    known(kvm::set_msrs),
    known(kvm::interrupt),
    known(kvm::set_user_memory_region),
    known(kvm::set_gsi_routing),
    known(kvm::irqfd),
    known(kvm::ioeventfd),
    known(kvm::signal_msi),
    known(kvm::create_device),
    known(kvm::set_device_attr),
};

std::int64_t now() {
  timespec time{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::exec: return "exec";
    case Phase::prepared: return "prepared";
    case Phase::vm_created: return "vmCreated";
    case Phase::kernel_loaded: return "kernelLoaded";
    case Phase::first_instruction: return "firstInstruction";
    case Phase::device_ready: return "deviceReady";
    case Phase::memory_mapped: return "memoryMapped";
    case Phase::guest_init: return "guestInit";
    case Phase::ended: return "ended";
  }
  return "unknown";
}

void Timeline::stamp(Phase phase) { stamp(phase, now()); }

void Timeline::stamp(Phase phase, std::int64_t at) {
  std::int64_t none = 0;
  stamps_.at(static_cast<std::size_t>(phase)).compare_exchange_strong(none, at);
}

std::optional<std::int64_t> Timeline::at(Phase phase) const {
  const auto stamp = stamps_.at(static_cast<std::size_t>(phase)).load();
  if (stamp == 0) return std::nullopt;
  return stamp;
}

std::vector<std::pair<std::string_view, std::int64_t>> phases_of(const Timeline& timeline) {
  std::vector<std::pair<std::string_view, std::int64_t>> phases;
  for (std::size_t index = 0; index < kPhases; ++index) {
    const auto phase = static_cast<Phase>(index);
    if (const auto stamp = timeline.at(phase)) phases.emplace_back(to_string(phase), *stamp);
  }
  std::ranges::stable_sort(phases, {}, [](const auto& entry) { return entry.second; });
  return phases;
}

std::vector<std::pair<std::string, std::uint64_t>> named_counts(const CountingIoctl& port) {
  std::vector<std::pair<std::string, std::uint64_t>> named;
  for (const auto& [number, count] : port.counts()) {
    const auto at = std::ranges::find(kKnown, number, &Known::number);
    const auto name = at != std::end(kKnown) ? at->name : vfio::uapi::request_name(number);
    named.emplace_back(name.empty() ? fmt::format("{:#x}", number) : std::string{name}, count);
  }
  return named;
}

std::vector<std::pair<std::string_view, std::uint64_t>> named_exits(const ExitCounts& exits) {
  return {{"portIn", exits.port_in},          {"portOut", exits.port_out},     {"mmioRead", exits.mmio_read},
          {"mmioWrite", exits.mmio_write},    {"ioapicEoi", exits.ioapic_eoi}, {"irqWindow", exits.irq_window},
          {"interrupted", exits.interrupted}, {"other", exits.other}};
}

std::vector<std::pair<std::string, std::uint64_t>> figures_of(const TimelineReport& report) {
  std::vector<std::pair<std::string, std::uint64_t>> figures;
  for (const auto& [name, count] : named_exits(report.exits))
    figures.emplace_back(fmt::format("exits.{}", name), count);
  for (const auto& [name, count] : report.ioctls) figures.emplace_back(fmt::format("ioctls.{}", name), count);
  for (const auto& [name, stamp] : report.phases) {
    figures.emplace_back(fmt::format("phases.{}", name), static_cast<std::uint64_t>(stamp));
  }
  figures.emplace_back("dma.mappedBytes", report.mapped_bytes);
  figures.emplace_back("dma.runs", report.dma_runs);
  figures.emplace_back("dma.hugeRunBytes", report.huge_run_bytes);
  figures.emplace_back("dma.populateNs", report.populate_ns);
  figures.emplace_back("dma.mapNs", report.map_ns);
  figures.emplace_back("dma.peerBytes", report.peer_bytes);
  figures.emplace_back("routes.used", report.routes);
  figures.emplace_back("routes.most", InterruptRoutes::kMost);
  for (const auto& [function, use] : report.vectors) {
    figures.emplace_back(fmt::format("vectorsUsed.{}", function.to_string()), use.used);
    figures.emplace_back(fmt::format("vectorsMost.{}", function.to_string()), use.most);
  }
  figures.emplace_back("boots", report.boots);
  figures.emplace_back("deviceResets", report.device_resets);
  figures.emplace_back("consoleDropped", report.console_dropped);
  for (std::size_t index = 0; index < report.ports.size(); ++index) {
    const auto& port = report.ports[index];
    figures.emplace_back(fmt::format("portOpen.{}", index), port.open ? 1 : 0);
    figures.emplace_back(fmt::format("portToHost.{}", index), port.to_host);
    figures.emplace_back(fmt::format("portToGuest.{}", index), port.to_guest);
    figures.emplace_back(fmt::format("portDropped.{}", index), port.dropped);
  }
  return figures;
}

std::uint64_t count_of(const CountingIoctl& port, unsigned long request) {
  for (const auto& [number, count] : port.counts()) {
    if (number == request) return count;
  }
  return 0;
}

}  // namespace pcivm::vmm
