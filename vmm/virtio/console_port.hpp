// SPDX-License-Identifier: GPL-2.0-or-later
// A named port of the virtio console (virtio 1.2, 5.3): bytes between its two queues and whoever is connected to its
// socket on the host.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/virtio/chain.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Packets on ConsolePortConfig::channel: the supervisor hands over one client, and the next one when it was told that
/// this one is gone.
inline constexpr std::string_view kPortClient{"client"};  ///< with its connection
inline constexpr std::string_view kPortFree{"free"};

struct PortFigures {
  bool open{};               ///< by the guest
  std::uint64_t to_host{};   ///< bytes that clients got
  std::uint64_t to_guest{};  ///< bytes that the guest got
  std::uint64_t dropped{};   ///< bytes that the guest said while nobody was there to read them
};

/// Loop thread. With a client that does not read, what the guest says stays in its queue; a client waits as long as the
/// guest has the port closed, or no buffers in its queue. What a client said before it went is still delivered, unless
/// the guest has the port closed. Nothing is kept here but one chain each way.
class ConsolePort final {
 public:
  struct Wiring {
    EventLoop& loop;
    VirtioQueues& queues;
    VirtioSignals& signals;
    unsigned first;  ///< the receive queue; the transmit queue follows
    /// Something happened without a doorbell; with the lock of the queues held.
    std::function<void()> changed;
  };
  /// What is wired outlives the port.
  [[nodiscard]] static Result<std::unique_ptr<ConsolePort>> create(ConsolePortConfig config, const Wiring& wiring);

  [[nodiscard]] const std::string& name() const { return config_.name; }

  // With the lock of the queues held.

  /// The number of the client that there is, each has another; 0: none.
  [[nodiscard]] std::uint64_t client() const { return client_ ? clients_ : 0; }
  [[nodiscard]] const PortFigures& figures() const { return figures_; }
  /// The guest opened or closed it.
  void set_open(bool open) { figures_.open = open; }
  /// Moves what can be moved.
  void move();
  /// The queue is stopped. Any thread.
  void forget(bool receive) { (receive ? in_ : out_).reset(); }

 private:
  ConsolePort(ConsolePortConfig config, Wiring wiring) : config_{std::move(config)}, wiring_{std::move(wiring)} {}
  void on_channel();
  void on_input();
  void accept(Fd client);
  void lose();
  void watch_input(Interest interest);
  void watch_room(bool on);
  [[nodiscard]] bool to_host();
  [[nodiscard]] bool to_guest();
  [[nodiscard]] bool reads() const { return client_ && !output_ended_; }
  [[nodiscard]] bool write_some();
  [[nodiscard]] bool read_some();
  [[nodiscard]] bool said_more() const;

  ConsolePortConfig config_;
  Wiring wiring_;
  PortFigures figures_;
  Fd client_;
  Fd client_out_;  // the same under another number, to be watched for room
  std::uint64_t clients_{};
  bool input_ended_{};              // it says no more
  bool output_ended_{};             // it reads no more
  bool hung_up_{};                  // it is gone; something that it said may be left
  std::optional<VirtioChain> in_;   // to be filled
  std::optional<VirtioChain> out_;  // being written
  std::vector<iovec> parts_;        // what is left of it
  Watch channel_;                   // watches go before the descriptors
  Watch input_;
  std::optional<Interest> watched_;
  Watch room_;
  bool waits_{};  // room_ is registered
};

}  // namespace pcivm::vmm
