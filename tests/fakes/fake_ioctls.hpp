// SPDX-License-Identifier: GPL-2.0-or-later
// A kernel made of a table: request number to lambda. Descriptors that it hands out are real ones (memfd, eventfd).
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "base/ioctl.hpp"

namespace pcivm::test {

class FakeIoctls final : public IoctlPort {
 public:
  using Answer = std::function<int(FdRef fd, void* argument)>;
  void on(unsigned long request, Answer answer) { answers_[request] = std::move(answer); }
  /// Argument as the structure it is.
  template <class T>
  void on(unsigned long request, std::function<int(T&)> answer) {
    on(request, [answer](FdRef /*fd*/, void* argument) { return answer(*static_cast<T*>(argument)); });
  }
  void always(unsigned long request, int outcome) {
    on(request, [outcome](FdRef /*fd*/, void* /*argument*/) { return outcome; });
  }
  /// What a request that nothing was said of comes to.
  void otherwise(int outcome) { otherwise_ = outcome; }

  int call(FdRef fd, unsigned long request, void* argument) override {
    {
      const std::scoped_lock lock{mutex_};
      calls_.push_back(request);
    }
    const auto answer = answers_.find(request);
    return answer == answers_.end() ? otherwise_ : answer->second(fd, argument);
  }
  [[nodiscard]] std::size_t count(unsigned long request) const {
    const std::scoped_lock lock{mutex_};
    return static_cast<std::size_t>(std::ranges::count(calls_, request));
  }

 private:
  std::map<unsigned long, Answer> answers_;  // filled before threads start
  int otherwise_{-ENOTTY};
  mutable std::mutex mutex_;
  std::vector<unsigned long> calls_;  // guarded by mutex_
};

}  // namespace pcivm::test
