// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/modules.hpp"

#include <dlfcn.h>
#include <libkmod.h>

#include <bit>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "base/log.hpp"

namespace pcivm::vfio {

namespace {

/// libkmod is loaded when it is first needed: it brings libcrypto, and relocating that takes two fifths of the time in
/// which the dynamic linker starts a command, of which hardly any loads a module.
struct Library {
  decltype(&::kmod_new) make;
  decltype(&::kmod_unref) unref;
  decltype(&::kmod_module_new_from_lookup) lookup;
  decltype(&::kmod_module_unref_list) unref_list;
  decltype(&::kmod_list_next) next;
  decltype(&::kmod_module_get_module) module;
  decltype(&::kmod_module_unref) unref_module;
  decltype(&::kmod_module_probe_insert_module) insert;
  decltype(&::kmod_module_get_name) name;

  static Result<Library> open();
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = std::bit_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<Library> Library::open() {
  void* file = ::dlopen("libkmod.so.2", RTLD_NOW | RTLD_LOCAL);  // never closed
  Library kmod{};
  const bool whole = file != nullptr && find(file, "kmod_new", kmod.make) && find(file, "kmod_unref", kmod.unref) &&
                     find(file, "kmod_module_new_from_lookup", kmod.lookup) &&
                     find(file, "kmod_module_unref_list", kmod.unref_list) && find(file, "kmod_list_next", kmod.next) &&
                     find(file, "kmod_module_get_module", kmod.module) &&
                     find(file, "kmod_module_unref", kmod.unref_module) &&
                     find(file, "kmod_module_probe_insert_module", kmod.insert) &&
                     find(file, "kmod_module_get_name", kmod.name);
  if (whole) return kmod;
  const auto* why = ::dlerror();
  return fail(Error::make(Errc::kernel, fmt::format("libkmod cannot be used: {}", why == nullptr ? "no reason" : why))
                  .coded("module.library")
                  .advise("install libkmod2, or load the module by modprobe"));
}

using Context = std::unique_ptr<kmod_ctx, kmod_ctx* (*)(kmod_ctx*)>;
using ModuleList = std::unique_ptr<kmod_list, int (*)(kmod_list*)>;
using Module = std::unique_ptr<kmod_module, kmod_module* (*)(kmod_module*)>;

Error refused(int error, std::string_view name) {
  auto failure = Error::from_errno(error, fmt::format("load kernel module '{}'", name)).as(Errc::kernel);
  return std::move(failure).coded("module.refused").advise("see dmesg: is it unsigned, or is the kernel locked down?");
}

}  // namespace

Result<void> load_module(const SysRoot& root, std::string_view name_or_alias) {
  if (!root.live()) return {};
  const std::string name{name_or_alias};
  const auto kmod = TRY(Library::open());
  const Context context{kmod.make(nullptr, nullptr), kmod.unref};
  if (!context) return fail(Errc::kernel, "libkmod finds no module tree for the running kernel");
  kmod_list* raw{};
  const int found = kmod.lookup(context.get(), name.c_str(), &raw);
  const ModuleList list{raw, kmod.unref_list};
  if (found < 0) return fail(refused(-found, name));
  if (!list) {
    return fail(Error::make(Errc::kernel, fmt::format("there is no kernel module '{}' for the running kernel", name))
                    .coded("module.missing")
                    .advise("install the modules of this kernel, or a kernel that has them"));
  }
  for (auto* entry = list.get(); entry != nullptr; entry = kmod.next(list.get(), entry)) {
    const Module module{kmod.module(entry), kmod.unref_module};
    const int loaded = kmod.insert(module.get(), KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY, nullptr, nullptr, nullptr, nullptr);
    if (loaded == KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY) {
      return fail(Error::make(Errc::kernel, fmt::format("kernel module '{}' is blacklisted", name))
                      .coded("module.blacklisted")
                      .advise("see /etc/modprobe.d"));
    }
    if (loaded < 0) return fail(refused(-loaded, name));
    log::debug("kernel module '{}' is loaded", kmod.name(module.get()));
  }
  return {};
}

}  // namespace pcivm::vfio
