// SPDX-License-Identifier: GPL-2.0-or-later
// Text for a terminal that is no table: its width, lines broken between words, colours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"
#include "cli/render.hpp"

namespace pcivm::cli {

/// Columns of the terminal that stdout is, nothing for a pipe or file: there no line is broken.
[[nodiscard]] std::size_t text_width(const Context& context);
inline constexpr std::size_t kUnbroken = ~std::size_t{0};

/// `text` in lines of at most `width` characters; a longer word is a line of its own. At least one line.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t width);

/// `text` in the colour of `mark`, when this output has colours.
[[nodiscard]] std::string painted(const Context& context, Mark mark, std::string_view text);

/// `lead` and then `text`, broken at `width` and indented below its first line; ends with a newline.
[[nodiscard]] std::string paragraph(std::string_view lead, std::string_view text, std::size_t width);

}  // namespace pcivm::cli
