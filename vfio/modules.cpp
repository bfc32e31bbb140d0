// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/modules.hpp"

#include <libkmod.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "base/lazy_library.hpp"
#include "base/log.hpp"

namespace pcivm::vfio {

namespace {

/// It brings libcrypto.
struct Kmod {
  decltype(&::kmod_new) make;
  decltype(&::kmod_unref) unref;
  decltype(&::kmod_module_new_from_lookup) lookup;
  decltype(&::kmod_module_unref_list) unref_list;
  decltype(&::kmod_list_next) next;
  decltype(&::kmod_module_get_module) module;
  decltype(&::kmod_module_unref) unref_module;
  decltype(&::kmod_module_probe_insert_module) insert;
  decltype(&::kmod_module_get_name) name;

  static Result<Kmod> open();
};

Result<Kmod> Kmod::open() {
  Kmod kmod{};
  TRY(LazyLibrary{"libkmod.so.2"}
          .take("kmod_new", kmod.make)
          .take("kmod_unref", kmod.unref)
          .take("kmod_module_new_from_lookup", kmod.lookup)
          .take("kmod_module_unref_list", kmod.unref_list)
          .take("kmod_list_next", kmod.next)
          .take("kmod_module_get_module", kmod.module)
          .take("kmod_module_unref", kmod.unref_module)
          .take("kmod_module_probe_insert_module", kmod.insert)
          .take("kmod_module_get_name", kmod.name)
          .whole("libkmod2"));
  return kmod;
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
  const auto kmod = TRY(Kmod::open());
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
    const int loaded =
        kmod.insert(module.get(), KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY, nullptr, nullptr, nullptr, nullptr);
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
