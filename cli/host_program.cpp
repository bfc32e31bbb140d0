// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/host_program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/child.hpp"

namespace pcivm::cli {

namespace {

constexpr int kNotStarted{127};

}  // namespace

Result<ProgramEnd> run_program(std::vector<std::string> words, std::chrono::milliseconds deadline, FdRef kept) {
  std::vector<char*> raw;
  for (auto& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  const auto output = TRY(make_memfd("output", 0));
  const auto work = [&] {
    (void)::dup2(output.ref().number(), STDOUT_FILENO);
    (void)::dup2(output.ref().number(), STDERR_FILENO);
    if (kept.number() >= 0) (void)::fcntl(kept.number(), F_SETFD, 0);
    (void)::execvp(raw.front(), raw.data());
    return kNotStarted;
  };
  const int code = TRY_IN(run_child(work, deadline), words.front());
  if (code == kNotStarted) return fail(Errc::not_found, fmt::format("'{}' cannot be started", words.front()));
  (void)::lseek(output.ref().number(), 0, SEEK_SET);
  auto text = TRY(read_to_end(output.ref()));
  while (text.ends_with('\n')) text.pop_back();
  std::ranges::replace(text, '\n', ';');
  return ProgramEnd{.code = code, .text = std::move(text)};
}

}  // namespace pcivm::cli
