// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_aml.hpp"

#include <algorithm>
#include <limits>

namespace pcivm::vmm::aml {

namespace {

enum Op : std::uint8_t {
  zero_op = 0x00,
  one_op = 0x01,
  name_op = 0x08,
  byte_prefix = 0x0a,
  word_prefix = 0x0b,
  dword_prefix = 0x0c,
  string_prefix = 0x0d,
  qword_prefix = 0x0e,
  scope_op = 0x10,
  buffer_op = 0x11,
  package_op = 0x12,
  method_op = 0x14,
  dual_name_prefix = 0x2e,
  multi_name_prefix = 0x2f,
  extended_prefix = 0x5b,
  root_char = 0x5c,
  parent_char = 0x5e,
  local0_op = 0x60,
  arg0_op = 0x68,
  store_op = 0x70,
  shift_left_op = 0x79,
  and_op = 0x7b,
  or_op = 0x7d,
  region_op = 0x80,  // after extended_prefix
  field_op = 0x81,   // after extended_prefix
  device_op = 0x82,  // after extended_prefix
  notify_op = 0x86,
  if_op = 0xa0,
  return_op = 0xa4,
};

constexpr std::size_t kSegment = 4;

void put(Bytes& bytes, std::uint64_t value, std::size_t width) {
  for (std::size_t index = 0; index < width; ++index) bytes.push_back(static_cast<std::byte>(value >> (8 * index)));
}

void append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

Bytes opcode(std::initializer_list<std::uint8_t> codes) {
  Bytes bytes;
  for (const auto code : codes) bytes.push_back(std::byte{code});
  return bytes;
}

// PkgLength (20.2.4) counts itself: one byte up to 63, else a count of following bytes and a low nibble.
Bytes package_length(std::size_t body) {
  if (body + 1 < 64) return opcode({static_cast<std::uint8_t>(body + 1)});
  std::size_t following = 1;
  while (body + 1 + following >= std::size_t{1} << (4 + 8 * following)) ++following;
  const auto total = body + 1 + following;
  Bytes bytes;
  put(bytes, following << 6U | (total & 0xfU), 1);
  put(bytes, total >> 4U, following);
  return bytes;
}

Bytes packaged(std::initializer_list<std::uint8_t> codes, const Bytes& body) {
  return join({opcode(codes), package_length(body.size()), body});
}

// Large resource descriptors of an address space (6.4.3.5): the same fields in three widths.
struct AddressSpace {
  std::uint8_t tag;
  std::size_t width;
  std::uint8_t type;  // 0 memory, 1 I/O, 2 bus numbers
  std::uint8_t type_flags;
};

Bytes address_space(AddressSpace space, resource::Range range) {
  constexpr std::uint8_t kProducerFixed = 0x0c;  // minimum and maximum fixed, positive decode
  Bytes bytes;
  put(bytes, space.tag, 1);
  put(bytes, 3 + 5 * space.width, 2);
  put(bytes, space.type, 1);
  put(bytes, kProducerFixed, 1);
  put(bytes, space.type_flags, 1);
  for (const auto value :
       {std::uint64_t{0}, range.base, range.base + range.length - 1, std::uint64_t{0}, range.length}) {
    put(bytes, value, space.width);  // granularity, minimum, maximum, translation, length
  }
  return bytes;
}

constexpr std::uint8_t kWordSpace = 0x88;
constexpr std::uint8_t kDwordSpace = 0x87;
constexpr std::uint8_t kQwordSpace = 0x8a;
constexpr std::uint8_t kMemoryReadWrite = 0x01;  // non-cacheable
constexpr std::uint8_t kEntireRange = 0x03;      // I/O: ISA and non-ISA addresses

}  // namespace

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes bytes;
  for (const auto& part : parts) append(bytes, part);
  return bytes;
}

