// SPDX-License-Identifier: GPL-2.0-or-later
// devlink as generic netlink messages (linux/devlink.h): pure functions. One struct serves for requests and answers,
// because the kernel tells in the attributes in which it takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/parse.hpp"
#include "base/result.hpp"

namespace pcivm::sriov {

enum class EswitchMode : std::uint16_t { legacy, switchdev };             ///< DEVLINK_ESWITCH_MODE_*
enum class InlineMode : std::uint8_t { none, link, network, transport };  ///< DEVLINK_ESWITCH_INLINE_MODE_*
enum class PortFlavour : std::uint16_t { physical = 0, pci_vf = 4 };      ///< those of DEVLINK_PORT_FLAVOUR_* used here

/// What a port function can do (DEVLINK_PORT_FN_ATTR_CAPS, Linux 6.3): `named` bits of `value` count.
struct FunctionCaps {
  std::uint32_t value{};
  std::uint32_t named{};
  static constexpr std::uint32_t kRoce{1U << 0U};
  static constexpr std::uint32_t kMigratable{1U << 1U};
  bool operator==(const FunctionCaps&) const = default;
};

/// Attributes that are not set are not sent, or were not told.
struct DevlinkMessage {
  std::uint8_t command{};  ///< DEVLINK_CMD_*
  bool dump{};             ///< of a request: all objects of that kind
  std::optional<Bdf> device{};
  std::optional<std::uint32_t> port{};
  std::optional<std::uint16_t> flavour{};
  std::optional<std::uint16_t> pf_number{};
  std::optional<std::uint16_t> vf_number{};
  std::optional<EswitchMode> mode{};
  std::optional<InlineMode> inline_mode{};
  std::optional<bool> encap{};
  std::optional<MacAddress> hw_addr{};
  std::optional<FunctionCaps> caps{};
  std::optional<std::uint64_t> tx_share{};  ///< bytes a second, 0 = no limit
  std::optional<std::uint64_t> tx_max{};    ///< the same
  std::optional<std::string> node{};        ///< of a rate node
  std::optional<std::string> parent{};      ///< rate node above; "" = none
  bool operator==(const DevlinkMessage&) const = default;
};

/// What one datagram of answers said.
struct DevlinkReply {
  bool complete{};  ///< acknowledged, or the end of a dump
  int error{};      ///< positive errno, 0 = success
  std::string message{};
  std::vector<DevlinkMessage> objects{};
};

/// The request for the number of the generic netlink family "devlink", and its answer: nothing without that family.
[[nodiscard]] std::vector<std::byte> encode_family_request(std::uint32_t sequence);
[[nodiscard]] Result<std::optional<std::uint16_t>> decode_family(std::span<const std::byte> datagram,
                                                                 std::uint32_t sequence);

[[nodiscard]] std::vector<std::byte> encode(const DevlinkMessage& message, std::uint16_t family,
                                            std::uint32_t sequence);
/// Messages with another sequence number are skipped. What is cut short is Errc::invalid.
[[nodiscard]] Result<DevlinkReply> decode_devlink(std::span<const std::byte> datagram, std::uint32_t sequence);

/// "legacy", "switchdev"
[[nodiscard]] std::string_view to_string(EswitchMode mode);
/// "none", "link", "network", "transport"
[[nodiscard]] std::string_view to_string(InlineMode mode);

}  // namespace pcivm::sriov
