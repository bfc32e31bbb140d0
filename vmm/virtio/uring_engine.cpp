// SPDX-License-Identifier: GPL-2.0-or-later
// IoEngine on io_uring(7): one system call hands over all that was prepared and waits.
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>

#include <fmt/format.h>

#include "vmm/virtio/io_engine.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kEntries = 256;
constexpr std::uint64_t kNobody = ~0ULL;  // token of what only fails in a completion
constexpr std::uint64_t kWatchBit = 1ULL << 63U;
constexpr std::uint64_t kOne = 1;

class UringEngine final : public IoEngine {
 public:
  UringEngine() = default;
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;
  ~UringEngine() override {
    if (made_) ::io_uring_queue_exit(&ring_);
  }

  Result<void> make() {
    // Completions are worked on in this thread's wait only, which saves it from being interrupted (Linux 6.1).
    constexpr unsigned kFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int outcome = ::io_uring_queue_init(kEntries, &ring_, IORING_SETUP_R_DISABLED | kFlags);
    if (outcome == -EINVAL) outcome = ::io_uring_queue_init(kEntries, &ring_, IORING_SETUP_R_DISABLED);
    if (outcome < 0) return fail_errno(-outcome, "io_uring_setup");
    made_ = true;
    if ((ring_.features & IORING_FEAT_CQE_SKIP) == 0) return fail(Errc::kernel, "io_uring before Linux 5.17");
    return restrict();
  }

  [[nodiscard]] std::string_view name() const override { return "io_uring"; }

  Result<void> watch(FdRef event, std::uint64_t token) override {
    // A read of a descriptor that must not wait would fail at once; in the ring it may wait as long as it likes.
    const int flags = ::fcntl(event.number(), F_GETFL);
    if (flags < 0 || ::fcntl(event.number(), F_SETFL, flags & ~O_NONBLOCK) < 0) return fail_errno(errno, "fcntl");
    watched_.push_back({.event = event.number(), .token = token, .count = 0});
    arm(watched_.size() - 1);
    return {};
  }
  void poll_readable(FdRef fd, std::uint64_t token) override {
    ::io_uring_prep_poll_add(next(), fd.number(), POLLIN);
    last_->user_data = token;
  }
  void poll_writable(FdRef fd, std::uint64_t token) override {
    ::io_uring_prep_poll_add(next(), fd.number(), POLLOUT);
    last_->user_data = token;
  }
  void read(FdRef file, std::uint64_t offset, std::span<const iovec> to, std::uint64_t token) override {
    ::io_uring_prep_readv(next(), file.number(), to.data(), static_cast<unsigned>(to.size()), offset);
    last_->user_data = token;
  }
  void write(FdRef file, std::uint64_t offset, std::span<const iovec> from, std::uint64_t token) override {
    ::io_uring_prep_writev(next(), file.number(), from.data(), static_cast<unsigned>(from.size()), offset);
    last_->user_data = token;
  }
  void sync(FdRef file, std::uint64_t token) override {
    ::io_uring_prep_fsync(next(), file.number(), IORING_FSYNC_DATASYNC);
    last_->user_data = token;
  }
  void allocate(FdRef file, int mode, std::uint64_t offset, std::uint64_t length, std::uint64_t token) override {
    // Not io_uring_prep_fallocate: liburing changed the signs of its arguments.
    ::io_uring_prep_rw(IORING_OP_FALLOCATE, next(), file.number(), nullptr, static_cast<unsigned>(mode), offset);
    last_->addr = length;
    last_->user_data = token;
  }
  void signal(FdRef event) override {
    ::io_uring_prep_write(next(), event.number(), &kOne, sizeof kOne, 0);
    last_->flags |= IOSQE_CQE_SKIP_SUCCESS;
    last_->user_data = kNobody;
  }

  Result<void> wait(std::vector<Completion>& done) override {
    const int outcome = ::io_uring_submit_and_wait(&ring_, 1);
    if (outcome < 0 && outcome != -EINTR && outcome != -EAGAIN && outcome != -EBUSY) {
      return fail_errno(-outcome, "io_uring_enter");
    }
    std::array<io_uring_cqe*, 64> batch{};
    for (unsigned count = 0; (count = ::io_uring_peek_batch_cqe(&ring_, batch.data(), batch.size())) != 0;) {
      for (const auto* entry : std::span{batch}.first(count)) take(*entry, done);
      ::io_uring_cq_advance(&ring_, count);
    }
    return {};
  }

 private:
  // What a ring does no filter of system calls sees (thread_filter.hpp): this one does what is used below.
  Result<void> restrict() {
    std::array<io_uring_restriction, 8> rules{};
    std::size_t count = 0;
    for (const auto allowed : {IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_FSYNC,
                               IORING_OP_FALLOCATE, IORING_OP_POLL_ADD}) {
      rules.at(count).opcode = IORING_RESTRICTION_SQE_OP;
      rules.at(count++).sqe_op = static_cast<__u8>(allowed);
    }
    rules.at(count).opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rules.at(count).sqe_flags = IOSQE_CQE_SKIP_SUCCESS;
    // Debian's liburing has functions for these in its shared library only.
    const auto set = [this](unsigned what, const void* argument, std::size_t parts) {
      return ::syscall(SYS_io_uring_register, ring_.ring_fd, what, argument, parts) == 0;
    };
    if (set(IORING_REGISTER_RESTRICTIONS, rules.data(), rules.size()) &&
        set(IORING_REGISTER_ENABLE_RINGS, nullptr, 0)) {
      return {};
    }
    return fail_errno(errno, "io_uring_register");
  }

  struct Watched {
    int event;
    std::uint64_t token;
    std::uint64_t count;
  };
  void take(const io_uring_cqe& entry, std::vector<Completion>& done) {
    if (entry.user_data == kNobody) return;
    if ((entry.user_data & kWatchBit) == 0) {
      done.push_back({.token = entry.user_data, .result = entry.res});
      return;
    }
    const auto index = entry.user_data & ~kWatchBit;
    done.push_back({.token = watched_[index].token, .result = entry.res});
    arm(index);
  }
  void arm(std::size_t index) {
    auto& watched = watched_[index];
    ::io_uring_prep_read(next(), watched.event, &watched.count, sizeof watched.count, 0);
    last_->user_data = kWatchBit | index;
  }
  // Full: what is there goes to the kernel now, which always makes room.
  io_uring_sqe* next() {
    while ((last_ = ::io_uring_get_sqe(&ring_)) == nullptr) (void)::io_uring_submit(&ring_);
    return last_;
  }

  io_uring ring_{};
  bool made_{};
  io_uring_sqe* last_{};
  std::deque<Watched> watched_;  // the kernel writes to their counts
};

}  // namespace

Result<std::unique_ptr<IoEngine>> make_uring_engine() {
  auto engine = std::make_unique<UringEngine>();
  TRY(engine->make());
  return engine;
}

}  // namespace pcivm::vmm
