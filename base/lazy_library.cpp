// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/lazy_library.hpp"

#include <dlfcn.h>

#include <fmt/format.h>

namespace pcivm {

namespace {

std::string last_error() {
  const auto* text = ::dlerror();
  return text == nullptr ? "no reason" : text;
}

}  // namespace

LazyLibrary::LazyLibrary(const char* soname) : soname_{soname}, handle_{::dlopen(soname, RTLD_NOW | RTLD_LOCAL)} {
  if (handle_ == nullptr) missing_ = last_error();
}

void* LazyLibrary::symbol(const char* name) {
  auto* found = handle_ == nullptr ? nullptr : ::dlsym(handle_, name);
  if (found == nullptr && missing_.empty()) missing_ = last_error();
  return found;
}

Result<void> LazyLibrary::whole(std::string_view package) const {
  if (missing_.empty()) return {};
  return fail(Error::make(Errc::kernel, fmt::format("{} cannot be used: {}", soname_, missing_))
                  .coded("library.missing")
                  .advise(fmt::format("install {}", package)));
}

}  // namespace pcivm
