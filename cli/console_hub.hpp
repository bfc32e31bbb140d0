// SPDX-License-Identifier: GPL-2.0-or-later
// The console of a VM, in its supervisor: keeps what the guest said, gives it to any number of readers, and passes on
// what one of them types.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/console_log.hpp"
#include "vmm/console_input.hpp"

namespace pcivm::cli {

/// Loop thread only. The guest never waits for a reader: one that is too slow misses what has left the log by then. The
/// process ignores SIGPIPE.
class ConsoleHub final {
 public:
  static constexpr std::size_t kLogged{256 * 1024};
  static constexpr std::size_t kMostClients{16};

  struct Client {
    Fd in{};                         ///< none: it only reads. Watched, so not the same open descriptor number as `out`
    Fd out{};                        ///< terminals, pipes, sockets, files
    bool types{};                    ///< what comes from `in` goes to the guest; otherwise it is thrown away
    std::function<void()> escape{};  ///< Ctrl-] on `in`; empty: a byte like others
  };
  struct Figures {
    std::uint64_t said{};     ///< bytes by the guest
    std::uint64_t dropped{};  ///< bytes that readers missed, of all readers together
    std::size_t readers{};
    bool writer{};  ///< somebody types
  };

  /// `vmm`: a non-blocking socket, whose other end is the guest's serial port.
  [[nodiscard]] static Result<std::unique_ptr<ConsoleHub>> create(EventLoop& loop, Fd vmm,
                                                                  std::size_t capacity = kLogged);
  ConsoleHub(const ConsoleHub&) = delete;
  ConsoleHub& operator=(const ConsoleHub&) = delete;
  ~ConsoleHub() = default;

  /// It gets all that is in the log first; `early` is what it typed already. Errc::busy: somebody types already, or
  /// there are too many.
  [[nodiscard]] Result<void> attach(Client client, std::string_view early = {});
  [[nodiscard]] const ConsoleLog& log() const { return log_; }
  [[nodiscard]] Figures figures() const;
  /// With the VMM gone: takes what it left, gives readers what they lack for at most `limit`, and lets them go.
  void finish(std::chrono::milliseconds limit);

 private:
  struct Attached {
    Client client;
    std::uint64_t position{};  ///< of the next byte to write
    bool waits{};              ///< `writable` is registered
    bool file{};               ///< epoll refuses it; it takes everything at once
    std::unique_ptr<vmm::ConsoleInput> input{};
    Watch readable{};
    Watch writable{};  // watches go before the descriptors
  };
  ConsoleHub(EventLoop& loop, Fd vmm, std::size_t capacity) : loop_{loop}, vmm_{std::move(vmm)}, log_{capacity} {}
  [[nodiscard]] Result<void> listen(std::uint64_t id, Attached& client);
  [[nodiscard]] std::size_t to_guest(std::span<const std::byte> data);
  /// False: there was nothing.
  bool take();
  void on_input_end(std::uint64_t id);
  void on_other_input(std::uint64_t id);
  void pump(std::uint64_t id);
  /// False: it is gone.
  bool write_chunk(Attached& client);
  void let_go(std::uint64_t id);
  [[nodiscard]] bool behind(const Attached& client) const { return client.position < log_.end(); }

  EventLoop& loop_;
  Fd vmm_;
  Fd vmm_write_;  // the same socket under another number, to be watched for room
  ConsoleLog log_;
  std::uint64_t dropped_{};
  std::uint64_t next_id_{1};
  std::uint64_t writer_{};  // 0 = nobody types
  std::map<std::uint64_t, Attached> clients_;
  Watch guest_;
  Watch room_;
};

}  // namespace pcivm::cli
