// SPDX-License-Identifier: GPL-2.0-or-later
// An NVMe drive with secondary controllers, behind NVME_IOCTL_ADMIN_CMD of one PF of a FakeKernel. Commands that change
// it pass the kernel's count of writes, so that its faults hit them too.
#pragma once

#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include <bit>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/fakes/fake_kernel.hpp"

namespace pcivm::test {

class FakeNvme final {
 public:
  struct Controller {
    unsigned queues{};
    unsigned interrupts{};
    bool online{};
    bool operator==(const Controller&) const = default;
  };
  struct Pool {
    unsigned total{};
    unsigned of_primary{};
    unsigned next_of_primary{};
    unsigned most{};
    bool operator==(const Pool&) const = default;
  };

  /// Secondary controllers 5, 6, ... belong to VFs 1, 2, ...; the primary one is 1.
  FakeNvme(FakeKernel& kernel, std::string pf, unsigned vfs) : kernel_{kernel}, pf_{std::move(pf)} {
    kernel_.add_driver("nvme");
    kernel_.add(pf_, {.native = "nvme", .driver = "nvme", .total_vfs = vfs, .vf_native = "nvme"}, 6, "0x0010");
    kernel_.tree().file(directory() + "/class", "0x010802\n");
    kernel_.tree().file(directory() + "/nvme/nvme0/state", "live\n");
    kernel_.tree().file("/dev/nvme0", "");
    kernel_.tree().file(kCommand, "");
    for (unsigned index = 0; index < vfs; ++index) controllers[static_cast<std::uint16_t>(5 + index)] = {};
    queues = {.total = 2 * vfs, .of_primary = 2 * vfs, .next_of_primary = 2 * vfs, .most = 4};
    interrupts = {.total = vfs, .of_primary = vfs, .next_of_primary = vfs, .most = 2};
    ioctls.on<nvme_passthru_cmd>(NVME_IOCTL_ADMIN_CMD, [this](nvme_passthru_cmd& command) { return admin(command); });
    kernel_.handle_others([this](std::string_view path, std::string_view) { return on_write(path); });
    kernel_.on_reset([this] { return on_reset(); });
  }

  FakeIoctls ioctls;
  bool virtualization{true};
  Pool queues;
  Pool interrupts;
  std::map<std::uint16_t, Controller> controllers;
  std::map<std::uint32_t, std::set<std::uint16_t>> namespaces{{1, {1}}, {2, {1}}, {3, {}}};
  int resets{};
  std::string state_after_reset{"live"};

 private:
  static constexpr auto* kCommand = "/dev/nvme0-command";

  [[nodiscard]] std::string directory() const { return FakeKernel::device_directory(pf_); }

  int admin(nvme_passthru_cmd& command) {
    if (command.opcode == 0x06) return identify(command);
    pending_ = command;
    status_ = 0;
    const auto done = kernel_.root().write(kCommand, fmt::format("{:02x} {:x}", command.opcode, command.cdw10));
    return done ? status_ : -done.error().sys_errno();
  }

  int on_reset() {
    ++resets;
    queues.of_primary = queues.next_of_primary;
    interrupts.of_primary = interrupts.next_of_primary;
    kernel_.tree().file(directory() + "/nvme/nvme0/state", state_after_reset + "\n");
    return 0;
  }

  int on_write(std::string_view path) {
    if (path != kCommand) return ENOENT;
    status_ = pending_.opcode == 0x15 ? attach() : manage();
    return 0;
  }

  std::byte* data_of(const nvme_passthru_cmd& command) { return std::bit_cast<std::byte*>(command.addr); }
  template <class T>
  static void put(std::byte* data, std::size_t offset, T value) {
    std::memcpy(data + offset, &value, sizeof value);
  }

  int identify(const nvme_passthru_cmd& command) {
    auto* data = data_of(command);
    std::memset(data, 0, command.data_len);
    const auto from = static_cast<std::uint16_t>(command.cdw10 >> 16U);
    switch (command.cdw10 & 0xffU) {
      case 0x01:
        put<std::uint16_t>(data, 78, 1);
        put<std::uint16_t>(data, 256, virtualization ? 0x88 : 0x08);
        return 0;
      case 0x10: return list_namespaces(data, command.nsid);
      case 0x12: return list_controllers(data, command.nsid);
      case 0x14: return capabilities(data, from);
      case 0x15: return list_secondaries(data, from);
      default: return 0x4002;
    }
  }

