// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/monitor.hpp"

#include <cerrno>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <libudev.h>

#include "base/log.hpp"

namespace pcivm::udev {

namespace {

// A PF with 128 VFs sends about a thousand events of up to 2 KiB; the kernel takes the memory only as they queue up.
constexpr int kReceiveBuffer{64 << 20};

struct DeviceUnref {
  void operator()(udev_device* device) const { udev_device_unref(device); }
};
using Device = std::unique_ptr<udev_device, DeviceUnref>;

Event read(udev_device& device) {
  std::map<std::string, std::string, std::less<>> properties;
  for (auto* entry = udev_device_get_properties_list_entry(&device); entry != nullptr;
       entry = udev_list_entry_get_next(entry)) {
    const auto* value = udev_list_entry_get_value(entry);
    properties.emplace(udev_list_entry_get_name(entry), value == nullptr ? "" : value);
  }
  return event_of(properties);
}

std::unexpected<Error> refused(int result, std::string_view what) {
  return fail(Error::from_errno(result < 0 ? -result : ENOMEM, fmt::format("watch devices: {}", what)));
}

}  // namespace

void Monitor::Unref::operator()(::udev* library) const { udev_unref(library); }
void Monitor::Unref::operator()(udev_monitor* monitor) const { udev_monitor_unref(monitor); }

Monitor::Monitor(OnEvent on_event, OnLost on_lost) : on_event_{std::move(on_event)}, on_lost_{std::move(on_lost)} {}
Monitor::~Monitor() = default;

Result<std::unique_ptr<Monitor>> Monitor::open(EventLoop& loop, std::span<const std::string> subsystems,
                                               OnEvent on_event, OnLost on_lost) {
  std::unique_ptr<Monitor> made{new Monitor{std::move(on_event), std::move(on_lost)}};
  made->library_.reset(udev_new());
  if (!made->library_) return refused(-errno, "udev_new");
  made->monitor_.reset(udev_monitor_new_from_netlink(made->library_.get(), "udev"));
  auto* monitor = made->monitor_.get();
  if (monitor == nullptr) return refused(-errno, "open the netlink socket of udev");
  for (const auto& subsystem : subsystems) {
    const int result = udev_monitor_filter_add_match_subsystem_devtype(monitor, subsystem.c_str(), nullptr);
    if (result < 0) return refused(result, fmt::format("filter for {}", subsystem));
  }
  // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what is lost then is told by on_lost.
  if (udev_monitor_set_receive_buffer_size(monitor, kReceiveBuffer) < 0) {
    log::debug("the receive buffer of the udev monitor stays at its default size");
  }
  const int result = udev_monitor_enable_receiving(monitor);
  if (result < 0) return refused(result, "bind the netlink socket of udev");
  auto* self = made.get();
  made->watch_ = TRY(loop.watch(FdRef{udev_monitor_get_fd(monitor)}, Interest::read, [self] { self->receive(); }));
  return made;
}

void Monitor::receive() {
  errno = 0;
  const Device device{udev_monitor_receive_device(monitor_.get())};
  if (device) {
    on_event_(read(*device));
  } else if (errno == ENOBUFS) {
    on_lost_();
  }  // else: a message that was none of udev's, or none left
}

}  // namespace pcivm::udev
