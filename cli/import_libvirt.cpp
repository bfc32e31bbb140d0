// SPDX-License-Identifier: GPL-2.0-or-later
// Domains of libvirt (https://libvirt.org/formatdomain.html, "PCI host devices" and "PCI passthrough") and node devices
// (https://libvirt.org/formatnode.html).
#include <algorithm>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "base/parse.hpp"
#include "cli/config_import.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::cli {

namespace {

/// "0x1f" or "31"
template <class T>
Result<T> number(std::string_view text, T most) {
  return text.starts_with("0x") ? parse_hex<T>(text.substr(2), most) : parse_decimal<T>(text, most);
}

Result<Bdf> address_of(std::string_view domain, std::string_view bus, std::string_view slot,
                       std::string_view function) {
  Bdf address;
  address.domain = domain.empty() ? 0 : TRY(number<std::uint32_t>(domain, 0xffff'ffff));
  address.bus = TRY(number<std::uint8_t>(bus, 0xff));
  address.device = TRY(number<std::uint8_t>(slot, 31));
  address.function = TRY(number<std::uint8_t>(function, 7));
  return address;
}

/// An element <address domain= bus= slot= function=/>.
Result<Bdf> address_of(const pugi::xml_node& node) {
  return address_of(node.attribute("domain").value(), node.attribute("bus").value(), node.attribute("slot").value(),
                    node.attribute("function").value());
}

class Importer final {
 public:
  Importer(const std::string& file, ConfigImport& import) : file_{file}, import_{import} {}

  void add(const pugi::xml_node& root) {
    const std::string_view kind{root.name()};
    if (kind == "domain") {
      add_domain(root);
    } else if (kind == "device") {
      add_node_device(root);
    } else {
      import_.note(fmt::format("{}: <{}> is left out, wanted <domain> or <device>", file_, excerpt(kind)));
    }
  }

 private:
  void add_domain(const pugi::xml_node& domain) {
    const auto source = fmt::format("{}: {}", file_, excerpt(domain.child_value("name")));
    const auto devices = domain.child("devices");
    for (const auto& hostdev : devices.children("hostdev")) {
      const std::string_view type{hostdev.attribute("type").value()};
      if (type != "pci") {
        import_.note(fmt::format("{}: a hostdev of type {} is left out", source, excerpt(type)));
      } else {
        add_function(hostdev, sriov::VfEntry{}, source);
      }
    }
    for (const auto& interface : devices.children("interface")) {
      if (std::string_view{interface.attribute("type").value()} == "hostdev") add_interface(interface, source);
    }
  }

  void add_function(const pugi::xml_node& hostdev, sriov::VfEntry entry, const std::string& source) {
    const auto address = address_of(hostdev.child("source").child("address"));
    if (!address) return import_.note(fmt::format("{}: a device is left out: {}", source, address.error().text()));
    entry.bind = "vfio-pci";
    import_.add_function(*address, entry, source);
  }

  void add_interface(const pugi::xml_node& interface, const std::string& source) {
    sriov::VfEntry entry;
    const std::string_view mac{interface.child("mac").attribute("address").value()};
    if (!mac.empty()) {
      const auto parsed = MacAddress::parse(mac);
      if (parsed) entry.mac = parsed->to_string();
      if (!parsed) import_.note(fmt::format("{}: a MAC is left out: {}", source, parsed.error().text()));
    }
    const auto vlan = interface.child("vlan");
    const std::string_view id{vlan.child("tag").attribute("id").value()};
    if (!id.empty()) {
      constexpr std::uint16_t kMost{4094};
      const auto parsed = number<std::uint16_t>(id, kMost);
      if (parsed) entry.wish.vlan = *parsed;
      if (!parsed) import_.note(fmt::format("{}: a VLAN is left out: {}", source, parsed.error().text()));
    }
    if (vlan.child("tag").next_sibling("tag")) import_.note(fmt::format("{}: only the first VLAN is kept", source));
    add_function(interface, entry, source);
  }

  void add_node_device(const pugi::xml_node& device) {
    const auto source = fmt::format("{}: {}", file_, excerpt(device.child_value("name")));
    const auto pci = device.find_child_by_attribute("capability", "type", "pci");
    if (!pci) return import_.note(fmt::format("{} is left out: it is no PCI function", source));
    const auto address = address_of(pci.child_value("domain"), pci.child_value("bus"), pci.child_value("slot"),
                                    pci.child_value("function"));
    if (!address) return import_.note(fmt::format("{} is left out: {}", source, address.error().text()));
    const auto vfs = pci.find_child_by_attribute("capability", "type", "virt_functions");
    if (vfs) {
      add_physical(*address, vfs, source);
    } else {
      sriov::VfEntry entry;
      const std::string driver{device.child("driver").child_value("name")};
      entry.bind = vfio::is_vfio_driver(driver) ? driver : "host";
      import_.add_function(*address, entry, source);
    }
    expect(import_, *address, pci);
  }

  void add_physical(Bdf address, const pugi::xml_node& vfs, const std::string& source) {
    auto& device = import_.device(address);
    if (device.passthrough) return import_.note(fmt::format("{} is left out: it is given away whole", source));
    if (!device.sriov) device.sriov.emplace();
    unsigned count = 0;
    for ([[maybe_unused]] const auto& vf : vfs.children("address")) ++count;
    device.sriov->num_vfs = count;
  }

  /// The ids that are in the XML, when the host could not be asked.
  static void expect(ConfigImport& import, Bdf address, const pugi::xml_node& pci) {
    if (pci.find_child_by_attribute("capability", "type", "phys_function")) return;  // of a VF
    const auto id = [&pci](const char* name) {
      return number<std::uint16_t>(pci.child(name).attribute("id").value(), 0xffff);
    };
    const auto vendor = id("vendor");
    const auto product = id("product");
    auto* device = import.known(address);
    if (device != nullptr && !device->expect.id && vendor && product)
      device->expect.id = sriov::PciId{*vendor, *product};
  }

  const std::string& file_;
  ConfigImport& import_;
};

}  // namespace

Result<void> import_libvirt(std::span<const ConfigText> files, ConfigImport& import) {
  for (const auto& file : files) {
    pugi::xml_document document;
    // No document type: entities are not declared, so none is expanded, and nothing is fetched.
    const auto outcome =
        document.load_buffer(file.text.data(), file.text.size(), pugi::parse_default, pugi::encoding_utf8);
    if (!outcome) {
      const auto before = std::string_view{file.text}.substr(0, static_cast<std::size_t>(outcome.offset));
      const auto line = std::ranges::count(before, '\n') + 1;
      return fail(
          Error::make(Errc::invalid, fmt::format("{}:{}: this is no XML: {}", file.file, line, outcome.description())));
    }
    Importer importer{file.file, import};
    for (const auto& root : document.children()) {
      if (root.type() == pugi::node_element) importer.add(root);
    }
  }
  return {};
}

}  // namespace pcivm::cli
