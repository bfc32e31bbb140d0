// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/monitor.hpp"

#include <cerrno>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <libudev.h>

#include "base/lazy_library.hpp"
#include "base/log.hpp"

namespace pcivm::udev {

namespace {

// A PF with 128 VFs sends about a thousand events of up to 2 KiB; the kernel takes the memory only as they queue up.
constexpr int kReceiveBuffer{64 << 20};

struct Libudev {
  decltype(&::udev_new) make;
  decltype(&::udev_unref) unref;
  decltype(&::udev_monitor_new_from_netlink) monitor;
  decltype(&::udev_monitor_unref) unref_monitor;
  decltype(&::udev_monitor_filter_add_match_subsystem_devtype) filter;
  decltype(&::udev_monitor_set_receive_buffer_size) set_buffer;
  decltype(&::udev_monitor_enable_receiving) enable;
  decltype(&::udev_monitor_get_fd) descriptor;
  decltype(&::udev_monitor_receive_device) receive;
  decltype(&::udev_device_unref) unref_device;
  decltype(&::udev_device_get_properties_list_entry) properties;
  decltype(&::udev_list_entry_get_next) next;
  decltype(&::udev_list_entry_get_name) name;
  decltype(&::udev_list_entry_get_value) value;
};

Libudev udev_functions{};  // there is a monitor only when all of them are

Result<void> load() {
  return LazyLibrary{"libudev.so.1"}
      .take("udev_new", udev_functions.make)
      .take("udev_unref", udev_functions.unref)
      .take("udev_monitor_new_from_netlink", udev_functions.monitor)
      .take("udev_monitor_unref", udev_functions.unref_monitor)
      .take("udev_monitor_filter_add_match_subsystem_devtype", udev_functions.filter)
      .take("udev_monitor_set_receive_buffer_size", udev_functions.set_buffer)
      .take("udev_monitor_enable_receiving", udev_functions.enable)
      .take("udev_monitor_get_fd", udev_functions.descriptor)
      .take("udev_monitor_receive_device", udev_functions.receive)
      .take("udev_device_unref", udev_functions.unref_device)
      .take("udev_device_get_properties_list_entry", udev_functions.properties)
      .take("udev_list_entry_get_next", udev_functions.next)
      .take("udev_list_entry_get_name", udev_functions.name)
      .take("udev_list_entry_get_value", udev_functions.value)
      .whole("libudev1");
}

using Device = std::unique_ptr<udev_device, decltype(Libudev::unref_device)>;

Event read(udev_device& device) {
  std::map<std::string, std::string, std::less<>> properties;
  for (auto* entry = udev_functions.properties(&device); entry != nullptr; entry = udev_functions.next(entry)) {
    const auto* value = udev_functions.value(entry);
    properties.emplace(udev_functions.name(entry), value == nullptr ? "" : value);
  }
  return event_of(properties);
}

std::unexpected<Error> refused(int result, std::string_view what) {
  return fail(Error::from_errno(result < 0 ? -result : ENOMEM, fmt::format("watch devices: {}", what)));
}

}  // namespace

void Monitor::Unref::operator()(::udev* library) const { udev_functions.unref(library); }
void Monitor::Unref::operator()(udev_monitor* monitor) const { udev_functions.unref_monitor(monitor); }

Monitor::Monitor(OnEvent on_event, OnLost on_lost) : on_event_{std::move(on_event)}, on_lost_{std::move(on_lost)} {}
Monitor::~Monitor() = default;

Result<std::unique_ptr<Monitor>> Monitor::open(EventLoop& loop, std::span<const std::string> subsystems,
                                               OnEvent on_event, OnLost on_lost) {
  std::unique_ptr<Monitor> made{new Monitor{std::move(on_event), std::move(on_lost)}};
  TRY(load());
  made->library_.reset(udev_functions.make());
  if (!made->library_) return refused(-errno, "udev_new");
  made->monitor_.reset(udev_functions.monitor(made->library_.get(), "udev"));
  auto* monitor = made->monitor_.get();
  if (monitor == nullptr) return refused(-errno, "open the netlink socket of udev");
  for (const auto& subsystem : subsystems) {
    const int result = udev_functions.filter(monitor, subsystem.c_str(), nullptr);
    if (result < 0) return refused(result, fmt::format("filter for {}", subsystem));
  }
  // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what is lost then is told by on_lost.
  if (udev_functions.set_buffer(monitor, kReceiveBuffer) < 0) {
    log::debug("the receive buffer of the udev monitor stays at its default size");
  }
  const int result = udev_functions.enable(monitor);
  if (result < 0) return refused(result, "bind the netlink socket of udev");
  auto* self = made.get();
  made->watch_ =
      TRY(loop.watch(FdRef{udev_functions.descriptor(monitor)}, Interest::read, [self] { self->receive(); }));
  return made;
}

void Monitor::receive() {
  errno = 0;
  const Device device{udev_functions.receive(monitor_.get()), udev_functions.unref_device};
  if (device) {
    on_event_(read(*device));
  } else if (errno == ENOBUFS) {
    on_lost_();
  }  // else: a message that was none of udev's, or none left
}

}  // namespace pcivm::udev