Bytes name_string(std::string_view path) {
  Bytes bytes;
  if (path.starts_with('\\')) {
    bytes.push_back(std::byte{root_char});
    path.remove_prefix(1);
  }
  while (path.starts_with('^')) {
    bytes.push_back(std::byte{parent_char});
    path.remove_prefix(1);
  }
  const auto segments = (path.size() + 1) / (kSegment + 1);
  if (segments == 2) put(bytes, dual_name_prefix, 1);
  if (segments > 2) {
    put(bytes, multi_name_prefix, 1);
    put(bytes, segments, 1);
  }
  for (const auto character : path) {
    if (character != '.') bytes.push_back(static_cast<std::byte>(character));
  }
  return bytes;
}

Bytes integer(std::uint64_t value) {
  if (value == 0) return opcode({zero_op});
  if (value == 1) return opcode({one_op});
  const auto [prefix, width] = [&]() -> std::pair<Op, std::size_t> {
    if (value <= std::numeric_limits<std::uint8_t>::max()) return {byte_prefix, 1};
    if (value <= std::numeric_limits<std::uint16_t>::max()) return {word_prefix, 2};
    if (value <= std::numeric_limits<std::uint32_t>::max()) return {dword_prefix, 4};
    return {qword_prefix, 8};
  }();
  auto bytes = opcode({prefix});
  put(bytes, value, width);
  return bytes;
}

// 19.3.4: three letters of five bits and four hexadecimal digits, the most significant byte first.
Bytes eisa_id(std::string_view id) {
  std::uint32_t value = 0;
  for (const auto letter : id.substr(0, 3)) value = value << 5U | (static_cast<std::uint32_t>(letter - '@') & 0x1fU);
  for (const auto digit : id.substr(3)) {
    const auto nibble = digit <= '9' ? digit - '0' : digit - 'A' + 10;
    value = value << 4U | (static_cast<std::uint32_t>(nibble) & 0xfU);
  }
  auto bytes = opcode({dword_prefix});
  put(bytes, __builtin_bswap32(value), 4);
  return bytes;
}

Bytes buffer(const Bytes& contents) { return packaged({buffer_op}, join({integer(contents.size()), contents})); }

Bytes package(std::span<const Bytes> elements) {
  Bytes body;
  put(body, elements.size(), 1);
  for (const auto& element : elements) append(body, element);
  return packaged({package_op}, body);
}

Bytes name(std::string_view path, const Bytes& value) { return join({opcode({name_op}), name_string(path), value}); }

Bytes scope(std::string_view path, const Bytes& body) { return packaged({scope_op}, join({name_string(path), body})); }

Bytes device(std::string_view path, const Bytes& body) {
  return packaged({extended_prefix, device_op}, join({name_string(path), body}));
}

Bytes method_returning_argument(std::string_view path, unsigned arguments, unsigned returned) {
  return packaged({method_op}, join({name_string(path), opcode({static_cast<std::uint8_t>(arguments & 7U), return_op,
                                                                static_cast<std::uint8_t>(arg0_op + returned)})}));
}

Bytes string(std::string_view text) {
  auto bytes = opcode({string_prefix});
  for (const auto character : text) bytes.push_back(static_cast<std::byte>(character));
  put(bytes, 0, 1);
  return bytes;
}

Bytes method(std::string_view path, unsigned arguments, const Bytes& body) {
  constexpr unsigned kSerialized = 1U << 3U;
  return packaged({method_op},
                  join({name_string(path), opcode({static_cast<std::uint8_t>((arguments & 7U) | kSerialized)}), body}));
}

Bytes argument(unsigned number) { return opcode({static_cast<std::uint8_t>(arg0_op + number)}); }

Bytes local(unsigned number) { return opcode({static_cast<std::uint8_t>(local0_op + number)}); }

Bytes store(const Bytes& value, const Bytes& target) { return join({opcode({store_op}), value, target}); }

namespace {

// The result goes to whoever uses the expression, and to the target.
Bytes binary(Op op, const Bytes& left, const Bytes& right, const Bytes& target = {}) {
  return join({opcode({op}), left, right, target.empty() ? opcode({zero_op}) : target});
}

}  // namespace

