// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/ioctl.hpp"

namespace pcivm::cli {

namespace {

constexpr Ioctl<winsize> kWindowSize{"TIOCGWINSZ", TIOCGWINSZ};
constexpr std::size_t kUsual = 80;

/// Select Graphic Rendition (ECMA-48, 8.3.117).
std::string_view code_of(Mark mark) {
  switch (mark) {
    case Mark::none: return {};
    case Mark::good: return "32";
    case Mark::bad: return "31";
    case Mark::notice: return "33";
    case Mark::dim: return "2";
  }
  return {};
}

}  // namespace

std::size_t text_width(const Context& context) {
  const int number = ::fileno(context.out);
  if (number < 0 || ::isatty(number) != 1) return kUnbroken;
  winsize size{};
  const bool known = kWindowSize(system_ioctl(), FdRef{number}, size).has_value() && size.ws_col != 0;
  return known ? size.ws_col : kUsual;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const auto space = std::min(text.find(' '), text.size());
    const auto word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    auto& line = lines.back();
    if (line.empty()) {
      line = word;
    } else if (width == kUnbroken || line.size() + 1 + word.size() <= width) {
      line += fmt::format(" {}", word);
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

std::string painted(const Context& context, Mark mark, std::string_view text) {
  const auto code = code_of(mark);
  if (code.empty() || !context.colored()) return std::string{text};
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

std::string paragraph(std::string_view lead, std::string_view text, std::size_t width) {
  constexpr std::size_t kNarrowest = 20;
  const auto room = width == kUnbroken ? width : std::max(width, lead.size() + kNarrowest) - lead.size();
  std::string block;
  for (const auto& line : wrapped(text, room)) {
    block += block.empty() ? fmt::format("{}{}\n", lead, line) : fmt::format("{:{}}{}\n", "", lead.size(), line);
  }
  return block;
}

}  // namespace pcivm::cli
