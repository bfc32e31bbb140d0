// SPDX-License-Identifier: GPL-2.0-or-later
// Where everything of a drawn topology goes: boxes in boxes, filled in rows of equal columns. Pure arithmetic; text is
// in a fixed-width font, so that its width is known and nothing can overlap.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/topology_view.hpp"

namespace pcivm::cli {

struct Box {
  enum class Kind : std::uint8_t {
    area,   ///< a socket, host bridge, port, or PF with its VFs: a title, and boxes inside
    group,  ///< the same for an IOMMU group of several functions
    card,   ///< one function: lines of text
    dots,   ///< many VFs that look alike: lines of text, and a mark for each VF
  };
  Kind kind{Kind::area};
  std::vector<std::string> lines{};  ///< cut to the width; the first one is the title
  std::string hint{};                ///< all of it, uncut
  std::string_view style{"port"};    ///< style_of
  std::vector<std::size_t> nodes{};  ///< of dots; of a card the one
  std::vector<Box> inside{};
  int x{};
  int y{};
  int width{};
  int height{};
};

// In pixels.
inline constexpr int kPad = 8;
inline constexpr int kLine = 16;
inline constexpr int kDot = 12;  ///< a mark and the gap after it
inline constexpr int kFontSize = 12;

/// Characters that surely fit in `width` pixels.
[[nodiscard]] std::size_t characters_in(int width);

/// The boxes of the whole host between x = 0 and `width`, from y = `top` downwards.
[[nodiscard]] std::vector<Box> lay_out(const TopologyView& view, int width, int top);
/// Below the lowest box.
[[nodiscard]] int bottom_of(const std::vector<Box>& boxes, int top);

}  // namespace pcivm::cli
