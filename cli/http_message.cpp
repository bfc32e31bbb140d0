// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/http_message.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/parse.hpp"

namespace pcivm::cli {

namespace {

namespace http = boost::beast::http;

constexpr std::string_view kHeadEnd{"\r\n\r\n"};

std::string text_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

unsigned status_of(const boost::beast::error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::bad_version) return 505;
  return 400;
}

/// "write=1&x=y"
std::map<std::string, std::string> query_of(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find('&'));
    const auto equals = std::min(part.find('='), part.size());
    query.emplace(part.substr(0, equals), part.substr(std::min(equals + 1, part.size())));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  return query;
}

}  // namespace

struct HttpParser::Parts {
  http::request_parser<http::string_body> parser;
  std::string pending;  // not yet consumed: a field is only read when it is whole
  HttpRequest request;
  unsigned refused{};
};

HttpParser::HttpParser() : parts_{std::make_unique<Parts>()} {
  parts_->parser.header_limit(kMostHead);
  parts_->parser.body_limit(kMostBody);
  parts_->parser.eager(true);
}

HttpParser::~HttpParser() = default;

unsigned HttpParser::refused() const { return parts_->refused; }
const HttpRequest& HttpParser::request() const { return parts_->request; }

bool HttpParser::feed(std::string_view data) {
  auto& [parser, pending, request, refused] = *parts_;
  if (refused != 0) return false;
  pending += data;
  while (!pending.empty() && !parser.is_done()) {
    boost::beast::error_code error;
    const auto taken = parser.put(boost::asio::buffer(pending), error);
    pending.erase(0, taken);
    if (error == http::error::need_more || (!error && taken == 0)) {
      if (pending.size() > kMostHead) refused = 431;
      return false;
    }
    if (error) {
      refused = status_of(error);
      return false;
    }
  }
  if (!parser.is_done()) return false;
  const auto& message = parser.get();
  const auto target = text_of(message.target());
  const auto question = std::min(target.find('?'), target.size());
  request = {.method = text_of(message.method_string()),
             .path = target.substr(0, question),
             .query = query_of(std::string_view{target}.substr(std::min(question + 1, target.size()))),
             .body = message.body(),
             .upgrade = http::token_list{message[http::field::connection]}.exists("upgrade") &&
                        message.count(http::field::upgrade) == 1,
             .beyond = std::move(pending)};
  return true;
}

std::string to_text(const HttpReply& reply) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(reply.status));
  auto text = fmt::format("HTTP/1.1 {} {}\r\n", reply.status, text_of(reason));
  for (const auto& [name, value] : reply.headers) text += fmt::format("{}: {}\r\n", name, value);
  if (reply.status == 101) return text + "Connection: Upgrade\r\n\r\n";
  return text + fmt::format("Content-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", reply.type,
                            reply.body.size(), reply.body);
}

std::optional<HttpAnswer> parse_answer(std::string_view text) {
  constexpr std::string_view kStart{"HTTP/1.1 "};
  constexpr std::string_view kLength{"\r\nContent-Length: "};
  const auto head_end = text.find(kHeadEnd);
  if (!text.starts_with(kStart) || head_end == std::string_view::npos) return std::nullopt;
  const auto head = text.substr(0, head_end + 2);
  const auto body = text.substr(head_end + kHeadEnd.size());
  const auto status = parse_decimal<unsigned>(head.substr(kStart.size(), 3), 999);
  if (!status) return std::nullopt;
  if (*status == 101) return HttpAnswer{.status = *status, .body = std::string{body}};
  const auto at = head.find(kLength);
  if (at == std::string_view::npos) return std::nullopt;
  const auto number = head.substr(at + kLength.size());
  const auto length = parse_decimal<std::size_t>(number.substr(0, number.find('\r')));
  if (!length || *length != body.size()) return std::nullopt;
  return HttpAnswer{.status = *status, .body = std::string{body}};
}

}  // namespace pcivm::cli
