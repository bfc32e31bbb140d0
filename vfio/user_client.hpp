// SPDX-License-Identifier: GPL-2.0-or-later
// Our side of a vfio-user socket: commands with their replies, and the guest's memory for a server that does not map
// it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/user_message.hpp"

namespace pcivm::vfio {

/// Any thread. The server is not trusted: it may end, hang, or say anything at any time. A call then fails within its
/// patience, and so do all that follow, at once: the server is lost. Of the guest it reaches what map() shows it.
class UserClient final {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kPatience{5000};

  /// `socket` is connected, `name` is for loss().
  UserClient(Fd socket, std::string name, Milliseconds patience = kPatience);
  UserClient(const UserClient&) = delete;
  UserClient& operator=(const UserClient&) = delete;
  ~UserClient();

  /// Agrees on the protocol (VFIO_USER_VERSION). First and once.
  [[nodiscard]] Result<void> negotiate();
  [[nodiscard]] const user::Limits& limits() const { return limits_; }
  /// What another client agreed on over the same socket.
  void set_limits(const user::Limits& limits) { limits_ = limits; }
  /// From now on a thread listens when nobody waits for an answer: for DMA, and for the end of the server. Fails when
  /// no eventfd can be made.
  [[nodiscard]] Result<void> listen();

  struct Reply {
    std::vector<std::byte> payload;
    std::vector<Fd> files;
  };
  /// Sends `payload` and `data` behind it; the reply has `least` to `most` bytes. An error that the server answers is
  /// that errno, and no loss.
  [[nodiscard]] Result<Reply> call(user::Command command, std::span<const std::byte> payload, std::size_t least,
                                   std::size_t most, std::span<const FdRef> files = {},
                                   std::span<const std::byte> data = {});

  /// Shows memory to the server, which is lost when it does not take it.
  [[nodiscard]] Result<void> map(const DmaRun& run);
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length);

  /// Signals `event` when the server is lost. Fails when it is.
  [[nodiscard]] Result<void> set_alarm(FdRef event);
  /// Why it is lost; none while it is not.
  [[nodiscard]] std::optional<Error> loss() const;
  [[nodiscard]] Fd take_socket() && { return std::move(socket_); }

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  struct Message {
    user::Header header;
    Reply content;
  };
  void listen_to_server();
  [[nodiscard]] Deadline deadline() const { return std::chrono::steady_clock::now() + patience_; }
  [[nodiscard]] Result<Reply> exchange(user::Command command, std::span<const std::byte> payload, std::size_t least,
                                       std::size_t most, std::span<const FdRef> files, std::span<const std::byte> data);
  [[nodiscard]] Result<void> send(std::span<const std::byte> message, std::span<const FdRef> files, Deadline until);
  [[nodiscard]] Result<Message> receive(std::size_t most, Deadline until);
  [[nodiscard]] Result<void> read_all(std::span<std::byte> bytes, std::vector<Fd>& files, Deadline until);
  [[nodiscard]] Result<void> await(short events, Deadline until);
  [[nodiscard]] Result<void> serve(const Message& message, Deadline until);
  [[nodiscard]] std::span<std::byte> memory_at(const user::DmaAccess& access) const;
  [[nodiscard]] std::unexpected<Error> lost(Error why);

  Fd socket_;
  std::string name_;
  Milliseconds patience_;
  user::Limits limits_;
  Fd end_;                      // of the thread
  mutable std::mutex mutex_;    // one command at a time; whoever holds it reads the socket
  std::uint16_t next_id_{};     // guarded by mutex_
  std::vector<DmaRun> memory_;  // guarded by mutex_
  std::optional<Error> loss_;   // guarded by mutex_
  Fd alarm_;                    // guarded by mutex_
  std::jthread listener_;       // goes first
};

}  // namespace pcivm::vfio
