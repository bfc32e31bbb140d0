// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/modules.hpp"

#include <libkmod.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "base/log.hpp"

namespace pcivm::vfio {

namespace {

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
  const Context context{kmod_new(nullptr, nullptr), kmod_unref};
  if (!context) return fail(Errc::kernel, "libkmod finds no module tree for the running kernel");
  kmod_list* raw{};
  const int found = kmod_module_new_from_lookup(context.get(), name.c_str(), &raw);
  const ModuleList list{raw, kmod_module_unref_list};
  if (found < 0) return fail(refused(-found, name));
  if (!list) {
    return fail(Error::make(Errc::kernel, fmt::format("there is no kernel module '{}' for the running kernel", name))
                    .coded("module.missing")
                    .advise("install the modules of this kernel, or a kernel that has them"));
  }
  kmod_list* entry{};
  kmod_list_foreach(entry, list.get()) {
    const Module module{kmod_module_get_module(entry), kmod_module_unref};
    const int loaded = kmod_module_probe_insert_module(module.get(), KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY, nullptr,
                                                       nullptr, nullptr, nullptr);
    if (loaded == KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY) {
      return fail(Error::make(Errc::kernel, fmt::format("kernel module '{}' is blacklisted", name))
                      .coded("module.blacklisted")
                      .advise("see /etc/modprobe.d"));
    }
    if (loaded < 0) return fail(refused(-loaded, name));
    log::debug("kernel module '{}' is loaded", kmod_module_get_name(module.get()));
  }
  return {};
}

}  // namespace pcivm::vfio
