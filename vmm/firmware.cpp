// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/firmware.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint32_t kRam = 1;                      // type of an e820 entry
constexpr std::uint64_t kDefaultWindow64 = 16 * kGiB;  // OVMF leaves 32 GiB above RAM for BARs unless told more

FwCfg::Bytes number(std::uint64_t value, std::size_t width) {
  FwCfg::Bytes bytes(width);
  store_le(bytes, value);
  return bytes;
}

FwCfg::Bytes text(std::string_view value) {
  const auto bytes = std::as_bytes(std::span{value});
  return {bytes.begin(), bytes.end()};
}

// Entries of 20 bytes: base, length, type (ACPI 6.5, table 15.3). RAM only: firmware knows the rest of a Q35 itself.
FwCfg::Bytes memory_map(const MemoryLayout& layout) {
  FwCfg::Bytes map;
  for (const auto& range : layout.ram) {
    for (const auto& field : {number(range.gpa.value, 8), number(range.length, 8), number(kRam, 4)}) {
      map.insert(map.end(), field.begin(), field.end());
    }
  }
  return map;
}

// What lies between RAM and the interrupt controllers, but for ECAM, the larger part: it is where firmware puts BARs.
platform::Window window_beside(std::optional<Gpa> ecam) {
  const auto& whole = platform::kFirmwareWindow32;
  constexpr std::uint64_t kReserved = 256 * kMiB;  // by firmware, for all buses
  if (!ecam || ecam->value < whole.base.value || ecam->value >= whole.end().value) return whole;
  const platform::Window below{.base = whole.base, .length = ecam->value - whole.base.value};
  const auto after = std::min(ecam->value + kReserved, whole.end().value);
  const platform::Window above{.base = Gpa{after}, .length = whole.end().value - after};
  return below.length > above.length ? below : above;
}

Result<Mapping> read_image(FdRef file) {
  const auto length = TRY(file_size(file));
  auto mapping = TRY(Mapping::anonymous(length));
  TRY(pread_exact(file, 0, mapping.bytes()));
  return mapping;
}

}  // namespace

Result<void> check_firmware_size(std::string_view what, std::uint64_t image, std::uint64_t variables) {
  const auto whole_pages = [](std::uint64_t length) { return is_aligned(length, kPageSize); };
  if (image != 0 && whole_pages(image) && whole_pages(variables) && image <= platform::kFirmwareMost &&
      variables <= platform::kFirmwareMost - image) {
    return {};
  }
  return fail(Errc::invalid,
              fmt::format("{}: {} bytes with {} bytes of variables found, whole pages wanted, at most {} MiB of both",
                          what, image, variables, platform::kFirmwareMost / kMiB));
}

Gpa end_of_memory(const MemoryLayout& layout) {
  const auto& last = layout.blocks.length != 0 ? layout.blocks : layout.ram.back();
  return std::max(last.gpa + last.length, platform::kHighRam);
}

Firmware::Firmware(FirmwareConfig config, Wiring wiring)
    : config_{std::move(config)},
      wiring_{std::move(wiring)},
      fw_cfg_{wiring_.memory},
      host_bridge_{[this](std::optional<Gpa> ecam) {
        if (auto moved = wiring_.bus.move_ecam(ecam); !moved) wiring_.report(std::move(moved).error());
      }} {}

Firmware::~Firmware() {
  for (const auto& [bus, base] : added_) bus->remove(base);
}

Result<std::unique_ptr<Firmware>> Firmware::create(FirmwareConfig config, Wiring wiring) {
  std::unique_ptr<Firmware> firmware{new Firmware{std::move(config), std::move(wiring)}};
  TRY_IN(firmware->build(), "firmware");
  return firmware;
}

Result<void> Firmware::build() {
  image_ = TRY(read_image(config_.image.ref()));
  if (config_.variables) variables_ = TRY(read_image(config_.variables.ref()));
  TRY(check_firmware_size("its image", image_.length(), variables_.length()));
  wiring_.bus.place(0, host_bridge_);
  wiring_.bus.place(Ich9LpcBridge::kSlot, lpc_bridge_);
  TRY(wiring_.bus.connect(wiring_.ports, wiring_.mmio, std::nullopt, wiring_.reset));
  if (config_.variables) {
    flash_.emplace(Flash::Wiring{.contents = variables_.bytes(),
                                 .file = std::move(config_.variables),
                                 .array_mode = [this](bool on) { show_variables(on); },
                                 .report = wiring_.report});
    const auto base = platform::kFirmwareEnd.value - image_.length() - variables_.length();
    TRY(add(wiring_.mmio, base, variables_.length(), *flash_, "firmware variables"));
  }
  if (config_.log) {
    debug_.emplace([this](std::span<const std::byte> data) { (void)write_some(config_.log.ref(), data); });
    TRY(add(wiring_.ports, platform::port::kDebug, 1, *debug_, "firmware debug port"));
  }
  TRY(fill());
  return add(wiring_.ports, platform::port::kFwCfg, FwCfg::kLength, fw_cfg_, "fw_cfg");
}

