// SPDX-License-Identifier: GPL-2.0-or-later
// The one event loop of a process: descriptors to callbacks, on epoll(7).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

class EventLoop;

enum class Interest : std::uint8_t {
  read,
  write,
  hang_up  ///< only that the other end is gone for good, or an error
};

/// A registration; destroying it unregisters, also from inside its own callback. Loop thread only, not after its loop.
/// The watched descriptor must stay open as long as the Watch: epoll keys on the open file, so close it after.
class [[nodiscard]] Watch final {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

 private:
  friend class EventLoop;
  Watch(EventLoop& loop, std::uint64_t id) : loop_{&loop}, id_{id} {}
  EventLoop* loop_{};
  std::uint64_t id_{};
};

class EventLoop final {
 public:
  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  /// Calls `callback` on the loop thread whenever `fd` is ready (also on hang-up and error). Level-triggered.
  /// Regular files are refused by epoll (EPERM). Loop thread only.
  [[nodiscard]] Result<Watch> watch(FdRef fd, Interest interest, std::function<void()> callback);

  /// Runs `work` on the loop thread, in order of posting. Any thread.
  void post(std::move_only_function<void()> work);

  /// Dispatches until stop(). Loop thread only.
  [[nodiscard]] Result<void> run();
  /// Makes run() return after the current callback. Any thread; a stop before run() is kept.
  void stop();

 private:
  friend class Watch;
  struct Entry {
    int fd{};
    std::function<void()> callback;
  };
  EventLoop(Fd epoll, Fd wake) : epoll_{std::move(epoll)}, wake_{std::move(wake)} {}
  void unwatch(std::uint64_t id) noexcept;
  void dispatch(std::uint64_t id);
  void run_posted();

  Fd epoll_;
  Fd wake_;
  std::atomic<bool> stopping_{false};
  std::uint64_t next_id_{1};  // 0 is wake_
  std::map<std::uint64_t, Entry> entries_;
  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;  // guarded by mutex_
};

}  // namespace pcivm
