// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_problem.hpp"

#include <fmt/format.h>

namespace pcivm::cli {

std::string excerpt(std::string_view word) {
  constexpr std::size_t kEnough{64};
  return word.size() <= kEnough ? std::string{word} : fmt::format("{}...", word.substr(0, kEnough));
}

Error as_error(const ConfigProblem& problem) {
  auto error =
      Error::make(Errc::invalid, fmt::format("{}: {}", to_string(problem.place), problem.text)).coded("config.invalid");
  return problem.hint.empty() ? error : std::move(error).advise(problem.hint);
}

Error as_error(const ConfigProblems& problems) {
  if (problems.size() == 1) return as_error(problems.front());
  auto first = problems.front();
  const auto others = fmt::format("`pcivm config validate` tells {} more", problems.size() - 1);
  first.hint = first.hint.empty() ? others : fmt::format("{}; {}", first.hint, others);
  return as_error(first);
}

}  // namespace pcivm::cli
