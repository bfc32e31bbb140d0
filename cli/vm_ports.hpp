// SPDX-License-Identifier: GPL-2.0-or-later
// The named ports of a VM's virtio console, on the host: a Unix socket each, whose clients are handed to the VMM.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::cli {

struct PortWish {
  std::string name{};
  std::string socket{};  ///< empty: one of the VM's own, /run/pcivm/vm/VM/port-NAME
};
/// `name=NAME[,socket=PATH]` each.
[[nodiscard]] Result<std::vector<PortWish>> parse_ports(const std::vector<std::string>& options);

/// In the supervisor; loop thread only. A port has one client at a time; who comes meanwhile waits. What passes between
/// client and guest never passes this process.
class VmPorts final {
 public:
  struct View {
    std::string name;
    std::string socket;
    bool client{};  ///< somebody is connected
  };
  /// Listens, mode 0600; from then on clients wait. Errc::busy: somebody listens there; refused: something else than a
  /// socket has that name. Sockets go with this object.
  [[nodiscard]] static Result<std::unique_ptr<VmPorts>> listen(const SysRoot& root, const std::string& vm,
                                                               const std::vector<PortWish>& wishes);
  VmPorts(const VmPorts&) = delete;
  VmPorts& operator=(const VmPorts&) = delete;
  ~VmPorts();

  /// What the VMM gets. Once.
  [[nodiscard]] std::vector<vmm::ConsolePortConfig> take_vmm_ends() { return std::move(vmm_ends_); }
  /// In the VMM's process: closes what is the supervisor's, and leaves its sockets alone.
  void leave();
  /// The loop outlives the object.
  [[nodiscard]] Result<void> serve(EventLoop& loop);
  [[nodiscard]] std::vector<View> view() const;

 private:
  struct Port {
    View view;
    Fd listener;
    ino_t inode{};  // of the socket's name
    Fd channel;     // to the VMM
    Watch waiting{};
    Watch heard{};  // watches go before the descriptors
  };
  VmPorts() = default;
  [[nodiscard]] Result<void> add(const PortWish& wish, const std::string& path);
  [[nodiscard]] static Result<void> await(EventLoop& loop, Port& port);
  static void on_client(Port& port);
  static void on_word(EventLoop& loop, Port& port);

  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<vmm::ConsolePortConfig> vmm_ends_;
};

}  // namespace pcivm::cli
