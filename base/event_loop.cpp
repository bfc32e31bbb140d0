// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/event_loop.hpp"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>

namespace pcivm {

namespace {

constexpr std::uint64_t kWakeId = 0;

Result<void> add(FdRef epoll, FdRef fd, std::uint32_t events, std::uint64_t id) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll.number(), EPOLL_CTL_ADD, fd.number(), &event) != 0) return fail_errno(errno, "epoll_ctl add");
  return {};
}

std::uint32_t events_of(Interest interest) {
  switch (interest) {
    case Interest::read: return EPOLLIN;
    case Interest::write: return EPOLLOUT;
    case Interest::hang_up: return 0;  // EPOLLHUP and EPOLLERR come in any case
  }
  return 0;
}

}  // namespace

Watch::Watch(Watch&& other) noexcept : loop_{std::exchange(other.loop_, nullptr)}, id_{other.id_} {}

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    if (loop_ != nullptr) loop_->unwatch(id_);
    loop_ = std::exchange(other.loop_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Watch::~Watch() {
  if (loop_ != nullptr) loop_->unwatch(id_);
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  auto epoll = Fd::adopt(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "epoll_create1");
  auto wake = TRY(make_eventfd());
  TRY(add(epoll.ref(), wake.ref(), EPOLLIN, kWakeId));
  return std::unique_ptr<EventLoop>{new EventLoop{std::move(epoll), std::move(wake)}};
}

Result<Watch> EventLoop::watch(FdRef fd, Interest interest, std::function<void()> callback) {
  const auto id = next_id_++;
  TRY(add(epoll_.ref(), fd, events_of(interest), id));
  entries_.emplace(id, Entry{.fd = fd.number(), .callback = std::move(callback)});
  return Watch{*this, id};
}

void EventLoop::unwatch(std::uint64_t id) noexcept {
  auto node = entries_.extract(id);
  if (node.empty()) return;
  (void)::epoll_ctl(epoll_.ref().number(), EPOLL_CTL_DEL, node.mapped().fd, nullptr);
}

void EventLoop::post(std::move_only_function<void()> work) {
  {
    const std::scoped_lock lock{mutex_};
    posted_.push_back(std::move(work));
  }
  signal_eventfd(wake_.ref());
}

void EventLoop::stop() {
  stopping_ = true;
  signal_eventfd(wake_.ref());
}

void EventLoop::run_posted() {
  (void)drain_eventfd(wake_.ref());
  std::vector<std::move_only_function<void()>> batch;
  {
    const std::scoped_lock lock{mutex_};
    batch.swap(posted_);
  }
  for (auto& work : batch) work();
}

void EventLoop::dispatch(std::uint64_t id) {
  if (id == kWakeId) {
    run_posted();
    return;
  }
  // An earlier callback of this round may have dropped it.
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  // The callable lives here while it runs: it may drop its own Watch.
  auto callback = std::move(entry->second.callback);
  callback();
  const auto still = entries_.find(id);
  if (still != entries_.end()) still->second.callback = std::move(callback);
}

Result<void> EventLoop::run() {
  std::array<epoll_event, 16> events{};
  while (!stopping_) {
    const int count = ::epoll_wait(epoll_.ref().number(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return fail_errno(errno, "epoll_wait");
    for (int index = 0; index < count && !stopping_; ++index) {
      dispatch(events.at(static_cast<std::size_t>(index)).data.u64);
    }
  }
  stopping_ = false;
  return {};
}

}  // namespace pcivm
