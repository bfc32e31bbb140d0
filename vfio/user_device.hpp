// SPDX-License-Identifier: GPL-2.0-or-later
// A PCI device that another process serves over a socket (vfio-user): SPDK's NVMe controllers, devices of libvfio-user.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "vfio/device_port.hpp"
#include "vfio/opened.hpp"
#include "vfio/user_client.hpp"

namespace pcivm::vfio {

/// The privileged side: connects to the server, agrees with it and asks for the BARs. `index` tells such devices of a
/// VM apart, 0 to 31. Errc::not_found: nobody listens there; kernel: what it says makes no sense.
[[nodiscard]] Result<OpenedDevice> open_user_device(const std::string& path, unsigned index,
                                                    UserClient::Milliseconds patience = UserClient::kPatience);

/// Its device; `client` outlives it. Once the server is lost, all but writes and interrupts fail: what it would be told
/// has nobody to hear it. Of the interrupts, "request" is ours and says that, and there is no "error".
[[nodiscard]] std::unique_ptr<DevicePort> make_user_port(UserClient& client);

}  // namespace pcivm::vfio
