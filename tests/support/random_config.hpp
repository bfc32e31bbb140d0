// SPDX-License-Identifier: GPL-2.0-or-later
// Configurations that are valid and otherwise as odd as can be; the same for the same seed.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sriov/host_config.hpp"

namespace pcivm::test {

class RandomConfig final {
 public:
  explicit RandomConfig(unsigned seed) : random_{seed} {}

  sriov::HostConfig make() {
    sriov::HostConfig config;
    config.allow_recreate = flip();
    for (unsigned i = below(4); i > 0; --i) config.pools[fmt::format("pool-{}", i)] = {};
    for (const auto& [name, place] : config.pools) pools_.push_back(name);
    for (unsigned i = 0, count = below(6); i < count; ++i) config.devices.push_back(device(i));
    return config;
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
  bool flip() { return below(2) == 0; }
  template <class T>
  const T& one_of(const std::vector<T>& choices) {
    return choices[below(static_cast<unsigned>(choices.size()))];
  }
  template <class Make>
  auto maybe(Make make) -> std::optional<decltype(make())> {
    if (flip()) return std::nullopt;
    return make();
  }

  /// What a reader of YAML could take for something else.
  std::string text() {
    static const std::vector<std::string> odd{"yes",      "012",  "0x1f",  "1e3",  "~",  "null", "1.20", ">=1.2",
                                              "- a",      "a: b", "#x",    "a #b", "\"", "'",    "\\",   "[",
                                              "{",        "&a",   "*a",    "!a",   "%a", "@a",   "`a",   "| a",
                                              "a\\nb",    " a ",  "größe", "🐧",   "=",  "<<",   "true", "2026-01-01",
                                              "12:30:45", "-",    "?",     ":",    ",",  "a,b",  "3",    "0"};
    if (flip()) return one_of(odd);
    std::string made;
    for (unsigned i = 1 + below(12); i > 0; --i) made += static_cast<char>(' ' + below(95));
    return made;
  }
  std::string driver() {
    static const std::vector<std::string> drivers{"host", "none", "vfio-pci", "mlx5_vfio_pci", "igbvf", "yes",
                                                  "012",  "null", "3"};
    return one_of(drivers);
  }
  sriov::Guid guid() { return {.value = (std::uint64_t{random_()} << 32U) | ++serial_}; }
  MacAddress mac() {
    ++serial_;
    return {{0x02, 0x10, static_cast<std::uint8_t>(below(256)), static_cast<std::uint8_t>(serial_ >> 16U),
             static_cast<std::uint8_t>(serial_ >> 8U), static_cast<std::uint8_t>(serial_)}};
  }
  sriov::PciId id() { return {static_cast<std::uint16_t>(below(65'536)), static_cast<std::uint16_t>(below(65'536))}; }

  sriov::DeviceMatch match() {
    sriov::DeviceMatch match;
    // One that is unique, and whatever else.
    match.address = Bdf{below(2) * 0x10000, static_cast<std::uint8_t>(++serial_), static_cast<std::uint8_t>(below(32)),
                        static_cast<std::uint8_t>(below(8))};
    match.permanent_mac = maybe([&] { return mac(); });
    match.permanent_guid = maybe([&] { return guid(); });
    match.serial = maybe([&] { return text(); });
    match.nvme_serial = maybe([&] { return text(); });
    match.nvme_nqn = maybe([&] { return text(); });
    match.slot = maybe([&] { return text(); });
    match.path = maybe([&] { return text(); });
    match.function = maybe([&] { return below(8); });
    return match;
  }

  void wish(sriov::VfWish& wish, bool has_default_vlan) {
    wish.trust = maybe([&] { return flip(); });
    wish.spoofchk = maybe([&] { return flip(); });
    wish.rss_query = maybe([&] { return flip(); });
    wish.roce = maybe([&] { return flip(); });
    wish.migratable = maybe([&] { return flip(); });
    wish.link_state = maybe([&] { return static_cast<sriov::LinkState>(below(3)); });
    wish.msix_count = maybe([&] { return static_cast<std::uint32_t>(below(2049)); });
    wish.rate_parent =
        maybe([&] { return flip() ? std::string{} : one_of(std::vector<std::string>{"a/b", "yes", "group 1"}); });
    wish.max_tx_rate = maybe([&] { return static_cast<std::uint32_t>(1000 + below(1000)); });
    wish.min_tx_rate = maybe([&] { return static_cast<std::uint32_t>(below(1000)); });
    wish.vlan = maybe([&] { return static_cast<std::uint16_t>(1 + below(4094)); });
    if (!wish.vlan && !has_default_vlan) return;
    wish.qos = maybe([&] { return static_cast<std::uint8_t>(below(8)); });
    wish.protocol = maybe([&] { return flip() ? sriov::VlanProtocol::dot1q : sriov::VlanProtocol::dot1ad; });
  }

  std::optional<std::string> pool() {
    if (pools_.empty() || flip()) return std::nullopt;
    return one_of(pools_);
  }

  sriov::VfEntry vf(unsigned first, unsigned number, bool has_default_vlan) {
    sriov::VfEntry entry{.first = first, .last = first + (flip() ? 0 : below(5))};
    entry.bind = maybe([&] { return driver(); });
    entry.mac = maybe([&] { return fmt::format("02:99:{:02x}:{:02x}:00:%02x", number, below(256)); });
    wish(entry.wish, has_default_vlan);
    if (entry.first == entry.last) {
      entry.wish.node_guid = maybe([&] { return guid(); });
      entry.wish.port_guid = maybe([&] { return guid(); });
      if (entry.bind == "host") entry.name = maybe([&] { return fmt::format("#vf{}", ++serial_); });
    }
    entry.pool = pool();
    return entry;
  }

  sriov::SriovEntry sriov(unsigned number) {
    sriov::SriovEntry entry;
    entry.autoprobe = maybe([&] { return flip(); });
    entry.eswitch.mode = maybe([&] { return static_cast<sriov::EswitchMode>(below(2)); });
    entry.eswitch.inline_mode = maybe([&] { return static_cast<sriov::InlineMode>(below(4)); });
    entry.eswitch.encap = maybe([&] { return flip(); });
    entry.mtu = maybe([&] { return 68 + below(9'000); });
    entry.up = maybe([&] { return flip(); });
    wish(entry.vf_defaults, false);
    entry.vf_bind = maybe([&] { return driver(); });
    unsigned next = 0;
    for (unsigned count = below(6); count > 0; --count) {
      entry.vfs.push_back(vf(next + below(3), number, entry.vf_defaults.vlan.has_value()));
      next = entry.vfs.back().last + 1;
    }
    entry.num_vfs = maybe([&] { return next + below(3); });
    for (const auto* key : {"vq", "namespaces", "vram", "type"}) {
      if (below(4) == 0) entry.settings[key] = text();
    }
    return entry;
  }

  sriov::PassthroughEntry passthrough() {
    sriov::PassthroughEntry entry;
    entry.bind = driver();
    entry.whole_group = flip();
    entry.early = entry.bind.ends_with("pci") && flip();
    for (const auto* method : {"pm", "flr", "bus"}) {
      if (flip()) entry.reset_methods.emplace_back(method);
    }
    entry.d3cold = maybe([&] { return flip(); });
    entry.power = maybe([&] { return std::string{flip() ? "on" : "auto"}; });
    entry.pool = pool();
    return entry;
  }

  sriov::DeviceEntry device(unsigned number) {
    static const std::vector<std::string> names{"lan", "no", "0", "1e3-", "null"};
    sriov::DeviceEntry device{.name = fmt::format("{}{}", number, names[number % names.size()])};
    device.match = match();
    device.expect.id = maybe([&] { return id(); });
    device.expect.subsystem = maybe([&] { return id(); });
    device.expect.driver = maybe([&] { return driver(); });
    device.expect.firmware = maybe([&] { return text(); });
    device.externally_managed = flip();
    const auto kind = below(3);
    if (kind == 0) device.sriov = sriov(number);
    if (kind == 1) device.passthrough = passthrough();
    return device;
  }

  std::mt19937 random_;
  std::vector<std::string> pools_;
  unsigned serial_{};
};

}  // namespace pcivm::test
