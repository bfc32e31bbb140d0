// SPDX-License-Identifier: GPL-2.0-or-later
// Any bytes as a configuration: what is accepted is written and read back equal. libFuzzer's entry, with
// tests/fuzz/corpus/config as its first inputs; tests/cli/config_fuzz_test.cpp drives it with them and with changes of
// them by a fixed seed.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cli/config_writer.hpp"
#include "tests/support/config_text.hpp"

namespace pcivm::cli {
namespace {

std::string text_of(const std::uint8_t* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(data[i]);
  return text;
}

/// Empty when all that must hold holds.
std::string broken_by(const std::string& text) {
  ConfigProblems problems;
  const auto config = test::config_of(text, problems);
  for (const auto& problem : problems) {
    if (problem.text.empty() || problem.place.file.empty()) return "a problem that says nothing";
  }
  if (!problems.empty()) return {};
  const auto written = write_config(config);
  const auto back = test::config_of(written, problems);
  if (!problems.empty()) return "what was written is refused: " + as_error(problems).text() + "\n" + written;
  if (without_places(back) != without_places(config)) return "what was written is read as something else:\n" + written;
  return {};
}

}  // namespace
}  // namespace pcivm::cli

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto wrong = pcivm::cli::broken_by(pcivm::cli::text_of(data, size));
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}
