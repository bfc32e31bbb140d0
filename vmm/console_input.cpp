// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/console_input.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace pcivm::vmm {

namespace {
constexpr std::size_t kChunk = 256;
}

Result<std::unique_ptr<ConsoleInput>> ConsoleInput::create(EventLoop& loop, FdRef in, Callbacks callbacks) {
  std::unique_ptr<ConsoleInput> input{new ConsoleInput{loop, in, std::move(callbacks)}};
  TRY(input->listen());
  if (!input->polled_) input->on_readable();
  return input;
}

Result<void> ConsoleInput::listen() {
  auto watch = loop_.watch(FdRef{in_}, Interest::read, [this] { on_readable(); });
  if (!watch && watch.error().sys_errno() == EPERM) {
    polled_ = false;
    return {};
  }
  if (!watch) return fail(std::move(watch).error().within("console input"));
  readable_ = std::move(*watch);
  return {};
}

void ConsoleInput::on_readable() {
  while (!ended_ && backlog_.empty()) {
    std::array<std::byte, kChunk> chunk{};
    const auto count = read_some(FdRef{in_}, chunk);
    if (!count && count.error().sys_errno() == EAGAIN) return;
    ended_ = !count || *count == 0;
    if (ended_) break;
    const auto bytes = std::span{chunk}.first(*count);
    const auto escape = callbacks_.escape ? std::ranges::find(bytes, kEscape) : bytes.end();
    backlog_.assign(bytes.begin(), escape);
    const bool escaped = escape != bytes.end();
    ended_ = escaped;
    offer();
    if (escaped) callbacks_.escape();
    if (polled_) break;
  }
  // A level-triggered watch on input that cannot be passed on would spin.
  if (ended_ || !backlog_.empty()) readable_ = Watch{};
  tell_end();
}

void ConsoleInput::tell_end() {
  if (!ended_ || !backlog_.empty() || !callbacks_.ended) return;
  loop_.post(std::exchange(callbacks_.ended, {}));
}

void ConsoleInput::offer() {
  const auto taken = callbacks_.deliver(backlog_);
  backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(std::min(taken, backlog_.size())));
}

void ConsoleInput::ready() {
  if (backlog_.empty()) return;
  offer();
  tell_end();
  if (!backlog_.empty() || ended_) return;
  if (!polled_) {
    on_readable();
  } else if (!listen()) {
    ended_ = true;
  }
}

}  // namespace pcivm::vmm
