// SPDX-License-Identifier: GPL-2.0-or-later
// What supervisor and VMM tell each other about devices that come and go, as packets on a socket of their own. The
// supervisor checks, binds and opens; the VMM gets descriptors and facts, and opens nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/socket.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vmm {

/// From the supervisor.
struct PlugRequest {
  enum class Kind : std::uint8_t {
    attach,    ///< `opened` has the one device, its group, and a container or iommufd for when the VM has none
    ask_back,  ///< the guest is asked to let go of it
    take_out   ///< it goes without asking
  };
  Kind kind{};
  Bdf function{};
  unsigned slot{};            ///< of an attach: where it was the last time; 0 = anywhere
  vfio::OpenedVfio opened{};  ///< a group without a descriptor is one that the VMM has
};
/// The descriptors are copied to the VMM.
[[nodiscard]] Result<void> send(FdRef socket, const PlugRequest& request);
/// Errc::invalid when it says nothing of that kind.
[[nodiscard]] Result<PlugRequest> read_request(Packet packet);

/// From the VMM.
struct PlugReport {
  enum class Kind : std::uint8_t {
    placed,    ///< it is in `slot`: at the start of the VM, or attached
    failed,    ///< it is not attached, and nothing of it is left; why is in `error`
    refused,   ///< the guest will not let go of it; why is in `error`
    detached,  ///< it is closed; with a `slot`: that stays empty until the guest forgets the device
    vacated,   ///< the guest has forgotten the device that was in `slot`
    pulled     ///< it is taken from the guest and reset; `placed` when it is shown again
  };
  Kind kind{};
  Bdf function{};
  unsigned slot{};
  std::optional<Error> error{};
};
[[nodiscard]] Result<void> send(FdRef socket, const PlugReport& report);
[[nodiscard]] Result<PlugReport> read_report(const Packet& packet);

}  // namespace pcivm::vmm
