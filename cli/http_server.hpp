// SPDX-License-Identifier: GPL-2.0-or-later
// A small HTTP server on a Unix socket, on the event loop: one request a connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/http_message.hpp"

namespace pcivm::cli {

/// Loop thread only. Memory is bounded: with more connections than kMost the oldest that has not said its request yet,
/// or does not take its reply, goes. Who does not say a request, or take a reply, within kPatience is let go too.
class HttpServer final {
 public:
  static constexpr std::size_t kMost{64};
  static constexpr std::chrono::seconds kPatience{10};

  /// The way back to who asked; not to be used when the server is gone.
  class Answer final {
   public:
    Answer(HttpServer& server, std::uint64_t id) : server_{&server}, id_{id} {}
    /// Once; does nothing when the client is gone.
    void operator()(HttpReply reply) const { server_->answer(id_, std::move(reply)); }
    /// Somebody still waits for it.
    [[nodiscard]] bool wanted() const;

   private:
    HttpServer* server_;
    std::uint64_t id_;
  };
  using Handler = std::function<void(const HttpRequest&, Answer)>;

  /// `listener`: non-blocking, listening.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> create(EventLoop& loop, Fd listener, Handler handler);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() = default;

  /// Gives clients what they were answered, for at most `limit`, then lets all of them go.
  void finish(std::chrono::milliseconds limit);
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage : std::uint8_t { request, handler, reply };
  struct Connection {
    Fd socket;
    Fd write_socket{};  ///< the same under another number, to be watched for room
    Stage stage{Stage::request};
    Clock::time_point since{};  ///< when the stage began
    HttpParser parser{};
    std::string out{};
    std::function<void(Fd, std::string)> take_over{};
    Watch readable{};
    Watch writable{};  // watches go before the descriptors
  };
  HttpServer(EventLoop& loop, Fd listener, Fd timer, Handler handler);
  void on_connect();
  void on_readable(std::uint64_t id);
  void on_timer();
  void answer(std::uint64_t id, HttpReply reply);
  /// False: the connection is gone, or taken over.
  bool write_part(std::uint64_t id);
  void make_room();

  EventLoop& loop_;
  Fd listener_;
  Fd timer_;
  Handler handler_;
  std::uint64_t next_id_{1};
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  Watch incoming_;
  Watch sweeping_;
};

}  // namespace pcivm::cli
