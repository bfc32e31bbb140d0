// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/error_bytes.hpp"

#include <algorithm>
#include <utility>

namespace pcivm {

// One letter, then its parts with a zero between.
std::string bytes_of(const Error& error) {
  std::string bytes{static_cast<char>(error.kind())};
  bytes += error.text();
  bytes += '\0';
  bytes += error.hint();
  bytes += '\0';
  bytes += error.code();
  return bytes;
}

Error error_of(std::string_view bytes) {
  if (bytes.empty()) return Error::make(Errc::internal, "an error without a word");
  const auto kind = static_cast<Errc>(bytes.front());
  bytes.remove_prefix(1);
  const auto hint_at = std::min(bytes.find('\0'), bytes.size());
  const auto code_at = std::min(bytes.find('\0', hint_at + 1), bytes.size());
  auto error = Error::make(kind, std::string{bytes.substr(0, hint_at)});
  if (hint_at + 1 < code_at)
    error = std::move(error).advise(std::string{bytes.substr(hint_at + 1, code_at - hint_at - 1)});
  if (code_at + 1 < bytes.size()) error = std::move(error).coded(bytes.substr(code_at + 1));
  return error;
}

}  // namespace pcivm