Bytes bit_and(const Bytes& left, const Bytes& right) { return binary(and_op, left, right); }

Bytes bit_or(const Bytes& left, const Bytes& right, const Bytes& target) { return binary(or_op, left, right, target); }

Bytes shift_left(const Bytes& value, const Bytes& count) { return binary(shift_left_op, value, count); }

Bytes when(const Bytes& condition, const Bytes& body) { return packaged({if_op}, join({condition, body})); }

Bytes notify(std::string_view path, std::uint64_t value) {
  return join({opcode({notify_op}), name_string(path), integer(value)});
}

Bytes port_region(std::string_view path, std::uint16_t base, std::uint8_t length) {
  constexpr std::uint8_t kSystemIo = 1;
  return join(
      {opcode({extended_prefix, region_op}), name_string(path), opcode({kSystemIo}), integer(base), integer(length)});
}

Bytes dword_fields(std::string_view region, std::initializer_list<std::string_view> names) {
  constexpr std::uint8_t kDwordAccess = 3;  // no lock, other bits are preserved
  constexpr std::uint8_t kBits = 32;
  auto body = join({name_string(region), opcode({kDwordAccess})});
  for (const auto each : names) body = join({body, name_string(each), opcode({kBits})});
  return packaged({extended_prefix, field_op}, body);
}

namespace resource {

Bytes io(std::uint16_t base, std::uint8_t length) {
  Bytes bytes;
  put(bytes, 0x47, 1);  // I/O port descriptor of 7 bytes
  put(bytes, 1, 1);     // decodes 16 bits
  put(bytes, base, 2);
  put(bytes, base, 2);
  put(bytes, 1, 1);  // alignment
  put(bytes, length, 1);
  return bytes;
}

Bytes irq(unsigned number) {
  Bytes bytes;
  put(bytes, 0x22, 1);  // IRQ descriptor of 2 bytes: without flags, which means edge, active high, exclusive
  put(bytes, std::uint64_t{1} << number, 2);
  return bytes;
}

Bytes level_interrupt(std::uint32_t gsi) {
  constexpr std::uint8_t kConsumer = 0x01;
  Bytes bytes;
  put(bytes, 0x89, 1);  // extended interrupt descriptor with one interrupt
  put(bytes, 6, 2);
  put(bytes, kConsumer, 1);
  put(bytes, 1, 1);
  put(bytes, gsi, 4);
  return bytes;
}

Bytes fixed_memory32(std::uint32_t base, std::uint32_t length) {
  Bytes bytes;
  put(bytes, 0x86, 1);
  put(bytes, 9, 2);
  put(bytes, 1, 1);  // read-write
  put(bytes, base, 4);
  put(bytes, length, 4);
  return bytes;
}

Bytes bus_numbers(std::uint16_t first, std::uint16_t count) {
  return address_space({.tag = kWordSpace, .width = 2, .type = 2, .type_flags = 0}, {.base = first, .length = count});
}

Bytes io_window(std::uint16_t base, std::uint32_t length) {
  return address_space({.tag = kWordSpace, .width = 2, .type = 1, .type_flags = kEntireRange},
                       {.base = base, .length = length});
}

Bytes memory_window32(Range range) {
  return address_space({.tag = kDwordSpace, .width = 4, .type = 0, .type_flags = kMemoryReadWrite}, range);
}

// Not called prefetchable: Linux would leave no other BAR in it (pci_find_parent_resource), and firmware puts any
// there.
Bytes memory_window64(Range range) {
  return address_space({.tag = kQwordSpace, .width = 8, .type = 0, .type_flags = kMemoryReadWrite}, range);
}

}  // namespace resource

Bytes resources(std::initializer_list<Bytes> descriptors) {
  return buffer(join({join(descriptors), opcode({0x79, 0x00})}));  // end tag; 0 = no checksum
}

}  // namespace pcivm::vmm::aml