Result<void> Firmware::fill() {
  const auto& layout = wiring_.layout;
  const auto& cpus = wiring_.cpus;
  fw_cfg_.add(FwCfg::kCpuCount, number(cpus.count(), 2));
  fw_cfg_.add(FwCfg::kMostCpus, number(cpus.apic_id(cpus.count() - 1) + 1U, 2));  // ids may have gaps
  TRY(fw_cfg_.add_file("etc/e820", memory_map(layout)));
  if (layout.blocks.length != 0) {
    // Both firmwares place no BAR below that.
    TRY(fw_cfg_.add_file("etc/reserved-memory-end", number(align_up(end_of_memory(layout).value, kGiB), 8)));
  }
  auto acpi = TRY(build_acpi_files(acpi_config()));
  TRY(fw_cfg_.add_file(kAcpiTablesFile, std::move(acpi.tables), [this] { return acpi_files().tables; }));
  TRY(fw_cfg_.add_file(kAcpiRsdpFile, std::move(acpi.rsdp), [this] { return acpi_files().rsdp; }));
  TRY(fw_cfg_.add_file(kAcpiLoaderFile, std::move(acpi.loader), [this] { return acpi_files().loader; }));
  // A firmware puts the structures where it likes, and corrects the address and the sum of the entry point.
  auto smbios = build_smbios(wiring_.smbios, Gpa{});
  TRY(fw_cfg_.add_file("etc/smbios/smbios-tables", std::move(smbios.structures)));
  TRY(fw_cfg_.add_file("etc/smbios/smbios-anchor", {smbios.entry.begin(), smbios.entry.end()}));
  // An OpenFirmware path, as OVMF and SeaBIOS translate it.
  if (wiring_.boot_slot) {
    const auto path = fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0\n", *wiring_.boot_slot);
    TRY(fw_cfg_.add_file("bootorder", text(std::string_view{path.c_str(), path.size() + 1})));
  }
  TRY(fw_cfg_.add_file("etc/show-boot-menu", number(0, 2)));
  if (wiring_.serial) TRY(fw_cfg_.add_file("etc/sercon-port", number(platform::port::kCom1, 2)));
  if (const auto window = layout.window64.length; window > kDefaultWindow64) {
    TRY(fw_cfg_.add_file("opt/ovmf/X-PciMmio64Mb", text(fmt::format("{}", 2 * window / kMiB))));
  }
  return {};
}

Result<void> Firmware::add(IoBus& bus, std::uint64_t base, std::uint64_t length, IoHandler& handler, std::string name) {
  TRY(bus.add(base, length, handler, std::move(name)));
  added_.emplace_back(&bus, base);
  return {};
}

AcpiConfig Firmware::acpi_config() {
  AcpiConfig acpi;
  for (unsigned cpu = 0; cpu < wiring_.cpus.count(); ++cpu) acpi.apic_ids.push_back(wiring_.cpus.apic_id(cpu));
  acpi.ecam = host_bridge_.ecam();
  acpi.pci_window32 = window_beside(acpi.ecam);
  if (acpi.ecam && acpi.ecam->value >= platform::kFirmwareEnd.value) acpi.ecam.reset();
  if (const auto high = wiring_.bus.bars_above_4g(); high.length != 0) {
    const Gpa base{align_down(high.base.value, kGiB)};
    acpi.pci_window64 = platform::Window{.base = base, .length = align_up(high.end().value, kGiB) - base.value};
  }
  acpi.hotplug_slots = wiring_.hotplug_slots;
  acpi.iommu = wiring_.iommu;
  acpi.memory = wiring_.acpi_memory;
  if (wiring_.hotplug_room == 0) return acpi;
  const auto end = acpi.pci_window64 ? acpi.pci_window64->end() : end_of_memory(wiring_.layout);
  const auto from = align_up(end.value, std::bit_floor(wiring_.hotplug_room));
  if (!fits(from, wiring_.hotplug_room, 1ULL << wiring_.address_bits)) return acpi;  // what is below 4 GiB is left
  const auto base = acpi.pci_window64 ? acpi.pci_window64->base : Gpa{from};
  acpi.pci_window64 = platform::Window{.base = base, .length = from + wiring_.hotplug_room - base.value};
  return acpi;
}

// Firmware fetches the tables when it has placed BARs and ECAM, and all three files then belong together.
AcpiFiles Firmware::acpi_files() {
  const std::scoped_lock lock{acpi_mutex_};
  if (acpi_) return *acpi_;
  auto built = build_acpi_files(acpi_config());
  if (!built) {
    wiring_.report(std::move(built).error().within("ACPI tables for the firmware"));
    return {};
  }
  if (host_bridge_.ecam()) acpi_ = *built;
  return std::move(*built);
}

void Firmware::show_variables(bool array_mode) {
  if (variables_slot_) {
    if (auto removed = wiring_.slots.remove(*variables_slot_); !removed) wiring_.report(std::move(removed).error());
    variables_slot_.reset();
  }
  if (!array_mode) return;
  const Gpa base{platform::kFirmwareEnd.value - image_.length() - variables_.length()};
  auto slot = wiring_.slots.add(base, variables_.hva(), variables_.length(), MemorySlots::Kind::read_only);
  // Without a slot each read traps, which works as well.
  if (slot) {
    variables_slot_ = *slot;
  } else {
    wiring_.report(std::move(slot).error());
  }
}

Result<void> Firmware::load() {
  const Gpa base{platform::kFirmwareEnd.value - image_.length()};
  (void)TRY(wiring_.slots.add(base, image_.hva(), image_.length(), MemorySlots::Kind::read_only));
  variables_slot_.reset();
  if (flash_) show_variables(true);
  // A BIOS runs below 1 MiB from here on. Real chipsets let it copy itself there.
  const auto length = std::min(image_.length(), platform::kFirmwareCopy);
  const auto copy = TRY(wiring_.memory.window(Gpa{platform::kFirmwareCopyEnd.value - length}, length));
  std::ranges::copy(image_.bytes().last(length), copy.begin());
  return {};
}

void Firmware::reset() {
  if (flash_) flash_->reset();
  fw_cfg_.reset();
  host_bridge_.reset();
  const std::scoped_lock lock{acpi_mutex_};
  acpi_.reset();
}

}  // namespace pcivm::vmm
