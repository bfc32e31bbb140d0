// SPDX-License-Identifier: GPL-2.0-or-later
// Events of devices as udev sends them when its rules have run (libudev's "udev" source: names are final, properties
// of rules are there). The only file that includes libudev. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "udev/event.hpp"

struct udev;
struct udev_monitor;

namespace pcivm::udev {

class Monitor final {
 public:
  using OnEvent = std::function<void(const Event& event)>;
  /// Events were lost because they came faster than they were read: what is known of any device may be outdated.
  using OnLost = std::function<void()>;

  /// Only devices of these subsystems. Events that come after this returned are seen. Needs no root.
  [[nodiscard]] static Result<std::unique_ptr<Monitor>> open(EventLoop& loop, std::span<const std::string> subsystems,
                                                             OnEvent on_event, OnLost on_lost);
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  ~Monitor();

 private:
  struct Unref {
    void operator()(::udev* library) const;
    void operator()(udev_monitor* monitor) const;
  };
  Monitor(OnEvent on_event, OnLost on_lost);
  void receive();

  OnEvent on_event_;
  OnLost on_lost_;
  std::unique_ptr<::udev, Unref> library_;
  std::unique_ptr<udev_monitor, Unref> monitor_;
  Watch watch_;  // goes before the descriptor that it watches
};

}  // namespace pcivm::udev
