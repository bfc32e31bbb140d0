// SPDX-License-Identifier: GPL-2.0-or-later
// IoEngine without a queue in the kernel: each call is made where it is asked for.
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "vmm/virtio/io_engine.hpp"

namespace pcivm::vmm {

namespace {

class PlainEngine final : public IoEngine {
 public:
  [[nodiscard]] std::string_view name() const override { return "plain"; }
  Result<void> watch(FdRef event, std::uint64_t token) override {
    add(event, POLLIN, token, true);
    return {};
  }
  void poll_readable(FdRef fd, std::uint64_t token) override { add(fd, POLLIN, token, false); }
  void poll_writable(FdRef fd, std::uint64_t token) override { add(fd, POLLOUT, token, false); }

  void read(FdRef file, std::uint64_t offset, std::span<const iovec> to, std::uint64_t token) override {
    finish(token, [&] { return ::preadv(file.number(), to.data(), parts(to), static_cast<off_t>(offset)); });
  }
  void write(FdRef file, std::uint64_t offset, std::span<const iovec> from, std::uint64_t token) override {
    finish(token, [&] { return ::pwritev(file.number(), from.data(), parts(from), static_cast<off_t>(offset)); });
  }
  void sync(FdRef file, std::uint64_t token) override {
    finish(token, [&] { return ::fdatasync(file.number()); });
  }
  void allocate(FdRef file, int mode, std::uint64_t offset, std::uint64_t length, std::uint64_t token) override {
    finish(token,
           [&] { return ::fallocate(file.number(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)); });
  }
  void signal(FdRef event) override { signal_eventfd(event); }

  Result<void> wait(std::vector<Completion>& done) override {
    std::ranges::copy(finished_, std::back_inserter(done));
    const bool block = finished_.empty();
    finished_.clear();
    const int ready = ::poll(entries_.data(), entries_.size(), block ? -1 : 0);
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if (ready <= 0) return {};
    for (std::size_t index = 0; index < entries_.size(); ++index) {
      if (entries_[index].revents == 0) continue;
      if (polled_[index].for_ever) (void)drain_eventfd(FdRef{entries_[index].fd});
      done.push_back({.token = polled_[index].token, .result = entries_[index].revents});
      if (!polled_[index].for_ever) entries_[index].fd = -1;
    }
    return {};
  }

 private:
  struct Polled {
    std::uint64_t token;
    bool for_ever;
  };
  static int parts(std::span<const iovec> list) {
    return static_cast<int>(std::min<std::size_t>(list.size(), IOV_MAX));
  }
  template <class Call>
  void finish(std::uint64_t token, Call&& call) {
    ssize_t outcome = 0;
    do {
      outcome = call();
    } while (outcome < 0 && errno == EINTR);
    finished_.push_back({.token = token, .result = static_cast<std::int32_t>(outcome < 0 ? -errno : outcome)});
  }
  // The place of a poll that is over is used again.
  void add(FdRef fd, short events, std::uint64_t token, bool for_ever) {
    const auto free = std::ranges::find(entries_, -1, &pollfd::fd);
    const auto index = static_cast<std::size_t>(free - entries_.begin());
    if (free == entries_.end()) {
      entries_.emplace_back();
      polled_.emplace_back();
    }
    entries_[index] = {.fd = fd.number(), .events = events, .revents = 0};
    polled_[index] = {.token = token, .for_ever = for_ever};
  }

  std::vector<pollfd> entries_;
  std::vector<Polled> polled_;  // by index of entries_
  std::vector<Completion> finished_;
};

}  // namespace

std::unique_ptr<IoEngine> make_plain_engine() { return std::make_unique<PlainEngine>(); }

std::unique_ptr<IoEngine> IoEngine::create(std::string& why) {
  auto engine = make_uring_engine();
  if (engine) return std::move(*engine);
  why = engine.error().text();
  return make_plain_engine();
}

}  // namespace pcivm::vmm
