// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/rules.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace pcivm::udev {

namespace {

constexpr std::string_view kHead{
    "# Made from /etc/pcivm by `pcivm udev install`, which overwrites what is changed here. See docs/boot.md.\n"};
// udev reads lines of up to 16 KiB; an address takes 13 bytes of one.
constexpr std::size_t kMostAddresses{512};
constexpr std::size_t kLongestInterface{15};  // IFNAMSIZ - 1
constexpr std::size_t kLongestDriver{64};

bool made_of(std::string_view text, std::string_view more) {
  return !text.empty() && std::ranges::all_of(text, [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

Result<void> check_driver(const WholeFunction& function) {
  const auto& name = function.early_driver;
  if (made_of(name, "-_") && name.size() <= kLongestDriver) return {};
  return fail(Error::make(Errc::invalid,
                          fmt::format("{}: '{}' cannot be the name of a driver", function.function.to_string(), name))
                  .advise("drivers are named by letters, digits, '-' and '_', as vfio-pci is"));
}

Result<void> check_interface(const RuledVf& vf) {
  const bool named = made_of(vf.name, "-_.") && vf.name.size() <= kLongestInterface && vf.name != "." &&
                     vf.name != ".." && vf.name != "all" && vf.name != "default";
  if (named) return {};
  return fail(Error::make(Errc::invalid,
                          fmt::format("{}: '{}' cannot be the name of an interface", vf.function.to_string(), vf.name))
                  .advise("up to 15 letters, digits, '-', '_' and '.', and neither 'all' nor 'default'"));
}

/// Names of devices in the configuration are of this form; another one is not worth a comment that could be a rule.
std::string comment(std::string_view device) {
  return made_of(device, "-") ? fmt::format("# {}\n", device) : std::string{};
}

std::string match(const WholeFunction& function) {
  return fmt::format(R"(SUBSYSTEM=="pci", KERNEL=="{}", ATTR{{vendor}}=="0x{:04x}", ATTR{{device}}=="0x{:04x}")",
                     function.function.to_string(), function.vendor_id, function.device_id);
}

/// One rule for VFs of one device, or some for very many.
std::string rules_for(const std::vector<std::string>& addresses, std::string_view then) {
  std::string text;
  for (std::size_t at = 0; at < addresses.size(); at += kMostAddresses) {
    const auto end = std::min(at + kMostAddresses, addresses.size());
    const std::vector<std::string> some(addresses.begin() + static_cast<std::ptrdiff_t>(at),
                                        addresses.begin() + static_cast<std::ptrdiff_t>(end));
    text += fmt::format("KERNELS==\"{}\", {}\n", fmt::join(some, "|"), then);
  }
  return text;
}

std::string guest_rules(const std::vector<RuledVf>& vfs) {
  std::map<std::string, std::vector<std::string>> by_device;
  for (const auto& vf : vfs) {
    if (vf.for_guests) by_device[vf.device].push_back(vf.function.to_string());
  }
  std::string text;
  for (const auto& [device, addresses] : by_device) {
    text += comment(device) + rules_for(addresses, R"(ENV{PCIVM_UNMANAGED}="1")");
  }
  return text;
}

Result<std::string> interface_rules(const std::vector<RuledVf>& vfs) {
  auto text = guest_rules(vfs);
  for (const auto& vf : vfs) {
    if (vf.name.empty()) continue;
    TRY(check_interface(vf));
    text += comment(vf.device) + fmt::format("KERNELS==\"{}\", NAME=\"{}\"\n", vf.function.to_string(), vf.name);
  }
  return text;
}

}  // namespace

Result<std::string> early_rules(const RuleFacts& facts) {
  std::string text;
  for (const auto& function : facts.functions) {
    if (function.early_driver.empty()) continue;
    TRY(check_driver(function));
    // Whichever comes later, this probe or the driver's own when it is loaded, finds the override. The module is that
    // of the driver's name; modprobe takes "-" for "_".
    text += comment(function.device) +
            fmt::format(R"(ACTION=="add", {}, ATTR{{driver_override}}="{}", )"
                        R"(ATTR{{[subsystem/pci]drivers_probe}}="$kernel", RUN{{builtin}}+="kmod load {}")"
                        "\n",
                        match(function), function.early_driver, function.early_driver);
  }
  return text.empty() ? text : fmt::format("{}{}", kHead, text);
}

Result<std::string> host_rules(const RuleFacts& facts) {
  std::string functions;
  for (const auto& function : facts.functions) {
    functions += comment(function.device) + fmt::format(R"({}, ENV{{PCIVM_MANAGED}}="1", TAG+="systemd", )"
                                                        R"(ENV{{SYSTEMD_WANTS}}+="pcivm-device@$kernel.service")"
                                                        "\n",
                                                        match(function));
  }
  const auto interfaces = TRY(interface_rules(facts.vfs));
  if (functions.empty() && interfaces.empty()) return std::string{};
  auto text = fmt::format("{}ACTION==\"remove|unbind\", GOTO=\"pcivm_host_end\"\n{}", kHead, functions);
  if (!interfaces.empty()) {
    text += fmt::format("SUBSYSTEM!=\"net\", GOTO=\"pcivm_host_end\"\n{}", interfaces);
    text += "ENV{PCIVM_UNMANAGED}==\"1\", ENV{NM_UNMANAGED}=\"1\", ENV{ID_NET_MANAGED_BY}=\"pcivm\"\n";
  }
  return text + "LABEL=\"pcivm_host_end\"\n";
}

}  // namespace pcivm::udev
