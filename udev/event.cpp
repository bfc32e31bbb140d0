// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/event.hpp"

namespace pcivm::udev {

Event event_of(const std::map<std::string, std::string, std::less<>>& properties) {
  const auto value = [&properties](std::string_view key) {
    const auto found = properties.find(key);
    return found == properties.end() ? std::string{} : found->second;
  };
  const auto path = value("DEVPATH");
  return {.action = value("ACTION"),
          .subsystem = value("SUBSYSTEM"),
          .name = path.substr(path.rfind('/') + 1),  // npos + 1 is 0
          .function = function_in(path),
          .driver = value("DRIVER"),
          .managed = value("PCIVM_MANAGED") == "1"};
}

std::optional<Bdf> function_in(std::string_view devpath) {
  while (!devpath.empty()) {
    const auto slash = devpath.rfind('/');
    const auto part = slash == std::string_view::npos ? devpath : devpath.substr(slash + 1);
    // With the domain only: an interface may be called "3b:00.1".
    if (part.find(':') != part.rfind(':')) {
      if (const auto function = Bdf::parse(part)) return *function;
    }
    if (slash == std::string_view::npos) break;
    devpath = devpath.substr(0, slash);
  }
  return std::nullopt;
}

}  // namespace pcivm::udev