  int list_namespaces(std::byte* data, std::uint32_t after) {
    std::size_t offset{};
    for (const auto& [nsid, attached] : namespaces) {
      if (nsid <= after) continue;
      put(data, offset, nsid);
      offset += 4;
    }
    return 0;
  }
  int list_controllers(std::byte* data, std::uint32_t nsid) {
    if (!namespaces.contains(nsid)) return 0x400b;
    std::size_t offset{2};
    for (const auto id : namespaces[nsid]) {
      put(data, offset, id);
      offset += 2;
    }
    put(data, 0, static_cast<std::uint16_t>(namespaces[nsid].size()));
    return 0;
  }
  int capabilities(std::byte* data, std::uint16_t id) {
    if (id != 1) return 0x411f;
    put<std::uint8_t>(data, 4, 3);
    put_pool(data, 32, queues, of_secondaries(&Controller::queues));
    put_pool(data, 64, interrupts, of_secondaries(&Controller::interrupts));
    return 0;
  }
  static void put_pool(std::byte* data, std::size_t base, const Pool& pool, unsigned assigned) {
    put(data, base, pool.total);
    put(data, base + 4, assigned);
    put(data, base + 8, static_cast<std::uint16_t>(pool.of_primary));
    put(data, base + 12, static_cast<std::uint16_t>(pool.most));
    put<std::uint16_t>(data, base + 14, 1);
  }
  int list_secondaries(std::byte* data, std::uint16_t from) {
    std::uint8_t count{};
    for (const auto& [id, controller] : controllers) {
      if (id < from || count == 127) continue;
      auto* entry = data + 32 * (count + 1);
      put(entry, 0, id);
      put<std::uint8_t>(entry, 4, controller.online ? 1 : 0);
      put(entry, 8, static_cast<std::uint16_t>(id - 4));
      put(entry, 10, static_cast<std::uint16_t>(controller.queues));
      put(entry, 12, static_cast<std::uint16_t>(controller.interrupts));
      ++count;
    }
    put(data, 0, count);
    return 0;
  }

  unsigned of_secondaries(unsigned Controller::* member) const {
    unsigned sum{};
    for (const auto& [id, controller] : controllers) sum += controller.*member;
    return sum;
  }

  int attach() {
    if (!namespaces.contains(pending_.nsid)) return 0x400b;
    std::uint16_t id{};
    std::memcpy(&id, data_of(pending_) + 2, sizeof id);
    auto& attached = namespaces[pending_.nsid];
    if ((pending_.cdw10 & 0xfU) == 0) return attached.insert(id).second ? 0 : 0x4118;
    return attached.erase(id) == 1 ? 0 : 0x411a;
  }

  int manage() {
    const auto action = pending_.cdw10 & 0xfU;
    const auto id = static_cast<std::uint16_t>(pending_.cdw10 >> 16U);
    const bool is_interrupt = (pending_.cdw10 >> 8U & 7U) == 1;
    auto& pool = is_interrupt ? interrupts : queues;
    unsigned Controller::* const member = is_interrupt ? &Controller::interrupts : &Controller::queues;
    if (action == 1) {
      if (id != 1) return 0x411f;
      if (pending_.cdw11 > pool.total - of_secondaries(member)) return 0x4122;
      pool.next_of_primary = pending_.cdw11;
      return 0;
    }
    const auto found = controllers.find(id);
    if (found == controllers.end()) return 0x411f;
    auto& controller = found->second;
    if (action == 8) return assign(controller, member, pool);
    if (action == 9 && (kernel_.at(pf_).num_vfs < id - 4U || controller.queues < 2 || controller.interrupts < 1)) {
      return 0x4120;
    }
    controller.online = action == 9;
    return 0;
  }

  int assign(Controller& controller, unsigned Controller::* member, const Pool& pool) {
    if (controller.online) return 0x4120;
    if (pending_.cdw11 > pool.most) return 0x4121;
    const auto others = of_secondaries(member) - controller.*member;
    if (pending_.cdw11 + others + pool.of_primary > pool.total) return 0x4122;
    controller.*member = pending_.cdw11;
    return 0;
  }

  FakeKernel& kernel_;
  std::string pf_;
  nvme_passthru_cmd pending_{};
  int status_{};
};

}  // namespace pcivm::test
