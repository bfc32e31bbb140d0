// SPDX-License-Identifier: GPL-2.0-or-later
// MESSAGE_ID of journal entries: one a kind of message, explained in udev/files/pcivm.catalog (`journalctl -x`). Part
// of the interface: never changed, never used again for something else.
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace pcivm::cli {

inline constexpr std::string_view kRepaired{"8b84440f50044c79aa921e58b6c5ae53"};
inline constexpr std::string_view kLostEvents{"083201c1f0d94e5c916706b83e20ef64"};
inline constexpr std::string_view kGaveUp{"fc9e5f2aa24a46b8930a53a220b6a464"};

/// Of an error that ended a command.
[[nodiscard]] constexpr std::string_view message_id(Errc kind) {
  switch (kind) {
    case Errc::internal: return "25f199a8837c494a97c4a4ee362b6d14";
    case Errc::invalid: return "cdfb5d7331df4297bd49b452c5ab5d9f";
    case Errc::not_found: return "c5ceaa4337314eb2865b9e501e8d1dec";
    case Errc::busy: return "820cf7aadfd3498594cff43b2b86cebf";
    case Errc::refused: return "3f3c3956934742619ec0e2c015e85dec";
    case Errc::denied: return "007c1240cbe641e18a8b812de722e03f";
    case Errc::kernel: return "b4a81684084f40d3b00caa37a647fddc";
    case Errc::timeout: return "0e806090c4f04eae9686b7a9d613f4e2";
    case Errc::rolled_back: return "36b3115dbca4442f94271d1799434f88";
    case Errc::stranded: return "d467047090ff40d48a6b23e4abe9acf8";
  }
  return {};
}

}  // namespace pcivm::cli
