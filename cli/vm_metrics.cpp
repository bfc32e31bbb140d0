// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_metrics.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

class Text final {
 public:
  explicit Text(const std::string& vm) : vm_{vm} {}

  void head(std::string_view name, std::string_view type, std::string_view help) {
    text_ += fmt::format("# HELP pcivm_vm_{0} {2}\n# TYPE pcivm_vm_{0} {1}\n", name, type, help);
  }
  template <class Value>
  void sample(std::string_view name, Value value, std::string_view label = {}, std::string_view is = {}) {
    const auto more = label.empty() ? std::string{} : fmt::format(",{}=\"{}\"", label, is);
    text_ += fmt::format("pcivm_vm_{}{{vm=\"{}\"{}}} {}\n", name, vm_, more, value);
  }
  template <class Value>
  void single(std::string_view name, std::string_view type, std::string_view help, Value value) {
    head(name, type, help);
    sample(name, value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  const std::string& vm_;
  std::string text_{};
};

/// Figures "PREFIX.x" become samples of one metric with the label LABEL="x".
struct Family {
  std::string_view prefix;
  std::string_view metric;
  std::string_view label;
  std::string_view type;
  std::string_view help;
};
constexpr std::array kFamilies{
    Family{"exits.", "exits_total", "kind", "counter", "Exits of vCPUs to user space."},
    Family{"ioctls.", "ioctls_total", "request", "counter", "ioctl(2) calls of the VMM, without KVM_RUN."},
    Family{"vectorsUsed.", "device_vectors", "device", "gauge",
           "Message interrupts of an assigned function that hold one of the host."},
    Family{"vectorsMost.", "device_vectors_most", "device", "gauge", "Message interrupts that the function has."},
};

struct Plain {
  std::string_view figure;
  std::string_view metric;
  std::string_view type;
  std::string_view help;
};
constexpr std::array kPlain{
    Plain{"boots", "boots_total", "counter", "Starts of the guest: 1, and its reboots."},
    Plain{"deviceResets", "device_resets_total", "counter", "Resets of assigned functions by the VMM."},
    Plain{"dma.mappedBytes", "dma_mapped_bytes", "gauge", "Guest memory that is mapped for DMA."},
    Plain{"dma.runs", "dma_mapped_runs", "gauge", "Contiguous runs of that mapping."},
    Plain{"dma.hugeRunBytes", "dma_mapped_huge_bytes", "gauge", "Of that, in runs of at least 2 MiB."},
    Plain{"dma.peerBytes", "dma_mapped_peer_bytes", "gauge", "Of BARs that other functions of the VM reach."},
    Plain{"routes.used", "interrupt_routes", "gauge", "Interrupt routes of KVM that are taken."},
    Plain{"routes.most", "interrupt_routes_most", "gauge", "Interrupt routes that KVM has for a VM."},
};

struct Time {
  std::string_view figure;  // in nanoseconds
  std::string_view metric;
  std::string_view help;
};
constexpr std::array kTimes{
    Time{"dma.populateNs", "dma_populate_seconds", "How long all RAM took to be there for DMA."},
    Time{"dma.mapNs", "dma_map_seconds", "How long it took then to be mapped."},
};

struct PortCounter {
  std::string_view figure;  // then its number
  std::string_view metric;
  std::string_view help;
};
constexpr std::array kPortCounters{
    PortCounter{"portToHost", "port_to_host_bytes_total", "Bytes that a named port carried to clients on the host."},
    PortCounter{"portToGuest", "port_to_guest_bytes_total", "Bytes that a named port carried to the guest."},
    PortCounter{"portDropped", "port_dropped_bytes_total", "Bytes that the guest said while a port had no reader."},
};

void add_ports(Text& text, const std::vector<std::string>& ports, const VmFigures& figures) {
  for (const auto& counter : kPortCounters) {
    if (ports.empty()) return;
    text.head(counter.metric, "counter", counter.help);
    for (std::size_t index = 0; index < ports.size(); ++index) {
      const auto value = value_of(figures, fmt::format("{}.{}", counter.figure, index));
      if (value) text.sample(counter.metric, *value, "port", ports[index]);
    }
  }
}

void add_phases(Text& text, const VmFigures& figures) {
  constexpr std::string_view kPrefix{"phases."};
  const auto start = value_of(figures, "phases.exec");
  if (!start) return;
  text.head("phase_seconds", "gauge", "When a phase of the start was reached, since the command started.");
  for (const auto& [name, stamp] : figures) {
    if (!name.starts_with(kPrefix) || stamp < *start) continue;
    text.sample("phase_seconds", static_cast<double>(stamp - *start) / 1e9, "phase", name.substr(kPrefix.size()));
  }
}

}  // namespace

std::string metrics_text(const VmMetrics& metrics) {
  Text text{metrics.name};
  text.single("up", "gauge", "1 when the guest runs.", metrics.running ? 1 : 0);
  text.single("uptime_seconds", "gauge", "Time since the VM was started.", metrics.uptime_seconds);
  text.single("cpus", "gauge", "Virtual CPUs.", metrics.cpus);
  text.single("memory_bytes", "gauge", "RAM of the guest.", metrics.memory);
  text.single("console_bytes_total", "counter", "Bytes that the guest wrote to its console.", metrics.console.said);
  text.single("console_dropped_bytes_total", "counter", "Bytes of the console that a reader was too slow for.",
              metrics.console.dropped + value_of(metrics.figures, "consoleDropped").value_or(0));
  text.single("console_readers", "gauge", "Readers of the console.", metrics.console.readers);
  text.head("device_errors_total", "counter", "Uncorrectable errors that an assigned function reported.");
  for (const auto& each : metrics.events) text.sample("device_errors_total", each.errors, "device", each.device);
  text.head("device_requests_total", "counter", "How often the host wanted an assigned function back.");
  for (const auto& each : metrics.events) text.sample("device_requests_total", each.requests, "device", each.device);
  text.single("vmm_answered", "gauge", "1 when the VMM told its own figures, which follow.", metrics.answered ? 1 : 0);
  for (const auto& family : kFamilies) {
    if (!metrics.answered) break;
    text.head(family.metric, family.type, family.help);
    for (const auto& [name, value] : metrics.figures) {
      if (name.starts_with(family.prefix)) {
        text.sample(family.metric, value, family.label, name.substr(family.prefix.size()));
      }
    }
  }
  if (metrics.answered) add_ports(text, metrics.ports, metrics.figures);
  for (const auto& plain : kPlain) {
    if (const auto value = value_of(metrics.figures, plain.figure)) {
      text.single(plain.metric, plain.type, plain.help, *value);
    }
  }
  for (const auto& [figure, metric, help] : kTimes) {
    const auto value = value_of(metrics.figures, figure);
    if (value) text.single(metric, "gauge", help, static_cast<double>(*value) / 1e9);
  }
  add_phases(text, metrics.figures);
  return text.take();
}

}  // namespace pcivm::cli
