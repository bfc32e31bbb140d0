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

/// "_HID", "PCI0", a path from the root such as "\\_SB_.PCI0", or from a parent such as "^PCI0". Every segment has four
/// characters.
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

/// "ACPI0013"
[[nodiscard]] Bytes string(std::string_view text);

/// Method (path, arguments, Serialized) { body }
[[nodiscard]] Bytes method(std::string_view path, unsigned arguments, const Bytes& body);
/// Operands and statements of a method's body (20.2.5); to call another method is to name it.
[[nodiscard]] Bytes argument(unsigned number);
[[nodiscard]] Bytes local(unsigned number);
[[nodiscard]] Bytes store(const Bytes& value, const Bytes& target);
[[nodiscard]] Bytes bit_and(const Bytes& left, const Bytes& right);
/// `target`: where the result goes too; empty: nowhere.
[[nodiscard]] Bytes bit_or(const Bytes& left, const Bytes& right, const Bytes& target = {});
[[nodiscard]] Bytes shift_left(const Bytes& value, const Bytes& count);
[[nodiscard]] Bytes when(const Bytes& condition, const Bytes& body);
[[nodiscard]] Bytes notify(std::string_view path, std::uint64_t value);

/// Registers in I/O ports: OperationRegion (path, SystemIO, base, length), and a Field with one of 32 bits after the
/// other.
[[nodiscard]] Bytes port_region(std::string_view path, std::uint16_t base, std::uint8_t length);
[[nodiscard]] Bytes dword_fields(std::string_view region, std::initializer_list<std::string_view> names);

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
/// A global system interrupt: level, active high, not shared.
[[nodiscard]] Bytes level_interrupt(std::uint32_t gsi);
[[nodiscard]] Bytes fixed_memory32(std::uint32_t base, std::uint32_t length);
[[nodiscard]] Bytes bus_numbers(std::uint16_t first, std::uint16_t count);
[[nodiscard]] Bytes io_window(std::uint16_t base, std::uint32_t length);
[[nodiscard]] Bytes memory_window32(Range range);
[[nodiscard]] Bytes memory_window64(Range range);

}  // namespace resource

/// A ResourceTemplate: the descriptors, an end tag, in a buffer.
[[nodiscard]] Bytes resources(std::initializer_list<Bytes> descriptors);

}  // namespace pcivm::vmm::aml
