// SPDX-License-Identifier: GPL-2.0-or-later
// Configurations for tests: from a text, and as what is wrong with one.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/config_reader.hpp"

namespace pcivm::test {

inline constexpr std::string_view kConfigHead{"apiVersion: pcivm/v1\nkind: HostConfig\n"};

/// Of a file called "host.yaml".
inline sriov::HostConfig config_of(std::string_view text, cli::ConfigProblems& problems) {
  const std::vector<cli::ConfigText> texts{{"host.yaml", std::string{text}}};
  return cli::read_config(texts, problems);
}

/// "host.yaml:5:3: ..." for each problem; the hint after " | ".
inline std::vector<std::string> config_problems(std::string_view text) {
  cli::ConfigProblems problems;
  (void)config_of(text, problems);
  std::vector<std::string> texts;
  for (const auto& problem : problems) {
    texts.push_back(cli::as_error(problem).text() + (problem.hint.empty() ? "" : " | " + problem.hint));
  }
  return texts;
}

}  // namespace pcivm::test
