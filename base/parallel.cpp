// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace pcivm {

Result<void> in_parallel(std::size_t count, std::size_t threads, const std::function<Result<void>(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::optional<Error> failure;
  const auto take_turns = [&] {
    for (auto index = next++; index < count; index = next++) {
      auto done = work(index);
      if (done) continue;
      const std::scoped_lock lock{mutex};
      failure = std::move(done).error();
      next = count;
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t thread = 1; thread < std::min(threads, count); ++thread) others.emplace_back(take_turns);
    take_turns();
  }
  if (failure) return fail(std::move(*failure));
  return {};
}

}  // namespace pcivm
