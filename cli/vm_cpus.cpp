// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/option_list.hpp"

namespace pcivm::cli {

namespace {

// Interrupts reach APIC ids up to 254 without the extended format that KVM_CAP_X2APIC_API brings.
constexpr std::uint32_t kMostCpus = 255;
constexpr std::uint32_t kMostApicId = 254;

Result<vmm::CpuTopology> topology_of(const VmRequest& request) {
  if (request.topology.empty()) return vmm::CpuTopology{.cores = request.cpus};
  constexpr std::string_view kOption{"--topology"};
  const auto list =
      TRY(OptionList::parse(kOption, request.topology, {.valued = {"sockets", "cores", "threads"}, .flags = {}}));
  vmm::CpuTopology topology;
  topology.sockets = TRY(list.number("sockets", kMostCpus, 1));
  topology.threads = TRY(list.number("threads", kMostCpus, 1));
  const auto others = topology.sockets * topology.threads;
  topology.cores = TRY(list.number("cores", kMostCpus, std::max(request.cpus / others, 1U)));
  const auto product = std::uint64_t{others} * topology.cores;
  if (product != request.cpus) {
    return fail(Errc::invalid, fmt::format("{} {}: {} sockets x {} cores x {} threads are {} CPUs, --cpus {} wanted",
                                           kOption, request.topology, topology.sockets, topology.cores,
                                           topology.threads, product, request.cpus));
  }
  return topology;
}

Result<void> add_features(vmm::CpuWish& wish, std::string_view text) {
  const auto unknown = [&](std::string_view word) {
    std::string names;
    for (const auto& feature : vmm::cpu_features()) names += fmt::format(" {}", feature.name);
    return fail(Error::make(
        Errc::invalid, fmt::format("--cpu '{}': '{}' found, 'host' wanted, then -FEATURE of{}", text, word, names)));
  };
  std::string_view rest = text;
  for (bool first = true; !rest.empty() || first; first = false) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto word = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (first) {
      if (word != "host") return unknown(word);
      continue;
    }
    const auto* feature = word.starts_with('-') ? vmm::find_cpu_feature(word.substr(1)) : nullptr;
    if (feature == nullptr) return unknown(word);
    wish.without.push_back(feature);
  }
  return {};
}

Result<void> add_pins(vmm::CpuWish& wish, const VmRequest& request) {
  if (request.pin.empty()) return {};
  wish.pins = TRY_IN(parse_cpu_list(request.pin), "--pin");
  if (wish.pins.size() != request.cpus) {
    return fail(Errc::invalid, fmt::format("--pin {}: {} CPUs of the host found, {} wanted: one for each of --cpus",
                                           request.pin, wish.pins.size(), request.cpus));
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return fail_errno(errno, "sched_getaffinity");
  for (const auto cpu : wish.pins) {
    if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) continue;
    return fail(
        Error::make(Errc::invalid, fmt::format("--pin {}: this process may not run on CPU {}", request.pin, cpu))
            .advise("taskset -pc $$"));
  }
  return {};
}

}  // namespace

Result<std::vector<unsigned>> parse_cpu_list(std::string_view text) {
  constexpr unsigned kMostNumber = 8191;
  std::vector<unsigned> cpus;
  const auto wrong = [&] { return fail(Errc::invalid, fmt::format("'{}' found, a list such as 0-3,8 wanted", text)); };
  std::string_view rest = text;
  do {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto word = rest.substr(0, comma);
    if (comma + 1 == rest.size()) return wrong();
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const auto dash = std::min(word.find('-'), word.size());
    const auto first = parse_decimal<unsigned>(word.substr(0, dash));
    const auto last = dash == word.size() ? first : parse_decimal<unsigned>(word.substr(dash + 1));
    if (!first || !last || *first > *last || *last > kMostNumber) return wrong();
    for (auto cpu = *first; cpu <= *last; ++cpu) {
      if (std::ranges::find(cpus, cpu) != cpus.end()) {
        return fail(Errc::invalid, fmt::format("'{}' has {} twice", text, cpu));
      }
      cpus.push_back(cpu);
    }
  } while (!rest.empty());
  return cpus;
}

Result<vmm::CpuWish> check_cpus(const vmm::Kvm& kvm, const VmRequest& request) {
  const auto most = std::min(static_cast<std::uint32_t>(TRY(kvm.extension(KVM_CAP_MAX_VCPUS))), kMostCpus);
  if (request.cpus < 1 || request.cpus > most) {
    return fail(Errc::invalid, fmt::format("--cpus {} found, 1 to {} wanted", request.cpus, most));
  }
  vmm::CpuWish wish{.topology = TRY(topology_of(request)), .supported = TRY(kvm.supported_cpuid())};
  if (const auto last = wish.topology.apic_id(request.cpus - 1); last > kMostApicId) {
    return fail(Errc::invalid,
                fmt::format("--topology {}: the last CPU would have APIC id {}, at most {} wanted: cores "
                            "and threads that are powers of two leave no gaps",
                            request.topology, last, kMostApicId));
  }
  TRY(add_features(wish, request.cpu));
  TRY(add_pins(wish, request));
  return wish;
}

}  // namespace pcivm::cli
