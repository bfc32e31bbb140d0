// SPDX-License-Identifier: GPL-2.0-or-later
// Runs an action when a scope is left, unless it was dismissed.
#pragma once

#include <utility>

namespace pcivm {

template <class Action>
class [[nodiscard]] ScopeExit final {
 public:
  explicit ScopeExit(Action action) : action_{std::move(action)} {}
  ~ScopeExit() {
    if (armed_) action_();
  }
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;
  void dismiss() { armed_ = false; }

 private:
  Action action_;
  bool armed_{true};
};

}  // namespace pcivm
