// SPDX-License-Identifier: GPL-2.0-or-later
// As much of the ACPI Machine Language as our DSDT needs (ACPI 6.5, 20.2): each function returns the bytes of one term.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace pcivm::vmm::aml {

using Bytes = std::vector<std::byte>;

[[nodiscard]] Bytes join(std::initializer_list<Bytes> parts);

/// "_HID", "PCI0" or a path from the root such as "\\_SB_.PCI0". Every segment has four characters.
[[nodiscard]] Bytes name_string(std::string_view path);
/// In the shortest of its forms.
[[nodiscard]] Bytes integer(std::uint64_t value);
/// "PNP0A08": the compressed form of an EISA id.
[[nodiscard]] Bytes eisa_id(std::string_view id);
[[nodiscard]] Bytes buffer(const Bytes& contents);
/// At most 255 elements.
[[nodiscard]] Bytes package(std::span<const Bytes> elements);

/// Name (path, value)
[[nodiscard]] Bytes name(std::string_view path, const Bytes& value);
[[nodiscard]] Bytes scope(std::string_view path, const Bytes& body);
[[nodiscard]] Bytes device(std::string_view path, const Bytes& body);
/// Method (path, arguments, NotSerialized) { Return (ArgN) }
[[nodiscard]] Bytes method_returning_argument(std::string_view path, unsigned arguments, unsigned returned);

/// Resource descriptors (ACPI 6.5, 6.4), to be joined and wrapped by resources().
namespace resource {

/// A range that the bridge passes on to its bus.
struct Range {
  std::uint64_t base{};
  std::uint64_t length{};
};
[[nodiscard]] Bytes io(std::uint16_t base, std::uint8_t length);
/// An ISA interrupt: edge, active high, not shared.
[[nodiscard]] Bytes irq(unsigned number);
[[nodiscard]] Bytes fixed_memory32(std::uint32_t base, std::uint32_t length);
[[nodiscard]] Bytes bus_numbers(std::uint16_t first, std::uint16_t count);
[[nodiscard]] Bytes io_window(std::uint16_t base, std::uint32_t length);
[[nodiscard]] Bytes memory_window32(Range range);
[[nodiscard]] Bytes memory_window64(Range range);

}  // namespace resource

/// A ResourceTemplate: the descriptors, an end tag, in a buffer.
[[nodiscard]] Bytes resources(std::initializer_list<Bytes> descriptors);

}  // namespace pcivm::vmm::aml
