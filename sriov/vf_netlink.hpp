// SPDX-License-Identifier: GPL-2.0-or-later
// VF attributes by rtnetlink; the messages are in vf_message.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "sriov/netlink_socket.hpp"
#include "sriov/vf_message.hpp"
#include "sriov/vf_port.hpp"

namespace pcivm::sriov {

/// One socket; used by one thread.
class NetlinkVfPort final : public VfPort {
 public:
  [[nodiscard]] static Result<std::unique_ptr<NetlinkVfPort>> open();
  [[nodiscard]] Result<std::vector<VfAttributes>> read(int interface) override;
  /// Many messages go in one call of the kernel, and few calls bring their answers.
  [[nodiscard]] Result<std::vector<Refusal>> set(int interface, std::span<const VfSetting> settings) override;
  [[nodiscard]] Result<std::vector<DevlinkMessage>> devlink(const DevlinkMessage& request) override;
  [[nodiscard]] Result<std::vector<PermanentAddress>> permanent_addresses() override;

 private:
  explicit NetlinkVfPort(NetlinkSocket socket) : socket_{std::move(socket)} {}
  Result<void> set_some(int interface, std::span<const VfSetting> settings, std::size_t first,
                        std::vector<Refusal>& refusals);
  Result<void> open_devlink();

  NetlinkSocket socket_;
  std::uint32_t sequence_{};
  std::optional<NetlinkSocket> generic_{};  // opened when devlink is first asked
  std::uint16_t family_{};                  // 0 = this kernel has no devlink
};

}  // namespace pcivm::sriov
