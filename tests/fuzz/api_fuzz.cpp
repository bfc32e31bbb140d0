// SPDX-License-Identifier: GPL-2.0-or-later
// Any bytes as what somebody sends to the socket of a VM, as the answer of one, and as a definition. libFuzzer's entry;
// tests/cli/api_fuzz_test.cpp drives it with changes of good inputs by a fixed seed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/http_message.hpp"
#include "cli/json_reader.hpp"
#include "cli/vm_api.hpp"
#include "cli/vm_definition.hpp"

namespace pcivm::cli {
namespace {

struct Fed {
  bool whole{};
  unsigned refused{};
  std::string request{};
  bool operator==(const Fed&) const = default;
};

Fed feed(std::string_view text, std::size_t piece) {
  HttpParser parser;
  Fed fed;
  while (!text.empty() && !fed.whole && parser.refused() == 0) {
    const auto part = text.substr(0, piece);
    text.remove_prefix(part.size());
    fed.whole = parser.feed(part);
  }
  fed.refused = parser.refused();
  if (fed.whole) fed.request = parser.request().method + " " + parser.request().path + "\n" + parser.request().body;
  return fed;
}

/// Empty when all that must hold holds.
std::string broken_by(std::string_view text) {
  // A server may see a request in any pieces; what it refuses, and why, may come earlier or later.
  const auto at_once = feed(text, text.size());
  const auto in_pieces = feed(text, 7);
  if (at_once.whole && in_pieces.whole && at_once != in_pieces) return "pieces make another request";
  if (at_once.whole && !in_pieces.whole) return "pieces make no request";
  if (at_once.request.size() > HttpParser::kMostHead + HttpParser::kMostBody) return "a request without a limit";
  (void)parse_answer(text);
  (void)parse_stop(text);
  ConfigProblems problems;
  const auto options = read_definition("vm.yaml", text, problems);
  if (!problems.empty()) return {};
  const auto written = write_definition(options);
  const auto back = read_definition("vm.yaml", written, problems);
  if (!problems.empty()) return "what was written is refused: " + as_error(problems).text() + "\n" + written;
  return back == options ? std::string{} : "what was written is read as something else:\n" + written;
}

}  // namespace
}  // namespace pcivm::cli

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(data[i]);
  const auto wrong = pcivm::cli::broken_by(text);
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}
