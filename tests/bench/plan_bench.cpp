// SPDX-License-Identifier: GPL-2.0-or-later
// How long a plan for 1,000 VFs of 16 PFs takes, and how much memory: to make them all, to change every one of them,
// and to find nothing to do. Prints figures and judges them: 0.2 s and 64 MiB are promised.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "sriov/host_plan.hpp"
#include "tests/support/fake_pci.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::sriov {
namespace {

constexpr unsigned kPfs{16};
constexpr unsigned kVfs{63};  // of each, 1,008 in all
constexpr double kMostSeconds{0.2};
constexpr long kMostKib{64 * 1024};

std::string pf_name(unsigned pf) { return fmt::format("0000:{:02x}:00.0", 16 * (pf % 15) + pf / 15 * 8 + 1); }

// VFs have buses of their own behind that of their PF.
std::string vf_name(unsigned pf, unsigned index) {
  return fmt::format("0000:{:02x}:{:02x}.{}", 16 * (pf % 15) + pf / 15 * 8 + 2 + index / 32 % 2, index % 32, 0);
}

void make_host(const test::TempRoot& tree, bool with_vfs) {
  const test::FakePci pci{tree};
  for (unsigned pf = 0; pf < kPfs; ++pf) {
    pci.function({.address = pf_name(pf), .driver = "igb", .group = pf, .total_vfs = 64});
    pci.netdev(pf_name(pf), fmt::format("eth{}", pf), fmt::format("52:54:00:aa:00:{:02x}", pf), 0x1003);
    for (unsigned index = 0; with_vfs && index < kVfs; ++index) {
      pci.vf(pf_name(pf), index, vf_name(pf, index), 100 + pf * kVfs + index);
    }
  }
}

HostConfig wanted(std::uint16_t vlan) {
  HostConfig config;
  for (unsigned pf = 0; pf < kPfs; ++pf) {
    DeviceEntry device{.name = fmt::format("lan{:02}", pf), .place = {"/etc/pcivm/host.yaml", pf + 1, 3}};
    device.match.address = Bdf::parse(pf_name(pf)).value();
    SriovEntry sriov{.place = device.place, .num_vfs = kVfs, .autoprobe = false};
    sriov.vf_defaults = {.spoofchk = true, .trust = false};
    for (unsigned index = 0; index < kVfs; ++index) {
      VfEntry entry{.place = device.place, .first = index, .last = index, .bind = "vfio-pci"};
      entry.mac = fmt::format("02:11:22:33:{:02x}:%02x", pf);
      entry.wish = {.vlan = vlan, .qos = std::uint8_t{3}, .max_tx_rate = 1000U, .link_state = LinkState::automatic};
      sriov.vfs.push_back(std::move(entry));
    }
    device.sriov = std::move(sriov);
    config.devices.push_back(std::move(device));
  }
  return config;
}

// As a driver reports them after they were set.
void report(HostState& state, std::uint16_t vlan) {
  for (unsigned pf = 0; pf < kPfs; ++pf) {
    const auto address = Bdf::parse(pf_name(pf)).value();  // the state is sorted by it
    auto& physical = *std::ranges::find(state.functions, address, &FunctionState::address)->pf;
    physical.autoprobe = false;
    for (unsigned index = 0; index < physical.vfs.size(); ++index) {
      auto& vf = physical.vfs[index];
      vf.driver = {.driver = "vfio-pci", .driver_override = "vfio-pci"};
      vf.attributes = {.mac = MacAddress::parse(fmt::format("02:11:22:33:{:02x}:{:02x}", pf, index)).value(),
                       .vlan = Vlan{.id = vlan, .qos = 3},
                       .rate = Rate{.min = 0, .max = 1000},
                       .spoofchk = true,
                       .link_state = LinkState::automatic};
    }
  }
}

double seconds_of(auto work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// False when the promise is broken, or the plan is not the one that is wanted.
bool measure(const char* what, const HostConfig& config, const HostState& state, std::size_t steps) {
  Plan plan;
  double best{1e9};
  double worst{};
  for (int round = 0; round < 10; ++round) {
    const auto took = seconds_of([&] { plan = plan_host(config, state); });
    best = std::min(best, took);
    worst = std::max(worst, took);
  }
  fmt::print("{:<24} {:>7.1f} ms best, {:>7.1f} ms worst, {:>5} steps, {:>5} keys, peak {:.1f} MiB\n", what, best * 1e3,
             worst * 1e3, plan.steps.size(), plan.keys.size(), static_cast<double>(peak_kib()) / 1024);
  const bool right = plan.steps.size() == steps && plan.problems.empty();
  if (!right) fmt::print("wanted {} steps and no problem, found {} problems\n", steps, plan.problems.size());
  return right && worst < kMostSeconds && peak_kib() < kMostKib;
}

HostState read_tree(bool with_vfs) {
  const test::TempRoot tree;
  make_host(tree, with_vfs);
  const auto root = tree.root();
  const vfio::Host host{.root = root};
  HostState state;
  const auto took = seconds_of([&] { state = read_host(host, nullptr).value(); });
  fmt::print("{:<24} {:>7.1f} ms, {} PFs\n", with_vfs ? "read, with VFs" : "read, no VFs", took * 1e3,
             state.functions.size());
  return state;
}

int run() {
  const auto empty = read_tree(false);
  auto full = read_tree(true);
  report(full, 100);
  bool kept = measure("make all", wanted(100), empty, kPfs);
  kept = measure("nothing to do", wanted(100), full, 0) && kept;
  kept = measure("change every VF", wanted(200), full, std::size_t{kPfs} * kVfs) && kept;
  kept = measure("way back to no VFs", as_config(empty, true), full, std::size_t{kPfs} * 2) && kept;
  fmt::print("{}\n", kept ? "within 0.2 s and 64 MiB" : "NOT within 0.2 s and 64 MiB");
  return kept ? 0 : 1;
}

}  // namespace
}  // namespace pcivm::sriov

int main() { return pcivm::sriov::run(); }
