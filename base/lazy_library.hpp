// SPDX-License-Identifier: GPL-2.0-or-later
// Functions of C libraries that are loaded when they are first needed. Half of what a VM costs before its first
// instruction was the dynamic linker, at libraries of which it uses none; and each keeps dirty pages in every VMM.
#pragma once

#include <bit>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace pcivm {

/// Takes functions out of a library one by one; what went wrong is told at the end. The library is never unloaded.
/// The package depends on it by name (debian/control): nothing else sees that it is used.
class LazyLibrary final {
 public:
  /// `soname` as in "libkmod.so.2"; loaded now, if it is not yet.
  explicit LazyLibrary(const char* soname);

  template <class Function>
  LazyLibrary& take(const char* name, Function*& function) {
    function = std::bit_cast<Function*>(symbol(name));
    return *this;
  }

  /// `package`: what brings the library, for the advice.
  [[nodiscard]] Result<void> whole(std::string_view package) const;

 private:
  void* symbol(const char* name);

  const char* soname_;
  void* handle_;
  std::string missing_;  ///< why it cannot be used; empty = all were found
};

}  // namespace pcivm
