// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/http_server.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/log.hpp"
#include "base/socket.hpp"

namespace pcivm::cli {

namespace {

constexpr std::size_t kChunk = 16384;
constexpr int kAcceptedAtOnce = 64;
// As docs/schema/error.json has it.
constexpr const char* kNotUnderstood =
    R"({"error":{"code":"invalid","exit":2,"message":"no request that is understood here","hint":null,"details":{}}})";

/// A socket that is closed with bytes unread tells its peer of an error, which may hide the reply.
void take_rest(const Fd& socket) {
  std::array<std::byte, kChunk> rest{};
  for (int count = 0; count < 4; ++count) {
    const auto taken = read_some(socket.ref(), rest);
    if (!taken || *taken == 0) return;
  }
}

}  // namespace

HttpServer::HttpServer(EventLoop& loop, Fd listener, Fd timer, Handler handler)
    : loop_{loop}, listener_{std::move(listener)}, timer_{std::move(timer)}, handler_{std::move(handler)} {}

Result<std::unique_ptr<HttpServer>> HttpServer::create(EventLoop& loop, Fd listener, Handler handler) {
  auto timer = TRY(make_timerfd());
  std::unique_ptr<HttpServer> server{new HttpServer{loop, std::move(listener), std::move(timer), std::move(handler)}};
  auto* raw = server.get();
  server->incoming_ = TRY(loop.watch(raw->listener_.ref(), Interest::read, [raw] { raw->on_connect(); }));
  server->sweeping_ = TRY(loop.watch(raw->timer_.ref(), Interest::read, [raw] { raw->on_timer(); }));
  return server;
}

bool HttpServer::Answer::wanted() const {
  const auto found = server_->connections_.find(id_);
  return found != server_->connections_.end() && !hung_up(found->second->socket.ref());
}

void HttpServer::on_connect() {
  for (int count = 0; count < kAcceptedAtOnce; ++count) {
    auto socket = Fd::adopt(::accept4(listener_.ref().number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      // Without descriptors nobody could be accepted, and the loop would spin: an old connection goes for the new.
      if (errno == EMFILE || errno == ENFILE) make_room();
      return;
    }
    if (connections_.size() >= kMost) make_room();
    const auto id = next_id_++;
    auto connection = std::make_unique<Connection>();
    connection->socket = std::move(socket);
    connection->since = Clock::now();
    auto watch = loop_.watch(connection->socket.ref(), Interest::read, [this, id] { on_readable(id); });
    if (!watch) return;
    connection->readable = std::move(*watch);
    if (connections_.empty()) (void)arm_timerfd(timer_.ref(), std::chrono::seconds{1}, std::chrono::seconds{1});
    connections_.emplace(id, std::move(connection));
  }
}

// Those that wait for their answer go last.
void HttpServer::make_room() {
  const auto idle = [](const auto& each) { return each.second->stage != Stage::handler; };
  auto oldest = std::ranges::find_if(connections_, idle);
  if (oldest == connections_.end()) oldest = connections_.begin();
  if (oldest != connections_.end()) connections_.erase(oldest);
}

void HttpServer::on_timer() {
  (void)drain_eventfd(timer_.ref());
  const auto late = Clock::now() - kPatience;
  std::erase_if(connections_,
                [late](const auto& each) { return each.second->stage != Stage::handler && each.second->since < late; });
  if (connections_.empty()) (void)arm_timerfd(timer_.ref(), {}, {});
}

void HttpServer::on_readable(std::uint64_t id) {
  auto& connection = *connections_.at(id);
  std::array<char, kChunk> chunk{};
  const auto count = read_some(connection.socket.ref(), std::as_writable_bytes(std::span{chunk}));
  if (!count && count.error().sys_errno() == EAGAIN) return;
  if (!count || *count == 0 || connection.stage != Stage::request) {
    // Nothing more is wanted from who has said a request. Who only said that it says no more still gets its answer.
    const bool gone = connection.stage == Stage::request || hung_up(connection.socket.ref());
    connection.readable = {};
    if (gone) connections_.erase(id);
    return;
  }
  const bool whole = connection.parser.feed({chunk.data(), *count});
  if (const auto status = connection.parser.refused(); status != 0) {
    connection.stage = Stage::handler;
    return answer(id, {.status = status, .body = kNotUnderstood});
  }
  if (!whole) return;
  connection.stage = Stage::handler;
  handler_(connection.parser.request(), Answer{*this, id});
}

void HttpServer::answer(std::uint64_t id, HttpReply reply) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second->stage != Stage::handler) return;
  auto& connection = *found->second;
  connection.stage = Stage::reply;
  connection.since = Clock::now();
  connection.out = to_text(reply);
  connection.take_over = std::move(reply.take_over);
  connection.readable = {};
  auto duplicate = connection.socket.dup();
  if (!duplicate) {
    connections_.erase(found);
    return;
  }
  connection.write_socket = std::move(*duplicate);
  // Also when everything can be written at once: nobody is destroyed while it calls.
  auto watch = loop_.watch(connection.write_socket.ref(), Interest::write, [this, id] { (void)write_part(id); });
  if (watch) {
    connection.writable = std::move(*watch);
  } else {
    connections_.erase(found);
  }
}

bool HttpServer::write_part(std::uint64_t id) {
  auto& connection = *connections_.at(id);
  const auto bytes = std::as_bytes(std::span{connection.out});
  const auto written = write_some(connection.socket.ref(), bytes.first(std::min(bytes.size(), kChunk)));
  if (!written && written.error().sys_errno() == EAGAIN) return true;
  if (written) connection.out.erase(0, *written);
  if (written && !connection.out.empty()) return true;
  const auto done = std::move(connections_.extract(id).mapped());
  if (!written) return false;
  if (!done->take_over) {
    take_rest(done->socket);
    return false;
  }
  done->writable = {};
  done->take_over(std::move(done->socket), done->parser.request().beyond);
  return false;
}

void HttpServer::finish(std::chrono::milliseconds limit) {
  incoming_ = {};
  const auto deadline = Clock::now() + limit;
  std::erase_if(connections_, [](const auto& each) { return each.second->stage != Stage::reply; });
  while (!connections_.empty()) {
    const auto id = connections_.begin()->first;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd wanted{.fd = connections_.begin()->second->socket.ref().number(), .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      connections_.erase(id);
      continue;
    }
    connections_.begin()->second->take_over = {};
    (void)write_part(id);
  }
}

}  // namespace pcivm::cli
