// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/mac_template.hpp"

#include <string>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

constexpr std::string_view kIndex{"%02x"};
constexpr unsigned kOctet{256};

}  // namespace

Result<std::vector<MacAddress>> macs_of(std::string_view pattern, unsigned count) {
  const auto at = pattern.find(kIndex);
  const auto rest = at == std::string_view::npos ? std::string_view{} : pattern.substr(at + kIndex.size());
  if (at == std::string_view::npos && count > 1) {
    return fail(Error::make(Errc::invalid, fmt::format("{} VFs cannot all have the address {}", count, pattern))
                    .advise("write %02x in place of one octet, as in 02:11:22:33:44:%02x"));
  }
  if (rest.find('%') != std::string_view::npos) {
    return fail(Errc::invalid, fmt::format("'{}' has more than one %, wanted one %02x", pattern));
  }
  if (at != std::string_view::npos && count > kOctet) {
    return fail(Errc::invalid, fmt::format("'{}' gives {} addresses, {} are wanted", pattern, kOctet, count));
  }
  std::vector<MacAddress> macs;
  for (unsigned index = 0; index < count; ++index) {
    std::string text{pattern};
    if (at != std::string_view::npos) text.replace(at, kIndex.size(), fmt::format("{:02x}", index));
    macs.push_back(TRY_IN(MacAddress::parse(text), fmt::format("VF {}", index)));
  }
  return macs;
}

}  // namespace pcivm::sriov
