// SPDX-License-Identifier: GPL-2.0-or-later
// Which functions must be looked at again after events, and when. Pure: it is told the time and starts nothing itself.
// One run at a time; events of one function that come close together are one run. The events that a run causes itself
// lead to one more run, which finds nothing to do and causes none; who does not come to rest waits longer each time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "base/bdf.hpp"
#include "udev/event.hpp"

namespace pcivm::udev {

/// A function; none = all that the configuration names.
using Target = std::optional<Bdf>;
[[nodiscard]] std::string to_string(const Target& target);

/// How a run ended.
enum class RunEnd : std::uint8_t {
  done,       ///< also when there was nothing to do
  try_again,  ///< somebody else was in the way: held the lock, or used the function
  failed,     ///< trying again would not help until something changes
};

class Reapplier final {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  struct Limits {
    Clock::duration quiet{std::chrono::milliseconds{300}};  ///< without events before a run
    Clock::duration patience{std::chrono::seconds{2}};      ///< a run is not put off longer than that by new events
    Clock::duration calm{std::chrono::seconds{60}};         ///< runs further apart have nothing to do with each other
    Clock::duration longest{std::chrono::seconds{60}};      ///< between two runs of one function
    unsigned tries{5};                                      ///< runs after one that ended with try_again
    std::size_t functions{256};                             ///< that may wait; more, and all are looked at instead
  };

  /// `start` begins a run, which ended() answers.
  using Start = std::function<void(const Target& target)>;
  explicit Reapplier(Start start);
  Reapplier(Start start, Limits limits);

  void on_event(const Event& event, Time now);
  /// All functions are to be looked at: at start, when asked to, when events were lost.
  void everything(Time now);
  void ended(RunEnd end, Time now);
  /// Starts what is due. To be called at next().
  void on_time(Time now);
  /// When something is due; none while a run goes on, and when nothing waits.
  [[nodiscard]] std::optional<Time> next() const;
  [[nodiscard]] bool running() const { return running_; }

 private:
  struct Due {
    Time first;  ///< event
    Time at;
    unsigned tries{};
  };
  struct Past {
    unsigned runs{};
    Time last;
  };
  void note(const Target& target, Time now);
  [[nodiscard]] Clock::duration pause_after(const Target& target, Time now) const;
  void forget_calm(Time now);
  [[nodiscard]] std::map<Target, Due>::const_iterator earliest() const;

  Start start_;
  Limits limits_;
  bool running_{};
  Target current_{};
  unsigned tries_{};  ///< of the current run
  std::map<Target, Due> due_{};
  std::map<Target, Past> past_{};
};

}  // namespace pcivm::udev
