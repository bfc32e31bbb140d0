// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/pf_link.hpp"

#include <net/if.h>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

Result<std::string> link_file(const vfio::Host& host, Bdf physical, std::string_view file) {
  const auto interface = TRY(interface_of(host.root, physical));
  return fmt::format("{}/net/{}/{}", vfio::directory_of(physical), interface.name, file);
}

Error not_kept(const std::string& path, const std::string& wanted, const std::string& found) {
  return Error::make(Errc::kernel,
                     fmt::format("write '{}' to '{}' was accepted, but it reads '{}'", wanted, path, found));
}

}  // namespace

Result<void> set_mtu(const vfio::Host& host, Bdf physical, unsigned mtu) {
  const auto path = TRY(link_file(host, physical, "mtu"));
  const auto wanted = fmt::to_string(mtu);
  TRY(vfio::write_within(host, path, wanted));
  const auto found = TRY(host.root.read(path));
  if (found != wanted) return fail(not_kept(path, wanted, found));
  return {};
}

Result<void> set_up(const vfio::Host& host, Bdf physical, bool up) {
  const auto path = TRY(link_file(host, physical, "flags"));
  const auto before = TRY(host.root.read(path));
  const auto flags = TRY(parse_hex_prefixed<unsigned>(before));
  const auto wanted = fmt::format("{:#x}", up ? flags | IFF_UP : flags & ~unsigned{IFF_UP});
  TRY(vfio::write_within(host, path, wanted));
  const auto found = TRY(host.root.read(path));
  const auto after = TRY(parse_hex_prefixed<unsigned>(found));
  if (((after & IFF_UP) != 0) != up) return fail(not_kept(path, wanted, found));
  return {};
}

}  // namespace pcivm::sriov
