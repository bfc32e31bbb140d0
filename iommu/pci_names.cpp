// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/pci_names.hpp"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "base/lazy_library.hpp"

extern "C" {
#include <pci/pci.h>
}

namespace pcivm::iommu {

namespace {

constexpr int kNameLength = 256;

// libpci's error callback must not return, and its default ends the process. An exception cannot cross its C frames,
// so the callback jumps back to the call. (Not [[noreturn]]: clang does not make that part of the type.)
thread_local std::jmp_buf recovery;

__attribute__((noreturn)) void on_error(char* /*format*/, ...) { std::longjmp(recovery, 1); }
void on_message(char* /*format*/, ...) {}

struct Libpci {
  decltype(&::pci_alloc) alloc;
  decltype(&::pci_cleanup) cleanup;
  decltype(&::pci_set_name_list_path) set_name_list_path;
  decltype(&::pci_lookup_name) lookup_name;

  static const Libpci* open();
};

/// nullptr when it is not installed: nothing has a name then.
const Libpci* Libpci::open() {
  static Libpci pci{};
  static const bool whole = LazyLibrary{"libpci.so.3"}
                                .take("pci_alloc", pci.alloc)
                                .take("pci_cleanup", pci.cleanup)
                                .take("pci_set_name_list_path", pci.set_name_list_path)
                                .take("pci_lookup_name", pci.lookup_name)
                                .whole("libpci3")
                                .has_value();
  return whole ? &pci : nullptr;
}

/// Between setjmp and the return no object with a destructor may live in this function.
const char* guarded_lookup(const Libpci& library, pci_access* access, char* buffer, int flags, int first, int second) {
  if (setjmp(recovery) != 0) return nullptr;
  return library.lookup_name(access, buffer, kNameLength, flags | PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB, first,
                             second);
}

struct ClassWord {
  std::uint32_t kind;  ///< base class and subclass
  std::string_view word;
};
constexpr ClassWord kSubclasses[] = {
    {0x0100, "scsi"}, {0x0104, "raid"},  {0x0106, "sata"}, {0x0107, "sas"},   {0x0108, "nvme"},
    {0x0207, "ib"},   {0x0300, "vga"},   {0x0302, "3d"},   {0x0403, "audio"}, {0x0600, "host"},
    {0x0601, "isa"},  {0x0806, "iommu"}, {0x0c03, "usb"},  {0x0c05, "smbus"}, {0x0604, "bridge"},
};
constexpr std::array<std::string_view, 20> kBaseClasses{
    "other", "storage", "net", "display",  "media", "memory",    "bridge", "serial", "system", "input",
    "dock",  "cpu",     "bus", "wireless", "i2o",   "satellite", "crypto", "signal", "accel",  "other"};

}  // namespace

void PciNames::Close::operator()(pci_access* access) const { Libpci::open()->cleanup(access); }

PciNames PciNames::open(const std::string& file) {
  const auto* library = Libpci::open();
  if (library == nullptr) return PciNames{nullptr};
  auto* access = library->alloc();  // no pci_init: that would look for a way to reach the devices, and names need none
  access->error = on_error;
  access->warning = on_message;
  access->debug = on_message;
  access->id_lookup_mode = 0;  // neither DNS nor a cache in the home directory
  if (!file.empty()) library->set_name_list_path(access, ::strdup(file.c_str()), 1);  // libpci frees it
  return PciNames{access};
}

std::string PciNames::lookup(int flags, int first, int second) const {
  std::array<char, kNameLength> buffer{};
  if (!access_) return {};
  const auto* name = guarded_lookup(*Libpci::open(), access_.get(), buffer.data(), flags, first, second);
  return name == nullptr ? std::string{} : std::string{name};
}

std::string PciNames::vendor(std::uint16_t vendor) const { return lookup(PCI_LOOKUP_VENDOR, vendor, 0); }

std::string PciNames::device(std::uint16_t vendor, std::uint16_t device) const {
  return lookup(PCI_LOOKUP_DEVICE, vendor, device);
}

std::string PciNames::class_name(std::uint32_t class_code) const {
  return lookup(PCI_LOOKUP_CLASS, static_cast<int>(class_code >> 8U), 0);
}

std::string short_vendor(const std::string& name) {
  const auto open = name.rfind('[');
  const auto close = name.rfind(']');
  if (open != std::string::npos && close != std::string::npos && close > open + 1) {
    return name.substr(open + 1, close - open - 1);
  }
  auto shorter = name.substr(0, name.find(','));
  for (const std::string_view form : {" Corporation", " Corp.", " Inc.", " Incorporated", " Ltd.", " Co.", " Limited",
                                      " Technologies", " Technology", " Semiconductor", " Electronics"}) {
    if (shorter.ends_with(form)) shorter.resize(shorter.size() - form.size());
  }
  return shorter;
}

std::string short_class(std::uint32_t class_code) {
  const auto* found = std::ranges::find(kSubclasses, class_code >> 8U, &ClassWord::kind);
  if (found != std::end(kSubclasses)) return std::string{found->word};
  return std::string{kBaseClasses.at(std::min<std::size_t>(class_code >> 16U, kBaseClasses.size() - 1))};
}

}  // namespace pcivm::iommu
