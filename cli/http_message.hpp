// SPDX-License-Identifier: GPL-2.0-or-later
// Requests and replies of HTTP/1.1, and a parser that takes little and believes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"

namespace pcivm::cli {

struct HttpRequest {
  std::string method{};
  std::string path{};                          ///< without the query
  std::map<std::string, std::string> query{};  ///< as written: nothing of ours needs to be escaped
  std::string body{};
  bool upgrade{};        ///< asks for another protocol on this connection
  std::string beyond{};  ///< came after the request: first bytes of the other protocol
};

struct HttpReply {
  unsigned status{200};
  std::string type{"application/json"};
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  /// Of status 101: gets the connection once the client was told, and what it sent already.
  std::function<void(Fd connection, std::string beyond)> take_over{};
};
/// The whole reply as bytes; the connection ends after it, unless it is taken over.
[[nodiscard]] std::string to_text(const HttpReply& reply);

/// Reads one request as it comes.
class HttpParser final {
 public:
  static constexpr std::size_t kMostHead{8192};
  static constexpr std::size_t kMostBody{4096};

  HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;
  ~HttpParser();

  /// More bytes. True: the request is whole, and stays in request(). False: not yet, or refused() says why not.
  [[nodiscard]] bool feed(std::string_view data);
  /// 400, 413 (body too large), 431 (head too large), 505 (not HTTP/1.x); 0 = nothing is wrong so far.
  [[nodiscard]] unsigned refused() const;
  [[nodiscard]] const HttpRequest& request() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// What a server of ours says, all of it, up to the end of its connection.
struct HttpAnswer {
  unsigned status{};
  std::string body{};
};
/// Nothing: cut off, or no HTTP.
[[nodiscard]] std::optional<HttpAnswer> parse_answer(std::string_view text);

}  // namespace pcivm::cli
