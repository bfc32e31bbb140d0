// SPDX-License-Identifier: GPL-2.0-or-later
// What libfmt.so would bring, compiled here from fmt's headers: with it, no library of C++ is left that has to be
// loaded and resolved, symbol by symbol, whenever the program starts (docs/dependencies.md).
#define FMT_HEADER_ONLY 1
#include <fmt/format.h>

// spdlog's times ask for it.
template std::locale fmt::detail::locale_ref::get<std::locale>() const;

namespace pcivm {

// Never called. It names what the templates of other files expect to find.
[[gnu::used]] static std::string every_kind(double real, float small, const char* text) {
  return fmt::format("{:L} {} {} {:?} {:L}", real, real, small, text, 1);
}

}  // namespace pcivm
